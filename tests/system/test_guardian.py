"""The guardian: real processes that are killed and stopped, in real time.

Run as a program, this file is the daemon: it arms what it is told on its standard input, says so, and waits.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from pycarp.errors import ActuatorError
from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket, Request, SysctlWrite
from pycarp.system.guardian.guardian import (
    ROUND_S,
    Guardian,
    GuardianFired,
    GuardianLost,
    GuardianNews,
    GuardianRestarted,
)
from pycarp.vocabulary import HostKey
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.processes import has_ended
from tests.support.system import require

FIRST, SECOND, PROBE = HostKey("eth0", 1), HostKey("eth0", 2), HostKey("eth0", 255)
LONG_NS = 60 * 10**9
SHORT_NS = 300 * 10**6
SOON_S = 10.0
ROOT = Path(__file__).parents[2]


# --- the surroundings: a socket that receives the clean-up steps, and a daemon that can be killed


@pytest.fixture
def witness() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield made


def letter(witness: socket.socket, text: bytes) -> PreparedPacket:
    return PreparedPacket(socket.AF_INET, socket.SOCK_DGRAM, 0, (), witness.getsockname(), text)


def heard(witness: socket.socket, *, within_s: float = SOON_S) -> bytes | None:
    witness.settimeout(within_s)
    try:
        return witness.recv(2048)
    except TimeoutError:
        return None


async def heard_by_loop(witness: socket.socket, *, within_s: float = SOON_S) -> bytes | None:
    return await asyncio.to_thread(heard, witness, within_s=within_s)


@dataclass
class Daemon:
    """A process with a guardian and armed keys."""

    process: subprocess.Popen[bytes]
    guardians: list[int] = field(default_factory=list)

    def read(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().split()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def daemon(
    armed: Mapping[HostKey, tuple[CleanUpStep, ...]],
    *,
    limits_ns: dict[HostKey, int] | None = None,
    afterwards: tuple[str, ...] = (),
    forks: bool = False,
) -> Iterator[Daemon]:
    """Run a daemon that has armed each key with a long limit, unless the key has its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running = Daemon(process)
    with process:
        try:
            assert process.stdin is not None
            pickle.dump((armed, limits_ns or {}, afterwards, forks), process.stdin)
            process.stdin.close()
            running.guardians.append(int(running.read()[1]))
            yield running
        finally:
            process.kill()
            wait_until(lambda: all(has_ended(each) for each in running.guardians))


async def be_daemon() -> None:
    armed, limits_ns, afterwards, forks = pickle.load(sys.stdin.buffer)
    # How well this machine protects a guardian is not to be said on standard error, which some tests read.
    guardian = Guardian(
        notice=lambda news: say(*in_words(news)), on_unprotected=lambda _reasons: None, afterwards=afterwards
    )
    await guardian.start()
    for key, steps in armed.items():
        guardian.arm(key, steps, limits_ns.get(key, LONG_NS))
    if forks:
        fork()
    say("armed", guardian.pid)
    await asyncio.sleep(60)


def fork() -> None:
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(2)
        os._exit(0)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def in_words(news: GuardianNews) -> tuple[object, ...]:
    match news:
        case GuardianFired(key):
            return "fired", key
        case GuardianLost(reason):
            return "lost", reason
        case GuardianRestarted(pid):
            return "restarted", pid


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_until(is_so: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


# --- the daemon is dead


def test_the_steps_of_a_daemon_that_is_killed_are_done(witness: socket.socket) -> None:
    with daemon({FIRST: (letter(witness, b"bye"),)}) as running:
        before = heard(witness, within_s=0.2)
        running.kill()

        assert (before, heard(witness)) == (None, b"bye")


def test_everything_lets_go_before_anybody_is_told(witness: socket.socket, tmp_path: Path) -> None:
    """Opening a FIFO for writing blocks until somebody reads from it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    armed: dict[HostKey, tuple[CleanUpStep, ...]] = {
        FIRST: (letter(witness, b"bye"),),
        SECOND: (SysctlWrite(str(fifo), "gone"),),
    }
    with daemon(armed) as running:
        running.kill()
        before = heard(witness, within_s=0.3)
        written = fifo.read_text()

        assert (before, written, heard(witness)) == (None, "gone", b"bye")


def test_a_step_that_fails_does_not_keep_the_others_from_being_done(witness: socket.socket, tmp_path: Path) -> None:
    written = tmp_path / "written"
    closed = letter(witness, b"")
    steps: tuple[CleanUpStep, ...] = (
        SysctlWrite("/nowhere/to/be/found", "1"),
        SysctlWrite("with\0nul", "1"),
        *(Request(struct.pack("=IHHII", 16, 0xFFFF, 5, number, 0)) for number in range(2000)),
        Request(b"?"),
        SysctlWrite(str(written), "1"),
        PreparedPacket(4711, 1, 0, (), ("127.0.0.1", 1), b"no such family"),
        PreparedPacket(closed.family, closed.kind, 0, ((4711, 1, b""),), closed.address, b"no such option"),
        PreparedPacket(closed.family, closed.kind, 0, (), ("127.0.0.1",), b"no port"),
        PreparedPacket(closed.family, closed.kind, 0, (), ("127.0.0.1", 70000), b"no such port"),
        PreparedPacket(closed.family, closed.kind, 0, (), closed.address, bytes(100_000)),
        letter(witness, b"bye"),
    )
    with daemon({FIRST: steps}) as running:
        running.kill()

        assert (heard(witness), written.read_text()) == (b"bye", "1")


def test_a_plan_may_be_long(witness: socket.socket) -> None:
    steps: tuple[CleanUpStep, ...]
    steps = (*(Request(bytes(200)) for _ in range(1000)), *(letter(witness, b"%d" % each) for each in range(100)))
    with daemon({FIRST: steps}) as running:
        running.kill()

        assert [heard(witness) for _ in range(100)] == [b"%d" % each for each in range(100)]


def test_a_program_cleans_up_when_all_steps_are_done(witness: socket.socket) -> None:
    program = f"import socket; socket.socket(2, 2).sendto(b'cleaned', {witness.getsockname()})"
    afterwards = (sys.executable, "-c", program)
    with daemon({FIRST: (letter(witness, b"bye"),)}, afterwards=afterwards) as running:
        running.kill()

        assert (heard(witness), heard(witness)) == (b"bye", b"cleaned")


def test_the_program_that_cleans_up_inherits_no_descriptor_and_ignores_the_end_of_the_service(
    witness: socket.socket,
) -> None:
    program = (
        "import os, signal, socket;"
        "found = len(os.listdir('/proc/self/fd')), signal.getsignal(signal.SIGTERM).name;"
        f"socket.socket(2, 2).sendto(repr(found).encode(), {witness.getsockname()})"
    )
    with daemon({FIRST: ()}, afterwards=(sys.executable, "-c", program)) as running:
        running.kill()

        # The fourth is the descriptor that lists them.
        assert heard(witness) == b"(4, 'SIG_IGN')"


def test_a_program_that_is_not_there_is_named_on_standard_error() -> None:
    with daemon({}, afterwards=("/nowhere/release",)) as running:
        running.kill()
        assert running.process.stderr is not None
        errors = running.process.stderr.read().decode()

        assert errors == "pycarp-guardian: cannot run /nowhere/release: No such file or directory\n"


def test_a_child_that_outlives_the_daemon_does_not_hide_its_death(witness: socket.socket) -> None:
    with daemon({FIRST: (letter(witness, b"bye"),)}, forks=True) as running:
        running.kill()

        assert heard(witness, within_s=1) == b"bye"


def test_the_standard_error_of_a_dead_daemon_is_closed() -> None:
    with daemon({FIRST: ()}) as running:
        running.kill()
        assert running.process.stderr is not None

        assert running.process.stderr.read() == b""


def test_signals_to_a_whole_service_do_not_end_it(witness: socket.socket) -> None:
    with daemon({FIRST: (letter(witness, b"bye"),)}) as running:
        for name in ("TERM", "INT", "HUP", "QUIT", "ABRT", "ALRM", "USR1", "USR2"):
            os.kill(running.guardians[0], signal.Signals[f"SIG{name}"])
        running.kill()

        assert heard(witness) == b"bye"


def test_a_replaced_guardian_knows_what_is_armed(witness: socket.socket) -> None:
    with daemon({FIRST: (letter(witness, b"first"),), SECOND: (letter(witness, b"second"),)}) as running:
        os.kill(running.guardians[0], signal.SIGKILL)
        lost, (restarted, pid) = running.read(), running.read()
        running.guardians.append(int(pid))
        running.kill()

        assert lost == ["lost", "was", "killed", "by", "SIGKILL"]
        assert (restarted, heard(witness), heard(witness)) == ("restarted", b"first", b"second")


# --- the daemon is frozen


def test_a_frozen_daemon_learns_when_it_continues_what_was_done(witness: socket.socket) -> None:
    with daemon({FIRST: (letter(witness, b"bye"),)}, limits_ns={FIRST: SHORT_NS}) as running:
        running.process.send_signal(signal.SIGSTOP)
        done = heard(witness)
        running.process.send_signal(signal.SIGCONT)

        assert (done, running.read()) == (b"bye", ["fired", "1@eth0"])


def test_a_frozen_daemon_that_is_then_killed_has_the_rest_done(witness: socket.socket) -> None:
    """The daemon died without reading the guardian's messages; the kernel reports that as an error."""
    armed = {FIRST: (letter(witness, b"first"),), SECOND: (letter(witness, b"second"),)}
    with daemon(armed, limits_ns={FIRST: SHORT_NS}) as running:
        running.process.send_signal(signal.SIGSTOP)
        frozen = heard(witness), heard(witness, within_s=0.2)
        running.kill()

        assert (frozen, heard(witness)) == ((b"first", None), b"second")


# --- within one process


class Guarded:
    """A guardian, and the news that it has published so far."""

    def __init__(self, *, round_s: float = ROUND_S) -> None:
        self.news: list[GuardianNews] = []
        self._changed = asyncio.Event()
        self.guardian = Guardian(notice=self._notice, round_s=round_s)

    def _notice(self, news: GuardianNews) -> None:
        self.news.append(news)
        self._changed.set()

    async def told(self, kind: type[GuardianNews]) -> GuardianNews:
        async with asyncio.timeout(SOON_S):
            while True:
                for each in self.news:
                    if isinstance(each, kind):
                        self.news.remove(each)
                        return each
                self._changed.clear()
                await self._changed.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.guardian.pid is not None
        os.kill(self.guardian.pid, number)

    async def stop(self) -> None:
        """Stop the guardian process when it has received all messages, which its reaction to a limit of 0 shows."""
        self.guardian.arm(PROBE, (), 0)
        await self.told(GuardianFired)
        self.signal(signal.SIGSTOP)

    async def beat_for(self, duration_s: float) -> None:
        ends_s = time.monotonic() + duration_s
        while time.monotonic() < ends_s:
            self.guardian.beat(FIRST)
            await asyncio.sleep(0.004)


@contextlib.asynccontextmanager
async def guarded(*, round_s: float = ROUND_S) -> AsyncIterator[Guarded]:
    made = Guarded(round_s=round_s)
    await made.guardian.start()
    try:
        yield made
    finally:
        await made.guardian.close()


async def test_the_steps_are_done_when_beats_stay_away_for_longer_than_the_limit(witness: socket.socket) -> None:
    async with guarded() as ours:
        armed_at_ns = time.monotonic_ns()
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), SHORT_NS)
        done = await heard_by_loop(witness)
        fired = await ours.told(GuardianFired)

        assert isinstance(fired, GuardianFired)
        assert (done, fired.key) == (b"bye", FIRST)
        assert fired.at_ns > armed_at_ns + SHORT_NS


async def test_beats_keep_it_quiet(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), 2 * SHORT_NS)
        await ours.beat_for(1)

        assert (heard(witness, within_s=0.01), ours.news) == (None, [])


async def test_steps_are_done_once(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), SHORT_NS)
        await ours.told(GuardianFired)
        ours.guardian.beat(FIRST)
        done = heard(witness)

        assert (done, await heard_by_loop(witness, within_s=0.5)) == (b"bye", None)


async def test_only_the_key_whose_beats_stay_away_is_acted_upon(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(SECOND, (letter(witness, b"second"),), SHORT_NS)
        ours.guardian.arm(FIRST, (letter(witness, b"first"),), 2 * SHORT_NS)
        await ours.beat_for(1)

        assert (heard(witness, within_s=0.01), heard(witness, within_s=0.01)) == (b"second", None)


async def test_a_guardian_that_was_stopped_sees_beats_of_meanwhile_first(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), 2 * SHORT_NS)
        await ours.stop()
        await ours.beat_for(1)
        ours.signal(signal.SIGCONT)
        await ours.beat_for(0.2)

        assert (heard(witness, within_s=0.01), ours.news) == (None, [])


async def test_a_guardian_that_was_stopped_hears_messages_of_meanwhile_first(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"first"),), SHORT_NS)
        ours.guardian.arm(SECOND, (letter(witness, b"second"),), SHORT_NS)
        await ours.stop()
        await asyncio.sleep(2 * SHORT_NS / 1e9)
        ours.guardian.disarm(FIRST)
        ours.guardian.arm(SECOND, (letter(witness, b"second"),), LONG_NS)
        ours.signal(signal.SIGCONT)

        assert (await heard_by_loop(witness, within_s=0.3), ours.news) == (None, [])


async def test_what_is_disarmed_is_not_done(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), SHORT_NS)
        ours.guardian.disarm(FIRST)

        assert await heard_by_loop(witness, within_s=0.6) is None


async def test_arming_again_replaces_the_steps_and_the_limit(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"former"),), LONG_NS)
        ours.guardian.arm(FIRST, (letter(witness, b"latter"),), SHORT_NS)
        await ours.told(GuardianFired)

        assert (heard(witness), await heard_by_loop(witness, within_s=0.2)) == (b"latter", None)


async def test_a_key_can_be_armed_again_after_its_steps_were_done(witness: socket.socket) -> None:
    async with guarded() as ours:
        for each in (b"once", b"twice"):
            ours.guardian.arm(FIRST, (letter(witness, each),), SHORT_NS)
            await ours.told(GuardianFired)

        assert (heard(witness), heard(witness)) == (b"once", b"twice")


async def test_a_key_that_is_armed_with_the_same_steps_after_these_were_done_is_guarded_again(
    witness: socket.socket,
) -> None:
    async with guarded() as ours:
        steps = (letter(witness, b"bye"),)
        ours.guardian.arm(FIRST, steps, SHORT_NS)
        # Without a turn of the loop, so that nobody has read yet what was done.
        assert heard(witness) == b"bye"
        ours.guardian.arm(FIRST, steps, SHORT_NS)

        assert await heard_by_loop(witness) == b"bye"


async def test_what_is_gathered_is_there_before_a_task_that_began_later_does_anything(witness: socket.socket) -> None:
    async def kill() -> None:
        ours.signal(signal.SIGSTOP)

    async with guarded() as ours:
        ours.guardian.gather()
        for key in (FIRST, SECOND):
            ours.guardian.arm(key, (letter(witness, str(key).encode()),), SHORT_NS)
        ours.guardian.disarm(FIRST)
        await asyncio.create_task(kill())
        # Nothing that is sent from now on arrives before this process would have been dead.
        await asyncio.sleep(2 * SHORT_NS / 1e9)
        ours.signal(signal.SIGCONT)

        assert (await heard_by_loop(witness), await heard_by_loop(witness, within_s=0.3)) == (
            str(SECOND).encode(),
            None,
        )


async def test_a_goodbye_leaves_everything_as_it_is(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), LONG_NS)
        ours.guardian.disarm(FIRST)
        pid = ours.guardian.pid
    assert pid is not None

    assert (is_there(pid), ours.guardian.pid, ours.news) == (False, None, [])
    assert heard(witness, within_s=0.1) is None


async def test_what_is_armed_still_when_the_daemon_ends_is_done(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"could not be dropped"),), LONG_NS)

    assert heard(witness) == b"could not be dropped"


async def test_a_guardian_that_does_not_heed_the_goodbye_is_killed(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), LONG_NS)
        ours.guardian.disarm(FIRST)
        pid = ours.guardian.pid
        await ours.stop()
        began_s = time.monotonic()
    took_s = time.monotonic() - began_s
    assert pid is not None

    assert (is_there(pid), heard(witness, within_s=0.2)) == (False, None)
    assert 1 <= took_s < 1.5


async def test_a_guardian_that_takes_no_messages_is_replaced_and_the_latest_counts(witness: socket.socket) -> None:
    async with guarded() as ours:
        stopped = ours.guardian.pid
        await ours.stop()
        for number in range(5000):
            ours.guardian.arm(FIRST, (letter(witness, b"%d" % number),), SHORT_NS)
        lost, restarted = await ours.told(GuardianLost), await ours.told(GuardianRestarted)

        assert lost == GuardianLost("took no messages any more and was killed")
        assert restarted == GuardianRestarted(ours.guardian.pid or 0)
        assert ours.guardian.pid != stopped
        assert await heard_by_loop(witness) == b"4999"


async def test_a_guardian_that_takes_no_messages_for_a_moment_stays_and_misses_none(witness: socket.socket) -> None:
    """As when thousands of hosts become MASTER at once."""
    async with guarded() as ours:
        await ours.stop()
        for number in range(5000):
            ours.guardian.arm(HostKey(f"eth{number // 250}", number % 250 + 1), (), LONG_NS)
        ours.guardian.arm(FIRST, (letter(witness, b"last"),), SHORT_NS)
        await asyncio.sleep(0.1)
        ours.signal(signal.SIGCONT)

        assert await heard_by_loop(witness) == b"last"
        assert [each for each in ours.news if isinstance(each, GuardianLost)] == []


async def test_a_guardian_that_is_stopped_is_replaced_although_nothing_is_said_to_it(witness: socket.socket) -> None:
    async with guarded(round_s=0.2) as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), LONG_NS)
        stopped = ours.guardian.pid
        await ours.stop()
        lost, restarted = await ours.told(GuardianLost), await ours.told(GuardianRestarted)

        assert lost == GuardianLost("did not answer 3 times and was killed")
        assert restarted == GuardianRestarted(ours.guardian.pid or 0)
        assert ours.guardian.pid != stopped
        assert stopped is not None
        assert not is_there(stopped)


async def test_what_is_armed_at_an_idle_guardian_that_is_stopped_is_soon_guarded_by_another(
    witness: socket.socket,
) -> None:
    async with guarded(round_s=0.2) as ours:
        await ours.stop()
        await asyncio.sleep(0.5)
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), LONG_NS)
        began_s = time.monotonic()
        await ours.told(GuardianLost)
        took_s = time.monotonic() - began_s
        await ours.told(GuardianRestarted)

        assert took_s <= 4 * 0.2 + 0.1


async def test_a_guardian_that_is_stopped_for_a_moment_stays() -> None:
    async with guarded(round_s=0.2) as ours:
        await ours.stop()
        await asyncio.sleep(0.3)
        ours.signal(signal.SIGCONT)
        await asyncio.sleep(0.6)

        assert ours.news == []


async def test_beats_of_a_replaced_guardian_go_on(witness: socket.socket) -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (letter(witness, b"bye"),), 3 * SHORT_NS)
        ours.signal(signal.SIGKILL)
        await ours.beat_for(1.5)
        restarted = await ours.told(GuardianRestarted)

        assert restarted == GuardianRestarted(ours.guardian.pid or 0)
        assert (heard(witness, within_s=0.01), ours.news) == (None, [GuardianLost("was killed by SIGKILL")])


async def test_a_guardian_that_dies_again_and_again_is_replaced_ever_later() -> None:
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (), LONG_NS)
        waited_s = []
        for _ in range(4):
            killed_at_s = time.monotonic()
            ours.signal(signal.SIGKILL)
            await ours.told(GuardianRestarted)
            waited_s.append(time.monotonic() - killed_at_s)

        assert waited_s[0] < waited_s[2]
        assert [each >= least for each, least in zip(waited_s, (0, 0.1, 1, 1), strict=True)] == [True] * 4


async def test_nothing_is_left_of_guardians_that_came_and_went() -> None:
    before = set(os.listdir("/proc/self/fd")), children()
    async with guarded() as ours:
        ours.guardian.arm(FIRST, (), LONG_NS)
        ours.signal(signal.SIGKILL)
        await ours.told(GuardianRestarted)

    assert (set(os.listdir("/proc/self/fd")), children()) == before


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


async def test_it_is_known_by_its_name_and_holds_nothing_that_is_not_its_own() -> None:
    inherited = os.open("/proc/version", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        async with guarded() as ours:
            ours.guardian.arm(FIRST, (), SHORT_NS)
            await ours.told(GuardianFired)
            process = Path(f"/proc/{ours.guardian.pid}")
            held = [os.readlink(each) for each in (process / "fd").iterdir() if int(each.name) > 2]

            assert (process / "comm").read_text() == "pycarp-guardian\n"
            assert os.readlink(process / "cwd") == "/"
            assert os.getsid(ours.guardian.pid or 0) == ours.guardian.pid
            assert sorted(each.partition(" ")[0].partition("[")[0] for each in held) == [
                "/memfd:pycarp-beats",
                "/memfd:pycarp-groups",
                "anon_inode:",
                "socket:",
            ]
    finally:
        os.close(inherited)


async def test_nothing_can_be_armed_before_it_is_started_nor_after_it_was_closed(witness: socket.socket) -> None:
    news: list[GuardianNews] = []
    guardian = Guardian(notice=news.append)
    for _ in range(2):
        guardian.arm(FIRST, (letter(witness, b"bye"),), 0)
        guardian.beat(FIRST)
        guardian.disarm(FIRST)
        await guardian.close()
        await guardian.start()
        await guardian.close()

    assert (heard(witness, within_s=0.1), news) == (None, [])


async def test_one_that_was_begun_early_is_the_one_that_guards(witness: socket.socket) -> None:
    news: list[GuardianNews] = []
    guardian = Guardian(notice=news.append)
    guardian.begin()
    begun = children().split()[-1]
    await guardian.start()
    try:
        guardian.arm(FIRST, (letter(witness, b"overdue"),), SHORT_NS)

        assert await heard_by_loop(witness) == b"overdue"
        assert children().split()[-1] == begun == str(guardian.pid)
    finally:
        await guardian.close()


async def test_nothing_is_left_of_one_that_was_begun_in_vain() -> None:
    before = set(os.listdir("/proc/self/fd")), children()
    guardian = Guardian(notice=print)
    guardian.begin()
    await guardian.close()

    assert (set(os.listdir("/proc/self/fd")), children()) == before


async def test_a_program_that_is_no_python_is_an_actuator_error_that_names_it() -> None:
    for program, message in {
        "/nowhere/python": "cannot start the guardian with /nowhere/python: No such file or directory",
        "/bin/false": "the guardian, started with /bin/false, ended with status 1",
    }.items():
        with pytest.raises(ActuatorError) as refused:
            await Guardian(notice=print, python=program).start()

        assert str(refused.value) == message


# --- real addresses


def deletion(index: int, address: IPv4Interface) -> Request:
    """RTM_DELADDR with IFA_LOCAL. Source: rtnetlink(7)."""
    body = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, 0, index)
    body += struct.pack("=HH", 8, 2) + address.ip.packed
    return Request(struct.pack("=IHHII", 16 + len(body), 21, 1, 1, 0) + body)


@pytest.fixture
def namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as joined:
        yield joined


@pytest.mark.system
def test_addresses_are_gone_before_the_other_machine_is_told(namespaces: tuple[Namespace, Namespace]) -> None:
    ours, theirs = namespaces
    shared = [IPv4Interface(f"10.78.{number // 250}.{number % 250 + 1}/32") for number in range(255)]
    ours.ip_batch("".join(f"addr add {each} dev {LINK}\n" for each in shared))
    group = socket.inet_aton("224.0.0.18")
    options = (
        (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ours.address.packed),
        (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("=i", 255)),
    )
    with entered(theirs):
        witness = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
        witness.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + theirs.address.packed)
    with witness, entered(ours):
        index = socket.if_nametoindex(LINK)
        bow_out = PreparedPacket(socket.AF_INET, socket.SOCK_RAW, 112, options, ("224.0.0.18", 0), b"bow-out")
        switch = f"net/ipv6/conf/{LINK}/disable_ipv6"
        steps: tuple[CleanUpStep, ...]
        steps = (bow_out, *(deletion(index, each) for each in shared), SysctlWrite(switch, "1"))
        with daemon({FIRST: steps}) as running:
            running.kill()
            packet = heard(witness)

            assert packet is not None
            assert (packet[8], packet[12:16], packet[20:]) == (255, ours.address.packed, b"bow-out")
            assert ours.addresses() == {str(ours.own)}
            assert Path("/proc/sys", switch).read_text() == "1\n"


if __name__ == "__main__":
    asyncio.run(be_daemon())
