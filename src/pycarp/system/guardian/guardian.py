"""A process that drops addresses and bows out when this process is dead or frozen; this is the daemon's side of it.

What the process does and how the two talk is told in ``guardian_process``. Here it is started, watched, and replaced
when it ends without having been asked to.
"""

import asyncio
import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from pycarp.errors import ActuatorError
from pycarp.system.guardian import program
from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket, Request, SysctlWrite
from pycarp.system.guardian.program import Message, Sending, Way
from pycarp.vocabulary import HostKey

_READY_S = 5.0
_GOODBYE_S = 1.0
_BACKOFF_S = (0.0, 0.1, 1.0)
_HEALTHY_S = 10.0
PING_S = 1.0
_PINGS_UNANSWERED_MOST = 3
_PINGS_BEFORE_READY_MOST = 10
_SLOTS = 16384  # of eight octets each; only those in use need memory
_ROUTE: Way = (int(socket.AF_NETLINK), int(socket.SOCK_RAW), socket.NETLINK_ROUTE, ())
_KERNEL = (0, 0)


@dataclass(frozen=True, slots=True)
class GuardianFired:
    """No beat of a key came in time, so its clean-up steps were carried out; ``at_ns`` is of CLOCK_MONOTONIC.

    The key is not armed any more, unless it has been armed anew meanwhile.
    """

    key: HostKey
    at_ns: int


@dataclass(frozen=True, slots=True)
class GuardianLost:
    """There is no process at present, for this reason; it will be replaced."""

    reason: str


@dataclass(frozen=True, slots=True)
class GuardianRestarted:
    """A new process, of this process id, is ready and knows everything that is armed."""

    pid: int


GuardianNews = GuardianFired | GuardianLost | GuardianRestarted


class Guardian:
    """What is armed, and the process that knows it.

    ``afterwards`` is what the process becomes after our death, when all clean-up steps are done: a program with its
    arguments, by its full path, since it starts in ``/``. It inherits that SIGTERM, SIGABRT and so on are ignored.
    ``python`` runs the process, and must be of the same version as this one. Every ``ping_s`` seconds it is asked for
    an answer; one that does not answer three times is stopped or hangs, and is replaced.

    ``notice`` is called in the event loop, and so is ``on_unprotected`` with what the process could not protect
    itself from: a reason each, with the way out; again only when that has changed. Before ``start`` and after ``close``
    nothing can be armed.
    """

    def __init__(
        self,
        *,
        notice: Callable[[GuardianNews], None],
        on_unprotected: Callable[[tuple[str, ...]], None] = lambda _reasons: None,
        afterwards: tuple[str, ...] = (),
        python: str = sys.executable,
        ping_s: float = PING_S,
    ) -> None:
        self._notice = notice
        self._ping_s = ping_s
        self._on_unprotected = on_unprotected
        self._afterwards = afterwards
        self._python = python
        self._beats: _Beats | None = None
        self._process: _GuardianProcess | None = None
        self._armed: dict[HostKey, _Arming] = {}
        self._serial = 0
        self._restarts = 0
        self._next_restart: asyncio.TimerHandle | None = None
        self._next_ping: asyncio.TimerHandle | None = None
        self._unprotected: tuple[str, ...] = ()

    @property
    def pid(self) -> int | None:
        """The process id of the process, None while there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Return when the process is ready. ActuatorError when it cannot be started."""
        async with contextlib.AsyncExitStack() as undo:
            try:
                beats = undo.enter_context(contextlib.closing(_Beats()))
                process = self._new_process(beats)
            except OSError as exc:
                raise ActuatorError(f"cannot start the guardian with {self._python}: {exc.strerror or exc}") from exc
            undo.push_async_callback(process.dismiss, _GOODBYE_S)
            refusal = await process.refusal(_READY_S)
            if refusal:
                raise ActuatorError(f"the guardian, started with {self._python}, {refusal}")
            undo.pop_all()
        self._beats, self._process = beats, process
        self._ping_later()

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        """Have the clean-up steps carried out after our death, or ``limit_ns`` after the last beat; this is one.

        What was armed for the key before is replaced in the same moment. Requests and writings come first, in their
        order and those of all keys, prepared packets after them.
        """
        if self._beats is None:
            return
        previous = self._armed.get(key)
        slot = previous.slot if previous else self._beats.take()
        self._serial += 1
        first = tuple(_step(step) for step in steps if not isinstance(step, PreparedPacket))
        then = tuple(_sending(step) for step in steps if isinstance(step, PreparedPacket))
        message = ("arm", tuple(key), self._serial, slot, limit_ns, first, then)
        self._armed[key] = _Arming(slot, self._serial, message)
        self._beats.beat(slot)
        self._tell(message)

    def beat(self, key: HostKey) -> None:
        """Say that all is well with a key; costs less than a microsecond, nothing if it is not armed."""
        armed = self._armed.get(key)
        if armed and self._beats:
            self._beats.beat(armed.slot)

    def disarm(self, key: HostKey) -> None:
        """Have nothing carried out for this key any more; well if nothing is armed."""
        if key in self._armed:
            self._forget(key)
            self._tell(("disarm", tuple(key)))

    async def close(self) -> None:
        """Let the process end, without acting if nothing is armed; it is killed if that takes longer than a second.

        What is armed still, although its daemon ends, could not be dropped: then that is its turn.
        """
        for timer in (self._next_restart, self._next_ping):
            if timer:
                timer.cancel()
        self._next_restart = self._next_ping = None
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

    def _tell(self, message: Message) -> None:
        if self._process:
            self._process.tell([message])

    def _ping_later(self) -> None:
        self._next_ping = asyncio.get_running_loop().call_later(self._ping_s, self._ping)

    def _ping(self) -> None:
        """Ask for a sign of life; a guardian that is stopped gives none, and is replaced."""
        self._ping_later()
        if self._process:
            self._process.ping()

    def _forget(self, key: HostKey) -> None:
        slot = self._armed.pop(key).slot
        if self._beats:
            self._beats.give_back(slot)

    def _new_process(self, beats: "_Beats") -> "_GuardianProcess":
        process = _GuardianProcess(self._python, beats.descriptor, on_message=self._hear, on_end=self._lose)
        process.tell([("afterwards", self._afterwards), *(each.message for each in self._armed.values())])
        return process

    def _hear(self, message: Message) -> None:
        match message:
            case ("fired", (link, vhid), serial, at_ns):
                key = HostKey(link, vhid)
                if key in self._armed and self._armed[key].serial == serial:
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


@dataclass(frozen=True, slots=True)
class _Arming:
    slot: int
    serial: int
    message: Message


class _Beats:
    """Memory that the process can see: a time of CLOCK_MONOTONIC in ns for each slot.

    A time is eight octets, aligned, so that the processor writes it as one.
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
        self._taken = 0
        self._given_back: list[int] = []

    def take(self) -> int:
        """Return a slot that nobody has."""
        if self._given_back:
            return self._given_back.pop()
        assert self._taken < _SLOTS
        self._taken += 1
        return self._taken - 1

    def give_back(self, slot: int) -> None:
        self._given_back.append(slot)

    def beat(self, slot: int) -> None:
        self._times[slot] = time.monotonic_ns()

    def close(self) -> None:
        self._times.release()
        self._memory.close()
        os.close(self.descriptor)


class _GuardianProcess:
    """A process, from its start until its end has been seen; then ``on_end`` is called with the reason."""

    def __init__(
        self,
        python: str,
        beats: int,
        *,
        on_message: Callable[[Message], None],
        on_end: Callable[["_GuardianProcess", str], None],
    ) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._reason: str | None = None
        self._pings_unanswered = 0
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._started_at_s = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._process, self._life, self._connection = _spawn(python, beats)
        self._loop.add_reader(self._connection, self._read)
        self._loop.add_reader(self._life, self._bury)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started_at_s

    async def refusal(self, timeout_s: float) -> str | None:
        """Return why it is not ready, None when it is."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return f"was not ready within {timeout_s:g} s"
        return self._reason

    def tell(self, messages: list[Message]) -> None:
        """Send now; a process that cannot be told has missed something, and is killed to be replaced."""
        if self._reason:
            return
        try:
            program.send(self._connection, messages)
        except (BrokenPipeError, ConnectionResetError):
            return  # It is dead, and its end about to be seen.
        except BlockingIOError:
            self._kill("took no messages any more and was killed")
        except OSError as exc:
            self._kill(f"could not be told ({exc.strerror}) and was killed")

    def ping(self) -> None:
        """Ask for an answer; one that owes several is killed to be replaced: it is stopped, or hangs.

        What counts is the number of questions and not the time: while this process is stopped as well, none is asked.
        """
        most = _PINGS_UNANSWERED_MOST if self._settled.is_set() else _PINGS_BEFORE_READY_MOST
        if self._pings_unanswered >= most:
            self._kill(f"did not answer {most} times and was killed")
            return
        self._pings_unanswered += 1
        self.tell([("ping",)])

    async def dismiss(self, timeout_s: float, *, with_goodbye: bool = True) -> None:
        """Say goodbye, or seem to be dead, and return when it has ended, whatever it takes.

        One that took us for dead cleans up after us, and may take its time for that.
        """
        if with_goodbye:
            self.tell([("goodbye",)])
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
                self._kill("did not heed the goodbye and was killed")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout_s)
                self._release()

    def _kill(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._process.kill()

    def _read(self) -> None:
        messages, is_closed = program.receive(self._connection)
        if is_closed:
            self._loop.remove_reader(self._connection)
        for each in messages:
            self._settled.set()
            self._pings_unanswered = 0
            self._on_message(each)

    def _bury(self) -> None:
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
        for each in (self._connection.fileno(), self._life):
            self._loop.remove_reader(each)
        self._connection.close()
        os.close(self._life)


def _spawn(python: str, beats: int) -> tuple[subprocess.Popen[bytes], int, socket.socket]:
    """Start the process; return it, a descriptor that is readable when it has ended, and our end of the socket.

    It is in a session of its own, so that a terminal's signals do not reach it.
    """
    with contextlib.ExitStack() as undo:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(ours.close)
        with theirs, open(os.pidfd_open(os.getpid()), "rb", buffering=0) as our_life:
            program.prepare(ours)
            inherited = theirs.fileno(), beats, our_life.fileno()
            process = subprocess.Popen(  # noqa: S603  # nothing in it comes from outside
                [python, "-I", "-S", program.__file__, *map(str, inherited)],
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


def _end_in_words(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _step(step: Request | SysctlWrite) -> program.SysctlWrite | Sending:
    if isinstance(step, Request):
        return _ROUTE, _KERNEL, bytes(step.octets)
    return str(step.path), str(step.text)


def _sending(prepared_packet: PreparedPacket) -> Sending:
    """Return it in plain types: ``marshal`` knows no members of an enumeration."""
    options = tuple((int(level), int(name), bytes(value)) for level, name, value in prepared_packet.options)
    way = (int(prepared_packet.family), int(prepared_packet.kind), int(prepared_packet.protocol), options)
    return way, tuple(_plain(each) for each in prepared_packet.address), bytes(prepared_packet.octets)


def _plain(part: str | int | bytes) -> str | int | bytes:
    if isinstance(part, int):
        return int(part)
    return str(part) if isinstance(part, str) else bytes(part)
