"""The guardian's program: it does what a daemon that is dead or frozen can no longer do.

``guardian.py`` starts it as ``python -I -S guardian_process.py SOCKET BEATS LIFE``. It stands alone, imports a few
modules of the standard library and nothing of pycarp: so it is there within some 25 ms, needs few MiB, and whatever
broke the daemon is not in it. It knows nothing of CARP.

Three descriptors that it inherits connect it with the daemon:

- A socket (SOCK_SEQPACKET) with messages in both directions. The kernel closes the daemon's end when the daemon dies.
- A file in memory into which the daemon writes, for each will, the time of its last beat (CLOCK_MONOTONIC, in ns). A
  beat is no message, because a queue of messages can be full, and what is in it is old: a guardian that was stopped and
  continues reads the newest beat, however long that took.
- A pidfd of the daemon. It tells of its death even if a child that it has forked still holds its end of the socket.

A will is what the daemon leaves behind for one key: steps to take when the daemon dies, or when its beats stay away for
longer than the limit of this will. There is one thread and one loop. It takes in all messages before it looks at the
beats, so whatever the daemon has said before that moment counts.
"""

import marshal
import mmap
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable

TYPE_CHECKING = False  # Not from typing, whose import takes a quarter of the time until we are ready.
if TYPE_CHECKING:
    from typing import Any

Key = tuple[str, int]
"""What a will is called: link and vhid."""

Way = tuple[int, int, int, tuple[tuple[int, int, bytes], ...]]
"""A socket to be opened: family, kind, protocol, and options of level, name and value."""

SysctlWrite = tuple[str, str]
"""A path, of which ``/proc/sys`` may be left out, and the text to write there."""

Sending = tuple[Way, tuple[str | int | bytes, ...], bytes]
"""The socket to send through, the address to send to, and the octets."""

Message = tuple["Any", ...]
"""A word and what belongs to it.

To the guardian: see ``_Guardian._hear``. To the daemon: ``("ready",)``, ``("unprotected", reasons)``, ``("alive",)``
for each ``("ping",)``, and ``("fired", key, serial, at_ns)``.
"""

_MOST_IN_LINE_OCTETS = 2048
_BUFFER_OCTETS = 1 << 20  # The kernel grants less: some hundreds of messages.
_SENDING_S = 0.5
_LONGEST_WAIT_MS = 3_600_000.0
_OOM_SCORE = "/proc/self/oom_score_adj"
_LEAST_LIKELY_OOM_VICTIM, _UNLIKELY_OOM_VICTIM = "-1000", -900
_MCL_CURRENT = 1
_ENDING = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGABRT,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""What a manager or an administrator sends to all processes of a service; SIGABRT is the watchdog of systemd."""


def main() -> None:
    """Guard the daemon, and when it died go on as the program that cleans up after it, if there is one."""
    _withstand()
    connection, beats, life = map(int, sys.argv[1:])
    memory = mmap.mmap(beats, 0, prot=mmap.PROT_READ)
    os.close(beats)
    os.set_inheritable(life, False)
    with socket.socket(fileno=connection) as daemon:
        prepare(daemon)
        guardian = _Guardian(daemon, memoryview(memory).cast("q"), life)
        send(daemon, [("ready",)])
        _attempt(send, daemon, [("unprotected", tuple(_unprotected()))])
        afterwards = guardian.guard()
    if afterwards:
        # It inherits that SIGTERM is ignored: the end of a service's main process makes systemd send one to all others.
        _become(afterwards)


def prepare(connection: socket.socket) -> None:
    """Make an end of the socket one that never waits and holds many messages."""
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_OCTETS)


def send(connection: socket.socket, messages: list[Message]) -> None:
    """Send messages, all or none; OSError if they cannot be sent at once.

    Both ends run the same interpreter, so ``marshal`` will do; it costs no import. What is too long for the buffer of a
    socket travels as a file: a will has no bound.
    """
    octets = marshal.dumps(messages)
    if len(octets) <= _MOST_IN_LINE_OCTETS:
        connection.send(octets)
        return
    with open(os.memfd_create("pycarp-will"), "w+b") as file:
        file.write(octets)
        file.seek(0)
        socket.send_fds(connection, [b"file"], [file.fileno()])


def receive(connection: socket.socket) -> tuple[list[Message], bool]:
    """Return all messages that wait, and whether no more can come."""
    messages: list[Message] = []
    while True:
        try:
            octets, descriptors, _, _ = socket.recv_fds(connection, _MOST_IN_LINE_OCTETS, 1)
        except BlockingIOError:
            return messages, False
        except ConnectionResetError:
            # It closed without having read all of ours, and that is said once; what it has sent is still there.
            continue
        if not octets:
            return messages, True
        for descriptor in descriptors:
            with open(descriptor, "rb") as file:
                octets = file.read()
        messages += marshal.loads(octets)  # noqa: S302  # from nobody but our own other half


class _Will:
    """What the daemon leaves behind: ``first`` makes this machine let go, ``then`` tells the others."""

    __slots__ = ("first", "key", "limit_ns", "serial", "slot", "then", "ways")

    def __init__(
        self,
        key: Key,
        serial: int,
        slot: int,
        limit_ns: int,
        first: tuple[SysctlWrite | Sending, ...],
        then: tuple[Sending, ...],
    ) -> None:
        self.key = key
        self.serial = serial
        self.slot = slot
        self.limit_ns = limit_ns
        self.first = first
        self.then = then
        self.ways: set[Way] = {step[0] for step in (*first, *then) if len(step) == 3}


class _Sockets:
    """Sockets that are open before they are needed: a dying system may have none to give."""

    def __init__(self) -> None:
        self._open: dict[Way, socket.socket] = {}

    def send(self, way: Way, address: tuple[str | int | bytes, ...], octets: bytes, ends_s: float) -> None:
        if way not in self._open:
            self.open(way)
        connection = self._open[way]
        connection.settimeout(max(ends_s - time.monotonic(), 0))
        connection.sendto(octets, address)

    def open(self, way: Way) -> None:
        family, kind, protocol, options = way
        connection = socket.socket(family, kind, protocol)
        try:
            for option in options:
                connection.setsockopt(*option)
            # Nobody reads from it: let the kernel keep as little as it can.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        except OSError:
            connection.close()
            raise
        self._open[way] = connection

    def keep(self, ways: set[Way]) -> None:
        """Close all others, open what is missing as far as that is possible."""
        for way in self._open.keys() - ways:
            self._open.pop(way).close()
        for way in ways - self._open.keys():
            _attempt(self.open, way)


class _Guardian:
    """The wills, and when they are carried out."""

    def __init__(self, daemon: socket.socket, beats: memoryview, life: int) -> None:
        self._daemon = daemon
        self._beats = beats
        self._life = life
        self._wills: dict[Key, _Will] = {}
        self._sockets = _Sockets()
        self._afterwards: tuple[str, ...] = ()
        self._is_dismissed = False

    def guard(self) -> tuple[str, ...]:
        """Return when the daemon has said goodbye or died: what is to be run, and nothing after a goodbye."""
        events = select.poll()
        for descriptor in (self._daemon.fileno(), self._life):
            events.register(descriptor, select.POLLIN)
        while True:
            happened = events.poll(self._wait_ms())
            messages, is_closed = receive(self._daemon)
            for each in messages:
                self._hear(each)
            if self._is_dismissed:
                return ()
            if is_closed or self._life in dict(happened):
                self._carry_out(self._wills.values())
                return self._afterwards
            self._carry_out_overdue(time.monotonic_ns())

    def _hear(self, message: Message) -> None:
        match message:
            case ("arm", key, serial, slot, limit_ns, first, then):
                self._arm(_Will(key, serial, slot, limit_ns, first, then))
            case ("disarm", key):
                self._forget([self._wills[key]] if key in self._wills else [])
            case ("afterwards", argv):
                self._afterwards = argv
            case ("ping",):
                _attempt(send, self._daemon, [("alive",)])
            case ("goodbye",):
                self._is_dismissed = True

    def _arm(self, will: _Will) -> None:
        previous = self._wills.get(will.key)
        self._wills[will.key] = will
        if previous is None or previous.ways != will.ways:
            self._keep_sockets()

    def _forget(self, wills: list[_Will]) -> None:
        for will in wills:
            del self._wills[will.key]
        self._keep_sockets()

    def _keep_sockets(self) -> None:
        self._sockets.keep({way for will in self._wills.values() for way in will.ways})

    def _wait_ms(self) -> float | None:
        """Return how long nothing can become overdue, None without any will."""
        if not self._wills:
            return None
        due_at_ns = min(self._due_at_ns(will) for will in self._wills.values())
        return min(max((due_at_ns - time.monotonic_ns()) / 1_000_000, 0.0), _LONGEST_WAIT_MS)

    def _due_at_ns(self, will: _Will) -> int:
        last_beat_at_ns: int = self._beats[will.slot]
        return last_beat_at_ns + will.limit_ns

    def _carry_out_overdue(self, now_ns: int) -> None:
        overdue = [will for will in self._wills.values() if self._due_at_ns(will) < now_ns]
        if overdue:
            self._carry_out(overdue)
            _attempt(send, self._daemon, [("fired", will.key, will.serial, now_ns) for will in overdue])
            self._forget(overdue)

    def _carry_out(self, wills: Iterable[_Will]) -> None:
        """Let this machine let go of everything before the others hear of it; whatever fails, the rest is done."""
        wills = tuple(wills)
        ends_s = time.monotonic() + _SENDING_S
        for will in wills:
            for step in will.first:
                if len(step) == 2:
                    _attempt(_write, *step)
                else:
                    _attempt(self._sockets.send, *step, ends_s)
        ends_s = time.monotonic() + _SENDING_S
        for will in wills:
            for sending in will.then:
                _attempt(self._sockets.send, *sending, ends_s)


def _become(program: tuple[str, ...]) -> None:
    try:
        os.execv(program[0], program)  # noqa: S606  # no shell is wanted
    except OSError as exc:
        sys.exit(f"pycarp-guardian: cannot run {program[0]}: {exc.strerror}")


def _write(path: str, text: str) -> None:
    with open(os.path.join("/proc/sys", path), "w") as file:
        file.write(text)


def _attempt(do: Callable[..., object], *arguments: object) -> bool:
    """Return whether it could be done; also of what makes no sense, so that a fault in one step spoils no other."""
    try:
        do(*arguments)
    except (OSError, MemoryError, ValueError, TypeError, OverflowError):
        return False
    return True


def _withstand() -> None:
    """Outlive what ends the daemon, as far as we are permitted to."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    _attempt(_write, _OOM_SCORE, _LEAST_LIKELY_OOM_VICTIM)
    _attempt(_write, "/proc/self/comm", "pycarp-guardian")


def _unprotected() -> Iterable[str]:
    """Lock our memory, and yield in words what could not be protected, each with its cause and the way out."""
    why_not_locked = _lock_memory()
    if why_not_locked:
        yield f"its memory is not locked ({why_not_locked}; allow it with LimitMEMLOCK=infinity or ulimit -l)"
    with open(_OOM_SCORE) as file:
        score = int(file.read())
    if score > _UNLIKELY_OOM_VICTIM:
        yield "it may be killed when memory runs out (allow it with OOMScoreAdjust=-1000 or CAP_SYS_RESOURCE at start)"


def _lock_memory() -> str | None:
    """Ask the kernel not to page us out; return why it does not."""
    try:
        from ctypes import CDLL, get_errno  # noqa: PLC0415  # takes its time, and some builds of Python lack it
    except ImportError:
        return "this Python has no ctypes"
    if CDLL(None, use_errno=True).mlockall(_MCL_CURRENT) == 0:
        return None
    return os.strerror(get_errno())


if __name__ == "__main__":
    main()
