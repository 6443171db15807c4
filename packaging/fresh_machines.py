"""Machines for typing: each has a root, a /run, a /tmp, a /proc, a name and a network of its own.

A root is an overlay over a folder with a fresh Debian, or over this machine: what is typed is kept in memory and leaves
nothing. No init system is started: a stand-in for systemctl does what pages ask of it.
Everything here is called in mount and PID namespaces of its own (`unshare --mount --pid`), with which it all ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = Path("/srv/pycarp")
"""Where a machine has the clone of this repository."""

_STAND_INS = Path("stand-ins")
_PATH = f"/{_STAND_INS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WITHIN_S = 60.0
_NOT_WELL = 3
"""The exit status of a status that is not good yet: a page says that it takes some seconds."""

SYSTEMCTL = r"""#!/bin/bash
# Stands in for systemd: it does what pages ask of it, and refuses everything else.
unit=/etc/systemd/system/pycarp.service
main=/run/pycarp.pid
start() {
    mkdir -p /run/pycarp /var/lib/pycarp
    setsid $(sed -n 's/^ExecStart=//p' $unit) </dev/null >>/var/log/pycarp.log 2>&1 &
    echo $! >$main
    # As Type=notify does: it returns when the daemon takes part.
    for _ in $(seq 100); do sleep 0.2; pycarp status >/dev/null 2>&1; [ $? != 1 ] && break; done
}
stop() { kill "$(cat $main)"; while kill -0 "$(cat $main)" 2>/dev/null; do sleep 0.1; done; rm $main; }
case "$*" in
daemon-reload) [ -e $unit ] || [ ! -e $main ] ;;
"enable --now pycarp" | "start pycarp") [ -e $main ] || start ;;
"try-restart pycarp") [ ! -e $main ] || { stop; start; } ;;
"disable --now pycarp" | "stop pycarp") stop ;;
"status pycarp") kill -0 "$(cat $main)" ;;
"kill --kill-whom=main --signal=KILL pycarp") kill -9 "$(cat $main)"; sleep 1; start ;;
"start nginx") nginx ;;
"stop nginx") nginx -s stop ;;
*) echo "systemctl $*: no page asks for it" >&2; exit 1 ;;
esac
"""
APT = r"""#!/bin/bash
# A fresh image has no lists of packages yet, and there is no person to answer.
[ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] || apt-get update -qq
[ "$1" = install ] && shift && DEBIAN_FRONTEND=noninteractive exec apt-get install -qq -y "$@" >/dev/null
"""
INSTALLED = r"""#!/bin/bash
# What a page installs must be installed here: nothing is fetched.
[ "$1" = install ] && shift && exec dpkg-query --show "$@" >/dev/null
"""
PYTHON = r"""#!/bin/bash
# A new virtual environment is the one that runs this: nothing is fetched.
here=$(dirname "$0")
[ "$1 $2" = "-m venv" ] || exec BIN/python "$@"
mkdir -p "$3/bin"
for each in python pycarp pytest; do ln -s BIN/$each "$3/bin/"; done
cp "$here/pip" "$3/bin/pip"
"""
PIP = r"""#!/bin/bash
# Installs nothing: it accepts a source with extras that it has.
[ "$1" = install ] && shift
[[ "$1" = -* ]] && shift
for each in "$@"; do
    [[ "$each" =~ ^\.\[([a-z,]+)\]$ ]] || { echo "pip install $each: no page asks for it" >&2; exit 1; }
    for extra in ${BASH_REMATCH[1]//,/ }; do
        grep -q "^$extra = \[" pyproject.toml || { echo "there is no extra $extra" >&2; exit 1; }
    done
done
"""
_COMMON = {
    "sudo": '#!/bin/sh\nexec "$@"\n',
    "ssh": "#!/bin/sh\n# The roots of all machines are below /machines.\nhost=${1#root@}; shift\n"
    'exec chroot "/machines/$host" "$@"\n',
    "scp": '#!/bin/sh\nto=${3#root@}\nexec cp -p "$2" "/machines/${to%%:*}${to#*:}"\n',
    "systemctl": SYSTEMCTL,
}


class TypingError(Exception):
    """A command of a page failed, or what it says did not come true."""


class Terminal:
    """A shell on a machine, in which one command is typed after the other."""

    def __init__(self, machine: "Machine", folder: Path) -> None:
        self._machine = machine
        self._shell = subprocess.Popen(
            machine.argv("/bin/bash", "--norc"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.look(f"cd {folder}")

    def type(self, command: str, *, exit_status: int = 0, may_be_late: bool = False) -> str:
        """Type a command of a page and return what it prints; count it, and raise TypingError if it fails.

        With ``may_be_late`` it measures times and judges them, which tests do where less runs at the same time.
        """
        self._machine.show(command)
        ends_s = time.monotonic() + _WITHIN_S
        status, said = self._run(command)
        if may_be_late and (status == _NOT_WELL or "NOT MET" in said):
            return said
        while status == _NOT_WELL != exit_status and time.monotonic() < ends_s:
            time.sleep(0.5)
            status, said = self._run(command)
        if status != exit_status:
            raise TypingError(f"{command}\nended with exit status {status}, not {exit_status}:\n{said}")
        return said

    def look(self, command: str) -> str:
        """Run a command that is not of the page, and return what it prints."""
        return self._run(command)[1]

    def _run(self, command: str) -> tuple[int, str]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n%s %s\\n' '--ended' $?\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith("--ended "):
                return int(line.split()[1]), "".join(lines).removesuffix("\n")
            lines.append(line)
        raise TypingError(f"{command}\nended the shell:\n{''.join(lines)}")


class Running:
    """A command that stays in the foreground of a terminal of its own, until Ctrl-C."""

    def __init__(self, machine: "Machine", command: str, folder: Path) -> None:
        machine.show(command)
        self._command = command
        self._log = machine.scratch / f"foreground{machine.typed}"
        # Ctrl-C goes to all that runs in a terminal.
        shell = machine.argv("/bin/bash", "-c", f"cd {folder}; {command}")
        with self._log.open("w") as out:
            self._process = subprocess.Popen(
                shell, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def said(self) -> str:
        """Return what it has printed so far."""
        return self._log.read_text()

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so; raise TypingError if it is not in time, or if the command has ended."""
        try:
            wait_until(lambda: self._process.poll() is not None or is_so(), what)
        except TypingError as exc:
            raise TypingError(f"{exc}\n{self.said()}") from None
        if self._process.poll() is not None and not is_so():
            raise TypingError(f"{self._command}\nended:\n{self.said()}")

    def interrupt(self, *exit_statuses: int) -> str:
        """Type Ctrl-C and return what it said; raise TypingError if it does not end with 0 or one of these."""
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            status = self._process.wait(timeout=_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise TypingError(f"{self._command}\ndoes not end after Ctrl-C:\n{self.said()}") from None
        if status not in {0, *exit_statuses}:
            raise TypingError(f"{self._command}\nended with exit status {status} after Ctrl-C:\n{self.said()}")
        return self.said()


class Machine:
    """A machine with a root of its own. It has a network once Segment has put it there."""

    def __init__(self, name: str, lower: str, scratch: Path, stand_ins: dict[str, str]) -> None:
        self.name = name
        self.typed = 0
        """How many commands of the page were typed on it."""
        self.scratch = scratch / name
        self.root = self.scratch / "root"
        self._lower = lower
        self._holder: subprocess.Popen[bytes] | None = None
        for each in ("upper", "work", "root"):
            (self.scratch / each).mkdir(parents=True)
        options = f"lowerdir={lower},upperdir={self.scratch / 'upper'},workdir={self.scratch / 'work'}"
        _run("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        for each in ("run", "tmp"):
            _run("mount", "-t", "tmpfs", "tmpfs", str(self.root / each))
        _run("mount", "-t", "proc", "proc", str(self.root / "proc"))
        _run("mount", "--rbind", "/dev", str(self.root / "dev"))
        for command, text in {**_COMMON, **stand_ins}.items():
            self.write(f"/{_STAND_INS / command}", text.replace("BIN", str(Path(sys.executable).parent)))
            (self.root / _STAND_INS / command).chmod(0o755)
        # No package starts its service.
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
        (self.root / "usr/sbin/policy-rc.d").chmod(0o755)

    def write(self, path: str | Path, text: str, *, append: bool = False) -> None:
        """Write a file as a reader does with an editor."""
        target = self.root / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a" if append else "w") as file:
            file.write(text)

    def snapshot(self) -> str:
        """Return what another machine is to be made of that has all that this one has now, and nothing later."""
        kept = self.scratch / f"kept{len(list(self.scratch.glob('kept*')))}"
        _run("cp", "-a", str(self.scratch / "upper"), str(kept))
        return f"{kept}:{self._lower}"

    def bind(self, folder: Path) -> None:
        """Show a folder of this machine there, read-only."""
        target = self.root / folder.relative_to("/")
        target.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", "-o", "ro", str(folder), str(target))

    def join(self, network: str) -> None:
        """Give it the network namespace of this name, and its own name."""
        ready = self.scratch / "ready"
        script = f"hostname {self.name} && mount -t sysfs sysfs {self.root}/sys && touch {ready} && exec sleep infinity"
        isolated = ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", script]
        self._holder = subprocess.Popen(["ip", "netns", "exec", network, *isolated])
        wait_until(ready.exists, f"{self.name} has a network")

    def argv(self, *words: str) -> list[str]:
        """Return how a command is run there."""
        # What is compiled once is not compiled by each command, where the program itself is read-only.
        environment = ["HOME=/root", "TERM=dumb", f"PATH={_PATH}", "PYTHONPYCACHEPREFIX=/var/cache/bytecode"]
        chroot = ["chroot", str(self.root), "/usr/bin/env", "-i", *environment, *words]
        if self._holder is None:
            return chroot
        return ["nsenter", "--target", str(self._holder.pid), "--mount", "--uts", "--net", *chroot]

    def look(self, command: str) -> str:
        """Run a command that is not of the page in a shell of its own, and return what it prints."""
        argv = self.argv("/bin/bash", "-c", command)
        return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout

    def terminal(self, folder: Path = SOURCE) -> Terminal:
        """Open a terminal there."""
        return Terminal(self, folder)

    def run(self, command: str, folder: Path = SOURCE) -> Running:
        """Type a command that stays, in a terminal of its own."""
        return Running(self, command, folder)

    def show(self, command: str) -> None:
        """Count a command that is typed, and print it."""
        self.typed += 1
        print(f"{self.name}$ {command}", flush=True)

    def has_address(self, address: str) -> bool:
        """Tell whether it has an address."""
        shown = json.loads(self.look("ip -json addr show") or "[]")
        return any(each.get("local") == address for link in shown for each in link["addr_info"])


class Machines:
    """All machines of a page, on one segment."""

    def __init__(self, scratch: Path, *, debian: Path | None, binds: list[Path], copies: list[Path]) -> None:
        _run("mount", "-t", "tmpfs", "tmpfs", str(scratch))
        # Names of network namespaces are in /run: those of this machine are not touched.
        _run("mount", "-t", "tmpfs", "tmpfs", "/run")
        self._scratch = scratch
        self._debian = debian
        self._binds = binds if debian else [ROOT, Path(sys.prefix)]
        self._copies = copies
        self._machines: dict[str, Machine] = {}

    def fresh(self, name: str, packages: str = "") -> Machine:
        """Make a machine with a clone of the source, and with packages that a page takes for granted."""
        machine = self._made(name, str(self._debian or "/"))
        for each in self._copies:
            target = machine.root / each.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            # A folder is copied into the one that is there.
            _run("cp", "-rT", str(each), str(target))
        # As it is in the working tree; with its history, because a reader clones it.
        clone = machine.root / SOURCE.relative_to("/")
        _run("git", "clone", "-q", "--depth", "1", f"file://{ROOT}", str(clone))
        if packages:
            machine.terminal(Path("/")).look(f"apt install {packages}")
        return machine

    def like(self, machine: Machine, name: str) -> Machine:
        """Make a machine that has what another one has now, whose reader typed the same."""
        made = self._made(name, machine.snapshot())
        made.typed = machine.typed
        return made

    def connect(self, addresses: dict[str, str]) -> None:
        """Put machines on one segment, each with an own address; it starts nothing."""
        _run("ip", "netns", "add", "switch")
        for line in ("link add br0 type bridge", "link set br0 up"):
            _run("ip", "-n", "switch", *line.split())
        for name, address in addresses.items():
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, *f"link add eth0 type veth peer name {name} netns switch".split())
            _run("ip", "-n", "switch", *f"link set dev {name} master br0 up".split())
            for line in (f"addr add {address}/24 dev eth0", "link set lo up", "link set eth0 up"):
                _run("ip", "-n", name, *line.split())
            machine = self._machines[name]
            for other in self._machines.values():
                target = machine.root / "machines" / other.name
                target.mkdir(parents=True, exist_ok=True)
                _run("mount", "--bind", str(other.root), str(target))
            machine.join(name)

    def _made(self, name: str, lower: str) -> Machine:
        quick = {"apt": INSTALLED, "python3": PYTHON, "pip": PIP}
        machine = Machine(name, lower, self._scratch, {"apt": APT} if self._debian else quick)
        for each in self._binds:
            machine.bind(each)
        self._machines[name] = machine
        return machine


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Return when something is so; raise TypingError when it is not within a minute."""
    ends_s = time.monotonic() + _WITHIN_S
    while not is_so():
        if time.monotonic() > ends_s:
            raise TypingError(f"not so within {_WITHIN_S:.0f} s: {what}")
        time.sleep(0.1)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TypingError(f"{' '.join(words)}: {done.stderr.strip()}")
