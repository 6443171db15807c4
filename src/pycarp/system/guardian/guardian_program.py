"""The guardian's program: drops the addresses and bows out for a daemon that is dead or frozen.

``guardian.py`` starts it in a Python of its own, with the numbers of four descriptors and a time in seconds: SOCKET
BEATS LIFE GROUPS ROUND. It imports built-in modules only, also where the standard library has a friendlier one above
them, and nothing of pycarp. So it is ready within some 20 ms, needs few MiB, and shares no fault with the daemon. It
knows nothing of CARP.

The four descriptors are inherited, and connect it with the daemon:

- A socket (SOCK_SEQPACKET) with messages in both directions. The kernel closes the daemon's end when the daemon dies.
- A file in memory into which the daemon writes the time of the last beat of each plan (CLOCK_MONOTONIC, in ns). A beat
  is not a message, because a queue can be full and its content old: a guardian that was stopped and continues reads
  the newest beat, however long it was stopped. For the same reason, and because a message wakes a process up, the
  program writes there the time of its own last round, which tells the daemon that it neither stands still nor hangs.
- A pidfd of the daemon. It reports the daemon's death even if a forked child still holds that end of the socket.
- A file in memory into which the daemon writes the process groups of the programs that it runs, such as hooks. After
  the daemon's death they are ended: SIGTERM once the addresses are dropped, SIGKILL half a second later.

A clean-up plan belongs to one key. It has the steps to carry out when the daemon dies, or when no beat came for longer
than the plan's limit. The program has one thread and one loop. Before it acts on a beat that is overdue it receives all
messages and reads the beats again, so every message that the daemon sent before that moment counts.
"""

import _signal as signal  # type: ignore[import-not-found]  # typeshed lacks it
import _socket as socket
import marshal
import mmap
import posix as os
import select
import sys
import time

TYPE_CHECKING = False  # Not from typing, whose import takes a quarter of the time until we are ready.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

Key = tuple[str, int]
"""The key of a clean-up plan: link and vhid."""

Way = tuple[int, int, int, tuple[tuple[int, int, bytes], ...]]
"""A socket to be opened: family, kind, protocol, and options of level, name and value."""

SysctlWrite = tuple[str, str]
"""A path, with or without ``/proc/sys``, and the text to write there."""

Sending = tuple[Way, tuple[str | int | bytes, ...], bytes]
"""The socket to send through, the address to send to, and the octets."""

Message = tuple["Any", ...]
"""A verb and its arguments.

To the guardian: see ``_Guardian._receive``. To the daemon: ``("ready",)``, ``("unprotected", reasons)`` and
``("fired", key, serial, at_ns)``.
"""

ROUND_SLOT = 0
"""The slot of the beats' memory in which the program writes the time of its last round; the others are the daemon's."""

IDLE_ROUNDS = 4
"""Without a plan a round takes so many times as long: there is nothing to guard."""

_MOST_IN_LINE_OCTETS = 2048
_INT_OCTETS = 4
_BUFFER_OCTETS = 1 << 20  # The kernel grants less: some hundreds of messages.
_SENDING_S = 0.5
_PROGRAMS_GRACE_S = 0.5
_LOOK_EVERY_S = 0.01
_BEHIND_BEAT_NS = 10_000_000
"""A round begins so long after a beat is expected: what the daemon has just used is in the processor's cache then."""
_OOM_SCORE = "/proc/self/oom_score_adj"
_LEAST_LIKELY_OOM_VICTIM, _UNLIKELY_OOM_VICTIM = "-1000", -900
_MCL_CURRENT, _MCL_ONFAULT = 1, 4
_MADV_POPULATE_READ = 22
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
"""The signals that a service manager sends to all processes of a service; SIGABRT is from the watchdog of systemd."""


def main() -> None:
    """Guard the daemon; after its death execute the program that cleans up after it, if one was named."""
    _withstand()
    connection, beats, life, groups = map(int, sys.argv[1:5])
    memory, running = mmap.mmap(beats, 0), mmap.mmap(groups, 0, prot=mmap.PROT_READ)
    os.close(beats)
    os.close(groups)
    os.set_inheritable(life, False)
    daemon = socket.socket(fileno=connection)
    prepare(daemon)
    guardian = _Guardian(daemon, memoryview(memory).cast("q"), life, round_ns=round(float(sys.argv[5]) * 1e9))
    send(daemon, [("ready",)])
    _attempt(send, daemon, [("unprotected", tuple(_unprotected()))])
    afterwards = guardian.guard()
    if guardian.is_needed and (groups_left := _groups_in(running)) and guardian.is_orphaned():
        _end_programs(groups_left)
    daemon.close()
    if afterwards:
        # It inherits that SIGTERM is ignored: systemd sends one to all others when the main process of a service ends.
        _become(afterwards)


def prepare(connection: socket.socket) -> None:
    """Make an end of the socket non-blocking, and its send buffer large."""
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_OCTETS)


def send(connection: socket.socket, messages: list[Message]) -> None:
    """Send messages, all or none; raises OSError if they cannot be sent at once.

    Both ends run the same interpreter, so ``marshal`` is enough, and it needs no slow import. Messages too long for
    the socket's buffer are sent as a file in memory, because the size of a plan has no bound.
    """
    octets = marshal.dumps(messages)
    if len(octets) <= _MOST_IN_LINE_OCTETS:
        connection.send(octets)
        return
    with open(os.memfd_create("pycarp-plan"), "w+b") as file:
        file.write(octets)
        file.seek(0)
        descriptors = file.fileno().to_bytes(_INT_OCTETS, sys.byteorder)
        connection.sendmsg([b"file"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])


def receive(connection: socket.socket) -> tuple[list[Message], bool]:
    """Return the messages that have arrived, and True if the other end has closed the socket."""
    messages: list[Message] = []
    while True:
        try:
            octets, passed, _, _ = connection.recvmsg(_MOST_IN_LINE_OCTETS, socket.CMSG_LEN(_INT_OCTETS))
        except BlockingIOError:
            return messages, False
        except ConnectionResetError:
            # The other end closed without having read everything. The error comes once; its messages are still there.
            continue
        if not octets:
            return messages, True
        for _level, _kind, descriptor in passed:
            with open(int.from_bytes(descriptor, sys.byteorder), "rb") as file:
                octets = file.read()
        messages += marshal.loads(octets)  # noqa: S302  # only from the other end of our socketpair


class _CleanUpPlan:
    """The clean-up plan of a key: ``first`` drops the addresses, ``then`` sends the bow-out."""

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
    """Sockets that are opened in advance: a failing system may refuse new ones."""

    def __init__(self) -> None:
        self._open: dict[Way, socket.socket] = {}
        self._plans: dict[Way, int] = {}  # How many plans need each socket.

    def send(self, way: Way, address: tuple[str | int | bytes, ...], octets: bytes, ends_s: float) -> None:
        if way not in self._open:
            self.open(way)
        connection = self._open[way]
        if connection.family == socket.AF_PACKET and isinstance(address[0], int):
            # Python wants a name, and the link may have another one by now than when the frame was prepared.
            address = (socket.if_indextoname(address[0]), *address[1:])
        connection.settimeout(max(ends_s - time.monotonic(), 0))
        connection.sendto(octets, address)

    def open(self, way: Way) -> None:
        family, kind, protocol, options = way
        connection = socket.socket(family, kind, protocol)
        try:
            for option in options:
                connection.setsockopt(*option)
            # Nobody reads from it, so the kernel should queue as little as possible.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        except OSError:
            connection.close()
            raise
        self._open[way] = connection

    def need(self, ways: set[Way]) -> None:
        """Open the missing sockets of one more plan, as far as possible."""
        for way in ways:
            self._plans[way] = self._plans.get(way, 0) + 1
            if way not in self._open:
                _attempt(self.open, way)

    def release(self, ways: set[Way]) -> None:
        """Close the sockets that no other plan needs."""
        for way in ways:
            self._plans[way] -= 1
            if not self._plans[way]:
                del self._plans[way]
                if way in self._open:
                    self._open.pop(way).close()


class _Guardian:
    """Keeps the clean-up plans, and carries them out when the daemon is dead or a beat is overdue."""

    def __init__(self, daemon: socket.socket, beats: memoryview, life: int, *, round_ns: int) -> None:
        self._daemon = daemon
        self._beats = beats.toreadonly()
        self._rounds = beats[ROUND_SLOT : ROUND_SLOT + 1]
        self._life = life
        self._round_ns = round_ns
        self._plans: dict[Key, _CleanUpPlan] = {}
        self._slots: dict[int, list[int]] = {}  # of all plans, by limit; empty when these have changed
        self._sockets = _Sockets()
        self._afterwards: tuple[str, ...] = ()
        self._is_dismissed = False
        self._due_at_ns: int | None = None  # No plan becomes overdue before: beats only put that off.
        self._latest_beat_ns = 0

    def guard(self) -> tuple[str, ...]:
        """Guard until the daemon says goodbye or dies; return the program to execute then, empty after a goodbye."""
        events = select.poll()
        for descriptor in (self._daemon.fileno(), self._life):
            events.register(descriptor, select.POLLIN)
        while True:
            happened = events.poll(self._wait_ms())
            self._rounds[0] = time.monotonic_ns()
            if not happened:
                self._read_beats()
                if self._due_at_ns is None or self._due_at_ns >= time.monotonic_ns():
                    continue
            messages, is_closed = receive(self._daemon)
            for each in messages:
                self._receive(each)
            if self._is_dismissed:
                return ()
            if is_closed or self._life in dict(happened):
                self._carry_out(self._plans.values())
                return self._afterwards
            # All plans are looked at only when one may be overdue: thousands are armed one after the other.
            if self._due_at_ns is not None and self._due_at_ns < (now_ns := time.monotonic_ns()):
                self._carry_out_overdue(now_ns)
                self._read_beats()

    @property
    def is_needed(self) -> bool:
        """True unless the daemon has said goodbye."""
        return not self._is_dismissed

    def is_orphaned(self) -> bool:
        """Return True if the daemon is dead; wait for that a while, because its socket closes a moment before."""
        life = select.poll()
        life.register(self._life, select.POLLIN)
        return bool(life.poll(_PROGRAMS_GRACE_S * 1000))

    def _receive(self, message: Message) -> None:
        match message:
            case ("arm", key, serial, slot, limit_ns, first, then):
                self._arm(_CleanUpPlan(key, serial, slot, limit_ns, first, then))
            case ("disarm", key):
                self._forget([self._plans[key]] if key in self._plans else [])
            case ("afterwards", argv):
                self._afterwards = argv
            case ("goodbye",):
                self._is_dismissed = True

    def _arm(self, plan: _CleanUpPlan) -> None:
        previous = self._plans.get(plan.key)
        self._plans[plan.key] = plan
        self._slots = {}
        self._sockets.need(plan.ways)
        if previous is not None:
            self._sockets.release(previous.ways)
        due_at_ns = self._due_of(plan)
        if self._due_at_ns is None or due_at_ns < self._due_at_ns:
            self._due_at_ns = due_at_ns

    def _forget(self, plans: list[_CleanUpPlan]) -> None:
        for plan in plans:
            del self._plans[plan.key]
            self._sockets.release(plan.ways)
        self._slots = {}
        if not self._plans:
            self._due_at_ns = None

    def _wait_ms(self) -> float:
        """Return the time until a plan can become overdue or the next round is due, in ms."""
        now_ns = time.monotonic_ns()
        if self._due_at_ns is None:
            return IDLE_ROUNDS * self._round_ns / 1_000_000
        wait_ns = self._latest_beat_ns + self._round_ns + _BEHIND_BEAT_NS - now_ns
        if not self._round_ns // 2 < wait_ns < self._round_ns:
            wait_ns = self._round_ns
        return max(min(wait_ns, self._due_at_ns - now_ns), 0) / 1_000_000

    def _read_beats(self) -> None:
        """Read when the last beat of all was, and when the first plan becomes overdue if its beat stays away."""
        if not self._slots:
            for plan in self._plans.values():
                self._slots.setdefault(plan.limit_ns, []).append(plan.slot)
        # In as few steps as possible: there may be thousands, and nothing of this is in the processor's cache.
        beats = [(limit_ns, [*map(self._beats.__getitem__, slots)]) for limit_ns, slots in self._slots.items()]
        self._latest_beat_ns = max((max(at_ns) for _limit_ns, at_ns in beats), default=0)
        self._due_at_ns = min((min(at_ns) + limit_ns for limit_ns, at_ns in beats), default=None)

    def _due_of(self, plan: _CleanUpPlan) -> int:
        last_beat_at_ns: int = self._beats[plan.slot]
        return last_beat_at_ns + plan.limit_ns

    def _carry_out_overdue(self, now_ns: int) -> None:
        overdue = [plan for plan in self._plans.values() if self._due_of(plan) < now_ns]
        if overdue:
            self._carry_out(overdue)
            _attempt(send, self._daemon, [("fired", plan.key, plan.serial, now_ns) for plan in overdue])
            self._forget(overdue)

    def _carry_out(self, plans: "Iterable[_CleanUpPlan]") -> None:
        """Drop the addresses of all plans, then send their packets; a step that fails does not stop the others."""
        plans = tuple(plans)
        ends_s = time.monotonic() + _SENDING_S
        for plan in plans:
            for step in plan.first:
                if len(step) == 2:
                    _attempt(_write, *step)
                else:
                    _attempt(self._sockets.send, *step, ends_s)
        ends_s = time.monotonic() + _SENDING_S
        for plan in plans:
            for sending in plan.then:
                _attempt(self._sockets.send, *sending, ends_s)


def _groups_in(running: mmap.mmap) -> list[int]:
    return [group for group in memoryview(running).cast("q") if group > 1]


def _end_programs(groups: list[int]) -> None:
    """End process groups: ask them first, kill what is left after a while."""
    for group in groups:
        _attempt(os.killpg, group, signal.SIGTERM)
    ends_s = time.monotonic() + _PROGRAMS_GRACE_S
    while time.monotonic() < ends_s and any(_attempt(os.killpg, group, 0) for group in groups):
        time.sleep(_LOOK_EVERY_S)
    for group in groups:
        _attempt(os.killpg, group, signal.SIGKILL)


def _become(program: tuple[str, ...]) -> None:
    try:
        os.execv(program[0], program)  # no shell is wanted
    except OSError as exc:
        sys.exit(f"pycarp-guardian: cannot run {program[0]}: {exc.strerror}")


def _write(path: str, text: str) -> None:
    with open(path if path.startswith("/") else f"/proc/sys/{path}", "w") as file:
        file.write(text)


def _attempt(do: "Callable[..., object]", *arguments: object) -> bool:
    """Return True if the call succeeded.

    Errors of malformed arguments count as failures, too: a faulty step must not stop the others.
    """
    try:
        do(*arguments)
    except (OSError, MemoryError, ValueError, TypeError, OverflowError):
        return False
    return True


def _withstand() -> None:
    """Ignore the signals that end the daemon, and avoid the OOM killer as far as permitted."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    _attempt(_write, _OOM_SCORE, _LEAST_LIKELY_OOM_VICTIM)
    _attempt(_write, "/proc/self/comm", "pycarp-guardian")


def _unprotected() -> "Iterable[str]":
    """Lock the memory; yield a sentence for each protection that failed, with its cause and the way out."""
    why_not_locked = _lock_memory()
    if why_not_locked:
        yield f"its memory is not locked ({why_not_locked}; allow it with LimitMEMLOCK=infinity or ulimit -l)"
    with open(_OOM_SCORE) as file:
        score = int(file.read())
    if score > _UNLIKELY_OOM_VICTIM:
        yield "it may be killed when memory runs out (allow it with OOMScoreAdjust=-1000 or CAP_SYS_RESOURCE at start)"


def _lock_memory() -> str | None:
    """Ask the kernel to keep this process in memory; return None, or why it refused."""
    try:
        from ctypes import CDLL, c_size_t, c_void_p, get_errno  # noqa: PLC0415  # some builds of Python lack it
    except ImportError:
        return "this Python has no ctypes"
    library = CDLL(None, use_errno=True)
    # What is read into memory before it is needed stays the daemon's, too; MCL_CURRENT alone makes copies of all that
    # could be written, two MiB of libraries. Kernels before 5.14 know it no other way.
    if library.mlockall(_MCL_CURRENT | _MCL_ONFAULT) == 0 and all(
        library.madvise(c_void_p(start), c_size_t(end - start), _MADV_POPULATE_READ) == 0 for start, end in _mappings()
    ):
        return None
    return None if library.mlockall(_MCL_CURRENT) == 0 else os.strerror(get_errno())


def _mappings() -> "Iterator[tuple[int, int]]":
    """Yield where the memory of this process that can be read begins and ends, without the kernel's own pages."""
    with open("/proc/self/maps") as file:
        lines = file.read().splitlines()
    for line in lines:
        where, permissions, *_ = line.split()
        if permissions.startswith("r") and "[v" not in line:
            start, _, end = where.partition("-")
            yield int(start, 16), int(end, 16)


if __name__ == "__main__":
    main()
