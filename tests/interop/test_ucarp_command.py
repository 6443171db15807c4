"""``pycarp ucarp`` side by side with Debian's ucarp: the same plans, the same calls of the scripts, the same ends.

ucarp reacts to a packet within a second, and to a signal as well (carp.md 8.6); the bounds leave room for that.
"""

import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.errors import CarpError
from pycarp.lab.lab_network import Segment
from pycarp.wire import ethernet
from tests.support.daemons import Capture, Process, new_segment, wait_until
from tests.support.pcap import timed_frames
from tests.support.system import require

pytestmark = pytest.mark.system

OWN = {"a": "192.168.1.3", "b": "192.168.1.4"}
SHARED = "192.168.1.50"
REAL, OURS = "ucarp", "ours"
REAL_ATTEMPTS = 5
PROGRAMS = {REAL: ["ucarp"], OURS: [sys.executable, "-W", "error", "-m", "pycarp", "ucarp"]}
SETTLED_S = 9.0
GOOD = {"-i": "fxp0", "-s": OWN["a"], "-v": "1", "-p": "x", "-a": SHARED}


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ucarp")
    with new_segment(a=f"{OWN['a']}/24", b=f"{OWN['b']}/24") as made:
        yield made


class CommandProcess(Process):
    """ucarp or our stand-in, with scripts that note their calls and move the address."""

    def __init__(
        self, segment: Segment, host: str, folder: Path, program: str, *options: str, slow_s: float = 0
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._calls = folder / f"{host}.calls"
        scripts = {name: folder / f"{host}-{name}.sh" for name in ("up", "down")}
        for (name, script), verb in zip(scripts.items(), ("add", "del"), strict=True):
            lines = [
                "#!/bin/sh",
                f"sleep {slow_s if name == 'up' else 0}",
                f'echo {name} "$#" "$@" >> {shlex.quote(str(self._calls))}',
            ]
            # The last line fails at the start, where there is no address to take off: that must not matter.
            script.write_text("\n".join([*lines, f'ip addr {verb} "$2/24" dev "$1"\n']))
            script.chmod(0o755)
        words = ["-i", "fxp0", "-s", OWN[host], "-v", "1", "-p", "testpass", "-a", SHARED, "-f", "none"]
        words += ["-u", str(scripts["up"]), "-d", str(scripts["down"]), *options]
        super().__init__(segment, host, [*PROGRAMS[program], *words], folder / f"{host}.log")

    @property
    def calls(self) -> list[str]:
        """The calls of the scripts: name, number of arguments, arguments."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    @property
    def switches(self) -> list[str]:
        """The states that were told, in their order."""
        return [line.rpartition(" ")[2] for line in self.lines("Switching to state: ")]

    def wait_for(self, *verbs: str, timeout_s: float = SETTLED_S) -> None:
        """Return when the scripts have been called in this order, and not otherwise."""
        wait_until(lambda: len(self.calls) >= len(verbs), timeout_s)
        assert [call.split()[0] for call in self.calls] == list(verbs)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal; the process of ``ip netns exec`` has become the program itself."""
        self.process.send_signal(number)


def lonely_sequence(segment: Segment, folder: Path, program: str) -> tuple[list[str], list[str], int]:
    """Start, take over, step down, take over, end; return calls, states and exit status."""
    with CommandProcess(segment, "a", folder / program, program, "-z", "-x", "one more") as codec:
        codec.wait_for("down")
        codec.wait_for("down", "up")
        time.sleep(1)
        codec.tell(signal.SIGUSR2)
        codec.wait_for("down", "up", "down")
        codec.wait_for("down", "up", "down", "up", timeout_s=12)
        time.sleep(1)
        codec.tell(signal.SIGTERM)
        status = codec.process.wait(5)
        return codec.calls, codec.switches, status


def test_the_lonely_plan_is_the_same_with_both_programs(segment: Segment, tmp_path: Path) -> None:
    theirs = lonely_sequence(segment, tmp_path, REAL)
    ours = lonely_sequence(segment, tmp_path, OURS)

    assert ours == theirs
    assert ours[0][1] == f"up 3 fxp0 {SHARED} one more"
    assert ours[1:] == (["BACKUP", "MASTER", "BACKUP", "MASTER"], 0)


def preemption_sequence(segment: Segment, folder: Path, first: str, second: str) -> list[list[str]]:
    """Let a faster host take the address from a slower one and leave again; return the calls of both."""
    with CommandProcess(segment, "a", folder, first, "-z", "-k", "100") as slower:
        slower.wait_for("down", "up")
        with CommandProcess(segment, "b", folder, second, "-z", "-P") as faster:
            faster.wait_for("down", "up")
            slower.wait_for("down", "up", "down")
            assert (slower.has_address(), faster.has_address()) == (False, True)
            faster.tell(signal.SIGTERM)
            faster.wait_for("down", "up", "down")
            slower.wait_for("down", "up", "down", "up")
            assert (slower.has_address(), faster.has_address()) == (True, False)
            return [slower.calls, faster.calls]


def test_takeover_and_preemption_call_the_scripts_alike_in_both_roles(segment: Segment, tmp_path: Path) -> None:
    plans = [
        preemption_sequence(segment, tmp_path / f"{first}-{second}", first, second)
        for first, second in ((REAL, REAL), (REAL, OURS), (OURS, REAL))
        if _removed(segment)
    ]

    assert plans[1] == plans[0]
    assert plans[2] == plans[0]


@pytest.mark.parametrize("program", [REAL, OURS])
@pytest.mark.parametrize(
    ("options", "signal_number", "status", "verbs"),
    [
        (["-z"], signal.SIGHUP, 0, ["down"]),
        (["-z", "-n"], signal.SIGINT, 0, []),
        ([], signal.SIGTERM, -signal.SIGTERM, ["down"]),
        ([], signal.SIGINT, -signal.SIGINT, ["down"]),
        ([], signal.SIGHUP, -signal.SIGHUP, ["down"]),
    ],
    ids=["z-hup", "z-neutral-int", "mastership", "int", "hup"],
)
def test_a_backup_ends_alike(
    segment: Segment,
    tmp_path: Path,
    program: str,
    options: list[str],
    signal_number: signal.Signals,
    status: int,
    verbs: list[str],
) -> None:
    with CommandProcess(segment, "a", tmp_path, program, *options) as codec:
        wait_until(lambda: bool(codec.switches), SETTLED_S)
        time.sleep(0.7)
        codec.tell(signal_number)

        assert codec.process.wait(5) == status
        assert [call.split()[0] for call in codec.calls] == verbs


@pytest.mark.parametrize("program", [REAL, OURS])
@pytest.mark.parametrize(("options", "verbs"), [(["-z"], ["down", "up", "down"]), ([], ["down", "up"])], ids=["z", "-"])
def test_an_interface_that_is_set_down_ends_it_alike(
    segment: Segment, tmp_path: Path, program: str, options: list[str], verbs: list[str]
) -> None:
    with CommandProcess(segment, "a", tmp_path, program, *options) as codec:
        codec.wait_for("down", "up")
        segment.run("a", ["ip", "link", "set", "fxp0", "down"])
        for _attempt in range(REAL_ATTEMPTS if program == REAL else 0):
            # It ends when poll() says that its socket has an error. The kernel keeps one error, and a read that comes
            # first takes it away: then it has noticed nothing, and the interface has to go down once more.
            if _has_ended(codec):
                break
            segment.run("a", ["ip", "link", "set", "fxp0", "up"])
            segment.run("a", ["ip", "link", "set", "fxp0", "down"])

        assert codec.process.wait(5) == 0
        assert [call.split()[0] for call in codec.calls] == verbs


def _has_ended(codec: CommandProcess) -> bool:
    """Return whether a program ends within five seconds."""
    try:
        codec.process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize("program", [REAL, OURS])
def test_a_start_on_an_interface_that_is_down_fails_alike(segment: Segment, tmp_path: Path, program: str) -> None:
    segment.run("a", ["ip", "link", "set", "fxp0", "down"])
    with CommandProcess(segment, "a", tmp_path, program) as codec:
        assert codec.process.wait(5) == 2


def test_sigusr1_logs_the_state_in_ucarps_words(segment: Segment, tmp_path: Path) -> None:
    with CommandProcess(segment, "a", tmp_path, OURS) as codec:
        wait_until(lambda: bool(codec.switches), SETTLED_S)
        codec.tell(signal.SIGUSR1)
        wait_until(lambda: bool(codec.lines("[INFO] BACKUP on fxp0 id 1")), 2)
        codec.wait_for("down", "up")
        codec.tell(signal.SIGUSR1)
        wait_until(lambda: bool(codec.lines("[INFO] MASTER on fxp0 id 1")), 2)


def test_a_slow_up_script_delays_the_announcement_but_no_advertisement(segment: Segment, tmp_path: Path) -> None:
    with Capture(segment, tmp_path) as capture:
        with CommandProcess(segment, "a", tmp_path, OURS, slow_s=2.5) as codec:
            codec.wait_for("down", "up")
            time.sleep(3)
        capture.stop()
        frames = [(at_s, ethernet.decode(octets).ethertype) for at_s, octets in timed_frames(capture.file)]
        adverts = [at_s for at_s, ethertype in frames if ethertype == ethernet.ETHERTYPE_IPV4]
        announcements = [at_s for at_s, ethertype in frames if ethertype == ethernet.ETHERTYPE_ARP]

        assert 2.4 <= announcements[0] - adverts[0] <= 3.2
        assert len(announcements) == 2
        assert all(0.8 <= later - sooner <= 1.2 for sooner, later in itertools.pairwise(adverts))


def test_a_lost_carrier_makes_a_backup_that_is_back_without_a_sleep(segment: Segment, tmp_path: Path) -> None:
    """ucarp sleeps for ten seconds at a time (carp.md 5.3)."""
    with CommandProcess(segment, "a", tmp_path, OURS) as codec:
        codec.wait_for("down", "up")
        segment.unplug("a")
        codec.wait_for("down", "up", "down", timeout_s=2)
        segment.plug("a")
        codec.wait_for("down", "up", "down", "up", timeout_s=5)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(changed, id=" ".join(f"{option}{value}" for option, value in changed.items()))
        for changed in (
            {"-v": "0"},
            {"-v": "256"},
            {"-v": "abc"},
            {"-v": None},
            {"-p": None},
            {"-p": ""},
            {"-p": "y" * 20},
            {"-s": None},
            {"-s": "bogus"},
            {"-s": "192.168.1.77"},
            {"-a": None},
            {"-a": "bogus"},
            {"-i": "nosuch"},
            {"-b": "0"},
            {"-b": "abc"},
            {"-r": "0"},
            {"-r": "abc"},
            {"-o": "/nonexistent"},
            {"-o": "/dev/null"},
            {"--mcastip": "bogus"},
            {"--mcastip": "192.168.1.9"},
            {"--bogus": ""},
            {"--ad": "1"},
            {"-m": "224.0.0.19"},
            {"-h": ""},
        )
    ],
)
def test_the_exit_status_of_bad_arguments_is_the_same(segment: Segment, changed: dict[str, str | None]) -> None:
    words = [word for name, value in (GOOD | changed).items() if value is not None for word in (name, value)]

    assert _exit_status(segment, OURS, words) == _exit_status(segment, REAL, words)


def test_no_arguments_at_all_show_the_usage_with_success(segment: Segment) -> None:
    assert _exit_status(segment, OURS, []) == _exit_status(segment, REAL, []) == 0


def test_a_failed_start_in_the_background_is_told_and_has_its_exit_status(segment: Segment) -> None:
    """ucarp says nothing and exits with 0."""
    words = [word for pair in (GOOD | {"-i": "nosuch"}).items() for word in pair]
    done = _run(segment, OURS, ["-B", *words])

    assert done.returncode == 2
    assert "[ERROR] interface nosuch does not exist; there are: lo, fxp0" in done.stderr


@pytest.mark.parametrize("facility", ["daemon", "local3", "none"])
def test_syslog_gets_every_line_with_name_pid_and_facility(segment: Segment, tmp_path: Path, facility: str) -> None:
    words = [word for pair in GOOD.items() for word in pair]
    heard = _hear_syslog(segment, tmp_path, [*PROGRAMS[OURS], *words, "-z", "-f", facility])
    priority = {"daemon": 3 << 3 | 4, "local3": 19 << 3 | 4, "none": None}[facility]

    if priority is None:
        assert heard == []
    else:
        pattern = rf"<{priority}>.* ucarp\[\d+\]: \[WARNING\] Switching to state: BACKUP"
        assert any(re.fullmatch(pattern, line) for line in heard), heard


def test_debians_ifupdown_starts_and_ends_it_under_the_name_of_ucarp(segment: Segment, tmp_path: Path) -> None:
    require("ifup", "ifdown", "unshare", "ucarp")
    machine = Debian(segment, tmp_path)

    assert "rc=0" in machine.run("ifup fxp0; echo rc=$?")
    wait_until(lambda: machine.has_address(SHARED), SETTLED_S)
    wait_until(lambda: len(machine.pids()) == 1, 3)
    machine.run("ifdown fxp0")
    wait_until(lambda: not machine.pids(), 3)
    machine.run("ifup fxp0")
    wait_until(lambda: machine.has_address(SHARED), SETTLED_S)
    # The address is there a moment before the up-script has ended.
    wait_until(lambda: len(machine.pids()) == 1, 3)
    (pid,) = machine.pids()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not machine.has_address(SHARED), 3)
    wait_until(lambda: not machine.pids(), 3)


class Debian:
    """A host whose /etc/network, /run/network and /usr/sbin/ucarp are its own; the rest of the machine never sees."""

    def __init__(self, segment: Segment, folder: Path) -> None:
        self._segment = segment
        self._etc, self._run, self._ucarp = folder / "etc", folder / "run", folder / "bin" / "ucarp"
        hooks = [self._etc / f"if-{when}.d" for when in ("pre-up", "up", "down", "post-down")]
        for each in (*hooks, self._run, self._ucarp.parent):
            each.mkdir(parents=True)
        hook = Path("/etc/network/if-up.d/ucarp")
        (self._etc / "if-up.d" / "ucarp").write_text(hook.read_text())
        (self._etc / "if-up.d" / "ucarp").chmod(0o755)
        (self._etc / "interfaces").write_text(
            textwrap.dedent(
                f"""\
                iface fxp0 inet static
                    address {OWN["a"]}
                    netmask 255.255.255.0
                    ucarp-vid 3
                    ucarp-vip {SHARED}
                    ucarp-password 16charsatmost
                    ucarp-advskew 0
                    ucarp-advbase 1
                    ucarp-master yes
                iface fxp0:ucarp inet static
                    address {SHARED}
                    netmask 255.255.255.255
                """
            )
        )
        self._ucarp.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path[:0] = {sys.path!r}\n"
            "from pycarp.__main__ import main\nsys.exit(main())\n"
        )
        self._ucarp.chmod(0o755)
        # The address comes from the file.
        segment.run("a", ["ip", "addr", "flush", "dev", "fxp0"])
        segment.run("a", ["ip", "link", "set", "fxp0", "down"])

    def run(self, command: str) -> str:
        """Run a shell command on the host and return what it prints."""
        mounts = [(self._etc, "/etc/network"), (self._run, "/run/network"), (self._ucarp, "/usr/sbin/ucarp")]
        lines = ["set -e", "mount --make-rprivate /", "mkdir -p /run/network"]
        lines += [f"mount --bind {own} {there}" for own, there in mounts]
        return self._segment.run("a", ["unshare", "-m", "sh", "-c", "\n".join([*lines, "set +e", command])])

    def has_address(self, address: str) -> bool:
        """Say whether the host has an address."""
        return f" {address}/" in self._segment.run("a", ["ip", "-4", "-o", "addr", "show", "dev", "fxp0"])

    def pids(self) -> list[int]:
        """Return the processes on the host."""
        argv = ["ip", "netns", "pids", self._segment.namespace("a")]
        return [int(pid) for pid in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()]


_SYSLOGD = """
import os, signal, socket, subprocess, sys
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind("/dev/log")
heard.settimeout(2)
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    while True:
        print(heard.recv(4096).decode().rstrip("\\x00"))
except TimeoutError:
    pass
child.send_signal(signal.SIGTERM)
child.wait(10)
"""


def _hear_syslog(segment: Segment, folder: Path, argv: list[str]) -> list[str]:
    """Return what arrives at a /dev/log that only the program sees."""
    require("unshare")
    syslogd = folder / "syslogd.py"
    syslogd.write_text(_SYSLOGD)
    nodes = {"null": (1, 3), "zero": (1, 5), "urandom": (1, 9), "random": (1, 8)}
    lines = ["set -e", "mount --make-rprivate /", "mount -t tmpfs none /dev"]
    lines += [f"mknod -m 666 /dev/{name} c {major} {minor}" for name, (major, minor) in nodes.items()]
    lines += [shlex.join([sys.executable, str(syslogd), *argv])]
    return segment.run("a", ["unshare", "-m", "sh", "-c", "\n".join(lines)]).splitlines()


def _removed(segment: Segment) -> bool:
    """Take the shared address off both hosts, where a killed program has left it."""
    for host in ("a", "b"):
        try:
            segment.run(host, ["ip", "addr", "del", f"{SHARED}/24", "dev", "fxp0"])
        except CarpError:
            continue
    return True


def _exit_status(segment: Segment, program: str, words: list[str]) -> int:
    return _run(segment, program, words).returncode


def _run(segment: Segment, program: str, words: list[str]) -> "subprocess.CompletedProcess[str]":
    argv = segment.exec_argv("a", [*PROGRAMS[program], *words])
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)


# --- asked by pycarp status and the other commands


def pycarp(segment: Segment, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on the first host, without ``--control``."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYCARP_CONTROL", "RUNTIME_DIRECTORY")
    }
    argv = segment.exec_argv("a", [sys.executable, "-m", "pycarp", *words])
    return subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=30, check=False)


def sockets() -> set[Path]:
    return set(Path("/run/pycarp").glob("ucarp-*"))


def test_the_commands_find_every_ucarp_of_the_machine(segment: Segment, tmp_path: Path) -> None:
    before = sockets()
    other = ("-v", "2", "-a", "192.168.1.51", "--log-format", "json")
    with (
        CommandProcess(segment, "a", tmp_path / "first", OURS, "-z") as first,
        CommandProcess(segment, "a", tmp_path / "second", OURS, *other) as second,
    ):
        wait_until(lambda: first.switches == ["BACKUP", "MASTER"] and "-> MASTER" in second.log.read_text(), SETTLED_S)
        table = pycarp(segment, "status")
        record = json.loads(second.lines("-> MASTER")[0])
        down = pycarp(segment, "ifconfig", "1@fxp0", "down")
        first.wait_for("down", "up", "down")
        shown, which = pycarp(segment, "status", "--json"), pycarp(segment, "sysctl")
        refused = pycarp(segment, "reload", "--control", str(second_path(before)))
        second.tell(signal.SIGTERM)
        killed = second.process.wait(5)
        alone = pycarp(segment, "status")
        first.tell(signal.SIGKILL)
        first.process.wait(5)
        dead = pycarp(segment, "status")
    for path in sockets() - before:
        path.unlink()

    lines = table.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["1@fxp0", "1@fxp0", "MASTER"], ["2@fxp0", "2@fxp0", "MASTER"]]
    assert (record["host"], record["state"], record["level"]) == ("2@fxp0", "MASTER", "info")
    assert (down.returncode, down.stderr) == (0, "")
    assert [host["state"] for host in json.loads(shown.stdout)["hosts"]] == ["INIT", "MASTER"]
    assert which.returncode == 2
    assert which.stderr.count("--control /run/pycarp/ucarp-fxp0-") == 2
    assert (refused.returncode, "has no file to read again" in refused.stderr) == (2, True)
    assert killed == -signal.SIGTERM
    assert (alone.returncode, alone.stderr, len(alone.stdout.splitlines())) == (0, "", 2)
    assert dead.returncode == 1
    assert "its state is unknown" in dead.stderr


def second_path(before: set[Path]) -> Path:
    (found,) = (each for each in sockets() - before if "fxp0-2" in each.name and each.suffix == ".sock")
    return found


def test_a_socket_that_was_asked_for_and_cannot_be_made_ends_it(segment: Segment, tmp_path: Path) -> None:
    with CommandProcess(segment, "a", tmp_path / "asked", OURS, "--control", "/proc/nowhere/s") as asked:
        assert asked.process.wait(10) == 2
    assert asked.lines("cannot make the control socket /proc/nowhere/s")
