"""The daemon's side of the guardian: starts the guardian process, watches it, and replaces it when it dies or hangs.

The guardian process drops the addresses and bows out when the daemon is dead or frozen. ``guardian_program.py``
describes what it does, and the protocol between the two.
"""

import asyncio
import contextlib
import logging
import marshal
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from typing import IO

import msgspec

from pycarp.errors import ActuatorError
from pycarp.system import process_groups
from pycarp.system.guardian import guardian_program
from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket, Request, SysctlWrite
from pycarp.system.guardian.guardian_program import Message, Sending, Way
from pycarp.vocabulary import HostKey

_READY_S = 5.0
_GOODBYE_S = 1.0
_SEND_TIMEOUT_S = 1.0
"""How long the guardian process may take no messages."""
_BACKOFF_S = (0.0, 0.1, 1.0)
_HEALTHY_S = 10.0
ROUND_S = 1.0
"""How often the guardian process shows that it is alive while anything is armed; idle, it does so less often."""
_ROUNDS_MISSED_MOST = 3
_ROUNDS_BEFORE_READY_MOST = 10
_TENTH_NS = 100_000_000
_RUN = "import marshal, sys; exec(marshal.loads(open(int(sys.argv.pop()), 'rb').read()))"
_SLOTS = 16384  # of eight octets each; only those in use need memory
_ROUTE: Way = (int(socket.AF_NETLINK), int(socket.SOCK_RAW), socket.NETLINK_ROUTE, ())
_KERNEL = (0, 0)


class GuardianFired(msgspec.Struct, frozen=True):
    """The guardian received no beat of a key in time and ran its clean-up steps, at ``at_ns`` of CLOCK_MONOTONIC.

    The key is no longer armed, unless it was armed again in the meantime.
    """

    key: HostKey
    at_ns: int


class GuardianLost(msgspec.Struct, frozen=True):
    """The guardian process is gone, for this reason; a new one will be started."""

    reason: str


class GuardianRestarted(msgspec.Struct, frozen=True):
    """A new guardian process with this process id is ready and knows every armed key."""

    pid: int


GuardianNews = GuardianFired | GuardianLost | GuardianRestarted


_log = logging.getLogger("pycarp.guardian")


def log_news(news: GuardianNews) -> None:
    """Log that a guardian fired, was lost or was replaced, on ``pycarp.guardian``."""
    match news:
        case GuardianFired(key):
            _log.warning("carp: %s: no sign of life for too long: the guardian dropped the addresses", key)
        case GuardianLost(reason):
            _log.warning("carp: the guardian %s; it is replaced", reason)
        case GuardianRestarted(pid):
            _log.info("carp: guardian is process %d", pid)


def log_unprotected(reasons: tuple[str, ...]) -> None:
    """Log from what the guardian process could not protect itself, on ``pycarp.guardian``."""
    if reasons:
        _log.warning("carp: the guardian is not protected: %s", "; ".join(reasons))


class Guardian:
    """Keeps the armed keys and the guardian process that knows them.

    When the daemon has died and all clean-up steps are done, the guardian process ends the programs that the daemon was
    running, and then executes ``afterwards``: a program with its arguments, by its full path, because it starts in
    ``/``. That program inherits the ignored signals
    (SIGTERM, SIGABRT and others). ``python`` runs the guardian and must be of the same version as this interpreter.
    Every ``round_s`` seconds the guardian process writes the time into memory, and the daemon looks there; one that
    wrote nothing for three looks in a row is stopped or hangs, and is replaced. While nothing is armed both take four
    times as long, but what is armed then is guarded as soon: the looks that follow are ``round_s`` apart.

    ``notice`` and ``on_unprotected`` are called in the event loop. ``on_unprotected`` gets one sentence, with the way
    out, for each danger that the guardian process could not protect itself from; it is called again only when these
    change. By default both log. Keys can be armed only between ``start`` and ``close``.
    """

    def __init__(
        self,
        *,
        notice: Callable[[GuardianNews], None] = log_news,
        on_unprotected: Callable[[tuple[str, ...]], None] = log_unprotected,
        afterwards: tuple[str, ...] = (),
        python: str = sys.executable,
        round_s: float = ROUND_S,
    ) -> None:
        self._notice = notice
        self._round_s = round_s
        self._on_unprotected = on_unprotected
        self._afterwards = afterwards
        self._python = python
        self._beats: _Beats | None = None
        self._process: _GuardianProcess | None = None
        self._starting: tuple[_Beats, _GuardianProcess] | None = None
        self._armed: dict[HostKey, _Arming] = {}
        self._serial = 0
        self._gathered: list[Message] | None = None
        self._restarts = 0
        self._next_restart: asyncio.TimerHandle | None = None
        self._next_look: asyncio.TimerHandle | None = None
        self._unprotected: tuple[str, ...] = ()

    @property
    def pid(self) -> int | None:
        """The process id of the guardian, None while none runs."""
        return self._process.pid if self._process else None

    def begin(self) -> None:
        """Start the guardian process; while it gets ready, others may prepare what they need before ``start``.

        No-op if it was started; ``close`` ends it. Raises ActuatorError when it cannot be started.
        """
        if self._starting is not None or self._process is not None:
            return
        with contextlib.ExitStack() as undo:
            try:
                beats = undo.enter_context(contextlib.closing(_Beats()))
                self._starting = beats, self._new_process(beats)
            except OSError as exc:
                raise ActuatorError(f"cannot start the guardian with {self._python}: {exc.strerror or exc}") from exc
            undo.pop_all()

    async def start(self) -> None:
        """Start the guardian process unless it was, and wait until it is ready; raises ActuatorError if it is not."""
        self.begin()
        assert self._starting is not None, "it is started once"
        (beats, process), self._starting = self._starting, None
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(beats.close)
            undo.push_async_callback(process.dismiss, _GOODBYE_S)
            refusal = await process.refusal(_READY_S)
            if refusal:
                raise ActuatorError(f"the guardian, started with {self._python}, {refusal}")
            undo.pop_all()
        self._beats, self._process = beats, process
        self._look_later()

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        """Order the clean-up steps for the moment when the daemon dies, or ``limit_ns`` after the key's last beat.

        Arming counts as a beat, and replaces the previous steps of the key atomically. The guardian first carries out
        the requests and sysctl writes of all keys, in their order, then sends the prepared packets.
        No-op before ``start`` and after ``close``.
        """
        if self._beats is None:
            return
        previous = self._armed.get(key)
        if previous is not None and previous.limit_ns == limit_ns and previous.steps == steps:
            # The guardian knows them; after each hold they are ordered once more.
            self._beats.beat(previous.slot)
            previous.ordered_at_ns = self._beats.latest_ns
            return
        slot = previous.slot if previous else self._beats.take()
        is_first = not self._armed
        self._order(key, slot, steps, limit_ns)
        if is_first:
            self._look_later()

    def _order(self, key: HostKey, slot: int, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        assert self._beats is not None
        self._serial += 1
        self._beats.beat(slot)
        self._armed[key] = armed = _Arming(slot, self._serial, steps, limit_ns, self._beats.latest_ns)
        self._send(armed.message_for(key))

    def gather(self) -> None:
        """Send what is ordered from now on together, in the next turn of the event loop.

        It arrives before anything is done by a task that is started after this call, such as a hold.
        """
        if self._gathered is None and self._beats is not None:
            self._gathered = []
            asyncio.get_running_loop().call_soon(self._send_gathered)

    def beat(self, key: HostKey) -> None:
        """Record that the key is healthy; takes less than a microsecond, and is a no-op if the key is not armed."""
        armed = self._armed.get(key)
        if armed and self._beats:
            self._beats.beat(armed.slot)

    def beat_together(self, keys: Sequence[HostKey]) -> None:
        """Record that keys are healthy; ignores those that are not armed."""
        if self._beats:
            armed = self._armed
            self._beats.beat_all([each.slot for key in keys if (each := armed.get(key)) is not None])

    def disarm(self, key: HostKey) -> None:
        """Cancel the clean-up steps of a key; no-op if it is not armed."""
        if key in self._armed:
            self._forget(key)
            self._send(("disarm", tuple(key)))

    async def close(self) -> None:
        """End the guardian process; kill it if that takes longer than a second. No-op if there is none.

        A key that is still armed has addresses that the daemon failed to drop: the guardian process then carries out
        the clean-up steps before it ends.
        """
        for timer in (self._next_restart, self._next_look):
            if timer:
                timer.cancel()
        self._next_restart = self._next_look = None
        self._send_gathered()
        if self._starting is not None:
            (begun_beats, begun), self._starting = self._starting, None
            try:
                await begun.dismiss(_GOODBYE_S)
            finally:
                begun_beats.close()
        beats, self._beats = self._beats, None
        process, self._process = self._process, None
        is_over = not self._armed
        self._armed.clear()
        try:
            if process:
                await process.dismiss(_GOODBYE_S, with_goodbye=is_over)
        finally:
            if beats:
                beats.close()

    def _send(self, message: Message) -> None:
        if self._gathered is not None:
            self._gathered.append(message)
        elif self._process:
            self._process.send([message])

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered and self._process:
            self._process.send(gathered)

    def _look_later(self) -> None:
        """Set the timer for the next look at the guardian process, to a time at which this process wakes up anyway.

        A wake-up of its own costs fifty times as much as the look. MASTERs beat at the beginning of a slot, and
        advertisements that wait are read at whole seconds.
        """
        assert self._beats is not None
        if self._next_look is not None:
            self._next_look.cancel()
        began_s, every_s = 0.0, guardian_program.IDLE_ROUNDS * self._round_s
        if self._armed:
            began_s, every_s = self._beats.latest_ns // _TENTH_NS / 10, self._round_s
        loop = asyncio.get_running_loop()
        looks = (loop.time() - began_s) // every_s
        self._next_look = loop.call_at(began_s + (looks + 1) * every_s, self._look)

    def _look(self) -> None:
        """Look whether the guardian process is alive; one that is stopped writes no time, and is replaced."""
        self._next_look = None
        if self._beats is None:
            return
        if self._process:
            self._process.look(self._beats.round_at_ns)
        self._look_later()

    def _forget(self, key: HostKey) -> None:
        slot = self._armed.pop(key).slot
        if self._beats:
            self._beats.give_back(slot)

    def _new_process(self, beats: "_Beats") -> "_GuardianProcess":
        process = _GuardianProcess(
            self._python, beats.descriptor, round_s=self._round_s, on_message=self._receive, on_end=self._lose
        )
        armed = (each.message_for(key) for key, each in self._armed.items())
        process.send([("afterwards", self._afterwards), *armed])
        return process

    def _receive(self, message: Message) -> None:
        match message:
            case ("fired", (link, vhid), serial, at_ns):
                key = HostKey(link, vhid)
                armed = self._armed.get(key)
                if armed is not None and armed.serial == serial:
                    if armed.ordered_at_ns > at_ns:
                        # The same steps were ordered after it had carried them out, and it has forgotten them.
                        self._order(key, armed.slot, armed.steps, armed.limit_ns)
                    else:
                        self._forget(key)
                self._notice(GuardianFired(key, at_ns))
            case ("ready",) if self._process:
                self._notice(GuardianRestarted(self._process.pid))
            case ("unprotected", reasons) if reasons and reasons != self._unprotected:
                self._unprotected = reasons
                self._on_unprotected(reasons)

    def _lose(self, process: "_GuardianProcess", reason: str) -> None:
        if self._process is not process:
            return
        self._process = None
        if process.age_s > _HEALTHY_S:
            self._restarts = 0
        self._try_later()
        self._notice(GuardianLost(reason))

    def _try_later(self) -> None:
        delay_s = _BACKOFF_S[min(self._restarts, len(_BACKOFF_S) - 1)]
        self._restarts += 1
        self._next_restart = asyncio.get_running_loop().call_later(delay_s, self._restart)

    def _restart(self) -> None:
        self._next_restart = None
        if self._beats is None:
            return
        try:
            self._process = self._new_process(self._beats)
        except OSError as exc:
            self._try_later()
            self._notice(GuardianLost(f"cannot be started: {exc.strerror or exc}"))


class _Arming(msgspec.Struct):
    """What was ordered for a key, and when for the last time, CLOCK_MONOTONIC in ns."""

    slot: int
    serial: int
    steps: tuple[CleanUpStep, ...]
    limit_ns: int
    ordered_at_ns: int

    def message_for(self, key: HostKey) -> Message:
        """Return the message that orders it."""
        first = tuple(_step(step) for step in self.steps if not isinstance(step, PreparedPacket))
        then = tuple(_sending(step) for step in self.steps if isinstance(step, PreparedPacket))
        return ("arm", tuple(key), self.serial, self.slot, self.limit_ns, first, then)


class _Beats:
    """Memory shared with the guardian process: the time of the last beat in each slot, CLOCK_MONOTONIC in ns.

    One slot has the time of the last round of the guardian process, ``latest_ns`` is that of the last beat of all. A
    time is eight aligned octets, which the processor writes atomically.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("pycarp-beats")
        try:
            os.ftruncate(self.descriptor, _SLOTS * 8)
            self._memory = mmap.mmap(self.descriptor, 0)
        except OSError:
            os.close(self.descriptor)
            raise
        self._times = memoryview(self._memory).cast("q")
        self._taken = guardian_program.ROUND_SLOT + 1
        self.latest_ns = 0
        self._given_back: list[int] = []

    def take(self) -> int:
        """Return a free slot."""
        if self._given_back:
            return self._given_back.pop()
        assert self._taken < _SLOTS
        self._taken += 1
        return self._taken - 1

    def give_back(self, slot: int) -> None:
        self._given_back.append(slot)

    def beat(self, slot: int) -> None:
        self._times[slot] = self.latest_ns = time.monotonic_ns()

    def beat_all(self, slots: list[int]) -> None:
        times, now_ns = self._times, time.monotonic_ns()
        for slot in slots:
            times[slot] = now_ns
        self.latest_ns = now_ns

    @property
    def round_at_ns(self) -> int:
        """The time of the last round of the guardian process."""
        return self._times[guardian_program.ROUND_SLOT]

    def close(self) -> None:
        self._times.release()
        self._memory.close()
        os.close(self.descriptor)


class _GuardianProcess:
    """One guardian process, from its start to its end; calls ``on_end`` with the reason when it has ended."""

    def __init__(
        self,
        python: str,
        beats: int,
        *,
        round_s: float,
        on_message: Callable[[Message], None],
        on_end: Callable[["_GuardianProcess", str], None],
    ) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._reason: str | None = None
        self._rounds_missed = 0
        self._round_at_ns = 0
        self._unsent: list[Message] = []
        self._next_send_ends: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._started_at_s = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._process, self._life, self._connection = _spawn(python, beats, round_s)
        self._loop.add_reader(self._connection, self._read)
        self._loop.add_reader(self._life, self._reap)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started_at_s

    async def refusal(self, timeout_s: float) -> str | None:
        """Wait until the process is ready; return None, or why it is not ready after ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return f"was not ready within {timeout_s:g} s"
        return self._reason

    def send(self, messages: list[Message]) -> None:
        """Send messages at once, after those that the process could not take yet.

        A process that takes none for a while is killed, because its knowledge is incomplete. Thousands of hosts that
        become MASTER at once fill its socket for a moment.
        """
        if self._reason:
            return
        self._unsent += messages
        if self._next_send_ends is None:
            self._send_unsent()

    def _send_unsent(self) -> None:
        try:
            guardian_program.send(self._connection, self._unsent)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It is dead; its pidfd reports that next.
        except BlockingIOError:
            if self._next_send_ends is None:
                self._loop.add_writer(self._connection, self._send_unsent)
                why = "took no messages any more and was killed"
                self._next_send_ends = self._loop.call_later(_SEND_TIMEOUT_S, self._kill, why)
            return
        except OSError as exc:
            self._kill(f"could not be notified ({exc.strerror}) and was killed")
        self._unsent.clear()
        self._stop_sending()

    def _stop_sending(self) -> None:
        if self._next_send_ends is not None:
            self._next_send_ends.cancel()
            self._next_send_ends = None
            self._loop.remove_writer(self._connection)

    def look(self, round_at_ns: int) -> None:
        """Look at the time of the last round; kill a process that missed several, because it is stopped or hangs.

        Looks are counted, not seconds: while the daemon itself is stopped, it does not look.
        """
        if round_at_ns != self._round_at_ns:
            self._round_at_ns, self._rounds_missed = round_at_ns, 0
            return
        self._rounds_missed += 1
        most = _ROUNDS_MISSED_MOST if self._settled.is_set() else _ROUNDS_BEFORE_READY_MOST
        if self._rounds_missed >= most:
            self._kill(f"did not answer {most} times and was killed")

    async def dismiss(self, timeout_s: float, *, with_goodbye: bool = True) -> None:
        """End the process and wait for that: by a goodbye, or without one by closing the connection.

        After a goodbye a process that has not ended within ``timeout_s`` seconds is killed. Without a goodbye the
        process takes the daemon for dead and cleans up; it is not killed then, however long it takes.
        """
        if with_goodbye:
            self.send([("goodbye",)])
        else:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._ended.wait()
        finally:
            if not self._ended.is_set() and not with_goodbye:
                self._release()
            elif not self._ended.is_set():
                self._kill("did not end after the goodbye and was killed")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout_s)
                self._release()

    def _kill(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._stop_sending()
        self._process.kill()

    def _read(self) -> None:
        messages, is_closed = guardian_program.receive(self._connection)
        if is_closed:
            self._loop.remove_reader(self._connection)
        for each in messages:
            self._settled.set()
            self._rounds_missed = 0
            self._on_message(each)

    def _reap(self) -> None:
        status = self._process.poll()
        if status is None:
            return
        self._read()
        self._release()
        self._reason = self._reason or _end_in_words(status)
        self._settled.set()
        self._ended.set()
        self._on_end(self, self._reason)

    def _release(self) -> None:
        self._stop_sending()
        for each in (self._connection.fileno(), self._life):
            self._loop.remove_reader(each)
        self._connection.close()
        os.close(self._life)


def _spawn(python: str, beats: int, round_s: float) -> tuple[subprocess.Popen[bytes], int, socket.socket]:
    """Start the process; return it, its pidfd (readable when it has ended), and the daemon's end of the socket.

    The process gets a session of its own: a terminal's signals do not reach it.
    """
    with contextlib.ExitStack() as undo:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(ours.close)
        with theirs, open(os.pidfd_open(os.getpid()), "rb", buffering=0) as our_life, _compiled() as compiled:
            guardian_program.prepare(ours)
            groups = process_groups.of_this_process().descriptor
            inherited = theirs.fileno(), beats, our_life.fileno(), groups, compiled.fileno()
            process = subprocess.Popen(  # noqa: S603  # nothing in it comes from outside
                [python, "-I", "-S", "-c", _RUN, *map(str, (*inherited[:-1], round_s, inherited[-1]))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=inherited,
                cwd="/",
                start_new_session=True,
            )
        undo.callback(process.wait)
        undo.callback(process.kill)
        life = os.pidfd_open(process.pid)
        undo.pop_all()
    return process, life, ours


@contextlib.contextmanager
def _compiled() -> Iterator[IO[bytes]]:
    """Offer the compiled program as a file in memory: to compile it takes the process 0.7 MiB for its whole life."""
    loader = SourceFileLoader(guardian_program.__name__, guardian_program.__file__)
    with open(os.memfd_create("pycarp-guardian"), "w+b") as file:
        file.write(marshal.dumps(loader.get_code(guardian_program.__name__)))
        file.seek(0)
        yield file


def _end_in_words(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _step(step: Request | SysctlWrite) -> guardian_program.SysctlWrite | Sending:
    if isinstance(step, Request):
        return _ROUTE, _KERNEL, bytes(step.octets)
    return str(step.path), str(step.text)


def _sending(packet: PreparedPacket) -> Sending:
    """Return the packet in plain types: ``marshal`` cannot encode members of an enumeration."""
    options = tuple((int(level), int(name), bytes(value)) for level, name, value in packet.options)
    way = (int(packet.family), int(packet.kind), int(packet.protocol), options)
    return way, tuple(_plain(each) for each in packet.address), bytes(packet.octets)


def _plain(part: str | int | bytes) -> str | int | bytes:
    if isinstance(part, int):
        return int(part)
    return str(part) if isinstance(part, str) else bytes(part)
