"""Log lines as ucarp writes them: warnings and worse to standard error, the rest to standard output, all to syslog."""

import contextlib
import datetime
import logging
import os
import syslog
from collections.abc import Iterable, Iterator

from pycarp.daemon.log_output import STDERR, STDOUT, DescriptorWriter, LogFormat, choose, lead_nowhere
from pycarp.daemon.log_thread import LogThread, Write

IDENTITY = "ucarp"

FACILITIES = {
    "auth": syslog.LOG_AUTH,
    "authpriv": syslog.LOG_AUTHPRIV,
    "cron": syslog.LOG_CRON,
    "daemon": syslog.LOG_DAEMON,
    "kern": syslog.LOG_KERN,
    "lpr": syslog.LOG_LPR,
    "mail": syslog.LOG_MAIL,
    "news": syslog.LOG_NEWS,
    "security": syslog.LOG_AUTH,
    "syslog": syslog.LOG_SYSLOG,
    "user": syslog.LOG_USER,
    "uucp": syslog.LOG_UUCP,
    **{f"local{number}": getattr(syslog, f"LOG_LOCAL{number}") for number in range(8)},
}

_PRIORITIES = {
    logging.DEBUG: syslog.LOG_DEBUG,
    logging.INFO: syslog.LOG_INFO,
    logging.WARNING: syslog.LOG_WARNING,
    logging.ERROR: syslog.LOG_ERR,
    logging.CRITICAL: syslog.LOG_CRIT,
}


def set_up(*, is_verbose: bool, facility: str | None, form: LogFormat | None = None) -> None:
    """Make every logger of this process write like ucarp; None or a name that is not in ``FACILITIES``: no syslog.

    With a ``form`` it writes to standard error as ``pycarp run`` does, and to nothing else.
    """
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    # Who asks for ucarp's debugging has no use for that of the libraries.
    logging.getLogger("pycarp").setLevel(logging.DEBUG if is_verbose else logging.INFO)
    if form is not None:
        root.addHandler(_Formatted(choose(form, descriptor=STDERR, environment=os.environ)))
        return
    to_stdout, to_stderr = _ToDescriptor(STDOUT), _ToDescriptor(STDERR)
    to_stdout.addFilter(lambda record: record.levelno < logging.WARNING)
    to_stderr.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [to_stdout, to_stderr]
    for handler in handlers:
        handler.setFormatter(_Formatter())
    if facility in FACILITIES:
        syslog.openlog(IDENTITY, syslog.LOG_PID, FACILITIES[facility])
        handlers.append(_ToSyslog())
    for handler in handlers:
        root.addHandler(handler)


@contextlib.contextmanager
def in_thread() -> Iterator[None]:
    """Write the log from a thread while the context lasts, so that it blocks nothing. Call it after the last fork."""
    root = logging.getLogger()
    handlers = [each for each in root.handlers if isinstance(each, _ToDescriptor | _ToSyslog | _Formatted)]
    formatted = next((each for each in handlers if isinstance(each, _Formatted)), None)
    thread = LogThread(formatted.write if formatted else lambda record: _dispatch(record, handlers))
    for handler in handlers:
        root.removeHandler(handler)
    root.addHandler(thread)
    thread.start()
    try:
        yield
    finally:
        root.removeHandler(thread)
        if not thread.finish():
            lead_nowhere(STDOUT, STDERR)
        else:
            for handler in handlers:
                root.addHandler(handler)


def _dispatch(record: logging.LogRecord, handlers: Iterable[logging.Handler]) -> None:
    for handler in handlers:
        # Not by handle(), whose lock the end of the process would wait for while a write is stuck.
        if record.levelno >= handler.level and handler.filter(record):
            handler.emit(record)


class _ToDescriptor(logging.Handler):
    """Past the streams of Python, whose locks a thread that is stuck would keep beyond the end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._write = DescriptorWriter(descriptor, self.format)

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            self._write(record)


class _Formatted(logging.Handler):
    """Lines, objects or fields as ``pycarp run`` writes them."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            self.write(record)


class _Formatter(logging.Formatter):
    """``2026-11-23T02:48:29.842319: [WARNING] Switching to state: BACKUP``."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created).isoformat(timespec="microseconds")
        return f"{at}: [{record.levelname}] {super().format(record)}"


class _ToSyslog(logging.Handler):
    """Through the C library, which finds the socket again after syslogd was restarted."""

    def emit(self, record: logging.LogRecord) -> None:
        priority = _PRIORITIES.get(record.levelno, syslog.LOG_NOTICE)
        # A zero octet would end the message; what a peer sends never gets here as text, but be certain.
        syslog.syslog(priority, f"[{record.levelname}] {self.format(record)}".replace("\x00", "?"))
