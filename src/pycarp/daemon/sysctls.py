"""The sysctls ``net.inet.carp.*`` of a node. Source of names, defaults and of the additive demotion: carp.md 6.1."""

from collections.abc import Callable

from msgspec.structs import replace

from pycarp.aio.log_records import logger
from pycarp.aio.node import Node
from pycarp.core.settings import Settings
from pycarp.daemon.control_messages import SysctlReply
from pycarp.dialects import UNIVERSAL, Dialect
from pycarp.errors import UsageError
from pycarp.spelling import guess

PREFIX = "net.inet.carp."
NAMES = ("allow", "preempt", "log", "demotion", "senderr_demotion_factor", "ifdown_demotion_factor")
DEMOTION_MAX = 2**31 - 1
LOG_NOTHING, LOG_CHANGES, LOG_PACKETS = 0, 1, 2
EFFECTIVE_DEMOTION_MAX = 240
"""The largest sum of demotions that an advskew can show. Source: FreeBSD's ip_carp.c, carp.md 6.1."""

CAUSE = "net.inet.carp.demotion"


def parse(assignment: str) -> tuple[str, int | None]:
    """Return name and value of ``net.inet.carp.log=1``, or name and None without ``=1``; UsageError otherwise."""
    name, equals, text = assignment.partition("=")
    check_name(name)
    if not equals:
        return name, None
    try:
        return name, int(text)
    except ValueError:
        raise UsageError(f"{name}: {text!r} is not a whole number") from None


def check_name(name: str) -> None:
    """Raise UsageError unless ``name`` is one of the sysctls."""
    if name.removeprefix(PREFIX) not in NAMES or not name.startswith(PREFIX):
        known = [PREFIX + each for each in NAMES]
        raise UsageError(f"unknown sysctl {name!r}; there are: {', '.join(known)}{guess(name, known)}")


def excess(name: str, total: int, *, undo: str) -> str:
    """Return a warning if a sum of demotions, called ``name``, leaves 0-240, else nothing; ``undo`` makes it 0."""
    if 0 <= total <= EFFECTIVE_DEMOTION_MAX:
        return ""
    bound = 0 if total < 0 else EFFECTIVE_DEMOTION_MAX
    outside = f"outside 0-{EFFECTIVE_DEMOTION_MAX}: it counts as {bound}"
    return f"{name} is a sum and is {total} now, {outside}; {undo} makes it 0"


class Sysctls:
    """Reads and sets the sysctls of a node; ``set_log`` is called with the log level."""

    def __init__(self, node: Node, set_log: Callable[[int], None]) -> None:
        self._node = node
        self._set_log = set_log
        self._log = LOG_CHANGES
        self._demotion = 0

    def read(self, name: str) -> int:
        """Return the value of a sysctl; raises UsageError for an unknown one."""
        check_name(name)
        return self.all()[name]

    def asked(self, name: str) -> int:
        """Return the value that was written: for ``demotion`` the sum of all writes, else the value of ``read``."""
        return self._demotion if name == PREFIX + "demotion" else self.read(name)

    def default(self, name: str) -> int:
        """Return the value of ``asked`` for a sysctl that nobody has written."""
        check_name(name)
        settings = Settings()
        return {
            "allow": int(settings.allow),
            "preempt": int(settings.preempt),
            "log": LOG_CHANGES,
            "demotion": 0,
            "senderr_demotion_factor": self._dialect.send_errors.demotion,
            "ifdown_demotion_factor": self._dialect.link_down_demotion,
        }[name.removeprefix(PREFIX)]

    def write(self, name: str, value: int) -> None:
        """Set a sysctl; for ``demotion`` the value is added, as on FreeBSD. Raises UsageError if it is out of range."""
        check_name(name)
        match name.removeprefix(PREFIX):
            case "demotion":
                self._demotion = _within(name, self._demotion + value, DEMOTION_MAX, low=-DEMOTION_MAX)
                self._node.demote(CAUSE, by=self._demotion)
                if warning := self.warning(name):
                    logger.warning("carp: %s", warning)
            case "log":
                self._log = _within(name, value, LOG_PACKETS)
                self._set_log(value)
            case "senderr_demotion_factor":
                amount = _within(name, value, DEMOTION_MAX)
                self._node.set_settings(replace(self._node.settings, senderr_demotion_factor=amount))
            case "ifdown_demotion_factor":
                amount = _within(name, value, DEMOTION_MAX)
                self._node.set_settings(replace(self._node.settings, ifdown_demotion_factor=amount))
            case switch:
                is_on = bool(_within(name, value, 1))
                self._node.set_settings(replace(self._node.settings, **{switch: is_on}))

    def warning(self, name: str) -> str:
        """Return a warning about the value of a sysctl, empty if there is none."""
        if name != f"{PREFIX}demotion":
            return ""
        return excess(name, self._demotion, undo=f"{name}={-self._demotion}")

    @property
    def _dialect(self) -> Dialect:
        """The dialect whose factors are the defaults: that of the first host."""
        return next((host.config.dialect for host in self._node.hosts), UNIVERSAL)

    def answer(self, name: str, value: int | None) -> SysctlReply:
        """Read a sysctl, or set it if there is a value; raises UsageError for an unknown one or a wrong value."""
        before = self.read(name)
        if value is not None:
            self.write(name, value)
        warning = "" if value is None else self.warning(name)
        return SysctlReply(name=name, before=before, value=self.read(name), warning=warning)

    def all(self) -> dict[str, int]:
        """Return every sysctl by its full name."""
        # Once for all: a snapshot of a thousand hosts takes many milliseconds.
        snapshot = self._node.snapshot()
        settings = snapshot.settings
        values = {
            "allow": int(settings.allow),
            "preempt": int(settings.preempt),
            "log": self._log,
            "demotion": snapshot.demotion,
            "senderr_demotion_factor": _factor(settings.senderr_demotion_factor, self._dialect.send_errors.demotion),
            "ifdown_demotion_factor": _factor(settings.ifdown_demotion_factor, self._dialect.link_down_demotion),
        }
        return {PREFIX + name: values[name] for name in NAMES}


def _factor(said: int | None, of_dialect: int) -> int:
    return of_dialect if said is None else said


def _within(name: str, value: int, high: int, *, low: int = 0) -> int:
    if not low <= value <= high:
        raise UsageError(f"{name}: {value} is outside {low}-{high}")
    return value
