"""Whether a converted keepalived.conf moves the address as keepalived itself does: the same owner after each event.

    sudo python -m benchmarks.converted             all pairs, a quarter of an hour
    sudo python -m benchmarks.converted nopreempt   those whose name has the word

Each pair runs with keepalived first, then converted with pycarp, in network namespaces. Needs root and keepalived.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pycarp.lab.lab_network import Segment, check_requirements

SHARED = "192.168.1.100"
_SETTLED_S = {"start": 14.0, "script": 8.0, "killed": 8.0, "back": 14.0}
_HEAD = "global_defs {\n enable_script_security\n script_user root\n}\n"


class Pair(NamedTuple):
    """Two configurations by what is in them; ``has_check`` is whether a file of host a can be taken away."""

    name: str
    more: str = ""
    priorities: tuple[int, int] = (150, 100)
    state: tuple[str, str] = ("BACKUP", "BACKUP")
    script: str | None = None

    def text(self, host: str, folder: Path) -> str:
        """Return the keepalived.conf of a host."""
        number = "ab".index(host)
        more = self.more.replace("OWN", f"192.168.1.{number + 1}").replace("PEER", f"192.168.1.{2 - number}")
        head = _HEAD
        if self.script is not None:
            command = f'script "/usr/bin/test -e {folder / host}.ok"'
            head += f"vrrp_script chk {{\n {command}\n interval 1\n {self.script}\n rise 1\n fall 1\n}}\n"
            more += " track_script {\n chk\n }\n"
        return (
            f"{head}vrrp_instance VI_1 {{\n state {self.state[number]}\n interface eth0\n virtual_router_id 51\n"
            f" priority {self.priorities[number]}\n advert_int 1\n"
            f" authentication {{\n auth_type PASS\n auth_pass secret\n }}\n{more}"
            f" virtual_ipaddress {{\n {SHARED}/24\n }}\n}}\n"
        )


PAIRS = (
    Pair("states MASTER and BACKUP", state=("MASTER", "BACKUP")),
    Pair("an owner of priority 255", priorities=(255, 100), state=("MASTER", "BACKUP")),
    Pair("nopreempt", more=" nopreempt\n"),
    Pair("preempt_delay", more=" preempt_delay 3\n"),
    Pair("unicast", more=" unicast_src_ip OWN\n unicast_peer {\n PEER\n }\n"),
    Pair("excluded addresses", more=" virtual_ipaddress_excluded {\n 192.168.1.101/24\n }\n"),
    Pair("a script of weight 2 that decides", priorities=(101, 100), script="weight 2"),
    Pair("a script of weight 2 that does not", script="weight 2"),
    Pair("a script of weight -60", script="weight -60"),
    Pair("a script without weight", script=""),
)


@dataclass
class Run:
    """Both hosts of a pair, with one of the two programs."""

    pair: Pair
    segment: Segment
    folder: Path
    is_converted: bool
    running: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    def start(self, host: str) -> None:
        """Start the program on a host."""
        file = self.folder / f"{host}.keepalived.conf"
        file.write_text(self.pair.text(host, self.folder))
        argv = self._pycarp(host, file) if self.is_converted else self._keepalived(host, file)
        with (self.folder / f"{host}.log").open("a") as log:
            self.running[host] = self.segment.popen(host, argv, stdout=log, stderr=log)

    def kill(self, host: str) -> None:
        """Kill the program with its children; what keepalived leaves is taken away, as a reboot would."""
        process = self.running.pop(host)
        files = Path(f"/proc/{process.pid}/task").glob("*/children")
        children = [int(pid) for file in files for pid in file.read_text().split()]
        # The guardian of pycarp stays: it is there for this.
        for pid in [process.pid, *([] if self.is_converted else children)]:
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def clean(self, host: str) -> None:
        """Take away what keepalived left on a host."""
        for address in (f"{SHARED}/24", "192.168.1.101/24"):
            argv = self.segment.exec_argv(host, ["ip", "addr", "del", address, "dev", "eth0"])
            subprocess.run(argv, capture_output=True, check=False)

    def owner(self) -> str:
        """Return the hosts whose program runs and that have the address."""
        shown = {each: self.segment.run(each, ["ip", "-4", "-o", "addr", "show"]) for each in self.running}
        return "".join(host for host, text in sorted(shown.items()) if f" {SHARED}/" in text) or "nobody"

    def stop(self) -> None:
        """End what runs."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(10)

    def _keepalived(self, host: str, file: Path) -> list[str]:
        pids = {"-p": "pid", "-r": "vrrp", "-c": "checkers"}
        words = [word for option, name in pids.items() for word in (option, str(self.folder / f"{host}.{name}"))]
        return ["keepalived", "-n", "-l", "-P", "-f", str(file), *words]

    def _pycarp(self, host: str, file: Path) -> list[str]:
        made = self.folder / f"{host}.toml"
        convert = [sys.executable, "-m", "pycarp", "convert", str(file), "--to", "toml", "--output", str(made)]
        subprocess.run(convert, capture_output=True, check=True)
        places = ["--control", str(self.folder / f"{host}.sock"), "--state", str(self.folder / f"{host}.state")]
        return [sys.executable, "-m", "pycarp", "run", str(made), *places]


def events(run: Run) -> Iterator[tuple[str, float, Callable[[], None]]]:
    """Yield what happens: its name, the time until all have settled, and the function that does it."""

    def begin() -> None:
        run.start("a")
        # Without preemption the one that listens first has the address.
        time.sleep(1.5 if "nopreempt" in run.pair.more else 0)
        run.start("b")

    def back() -> None:
        run.clean(master)
        run.start(master)

    yield "start", _SETTLED_S["start"], begin
    if run.pair.script is not None:
        flag = run.folder / "a.ok"
        yield "the script of a fails", _SETTLED_S["script"], flag.unlink
        yield "it passes again", _SETTLED_S["script"], flag.touch
    master = run.owner()
    if master in run.running:
        yield "the owner is killed", _SETTLED_S["killed"], lambda: run.kill(master)
        yield "it is back", _SETTLED_S["back"], back


@contextmanager
def prepared(pair: Pair, *, is_converted: bool) -> Iterator[Run]:
    """Make a segment and a folder for a run; end it."""
    hosts = {"a": "192.168.1.1/24", "b": "192.168.1.2/24"}
    with tempfile.TemporaryDirectory() as name, Segment(f"pcc{os.getpid()}", hosts, interface="eth0") as segment:
        folder = Path(name)
        folder.chmod(0o755)
        for host in hosts:
            (folder / f"{host}.ok").touch()
        run = Run(pair, segment, folder, is_converted)
        yield run
        run.stop()


def owners(pair: Pair, *, is_converted: bool) -> dict[str, str]:
    """Return who has the address after each event."""
    found: dict[str, str] = {}
    with prepared(pair, is_converted=is_converted) as run:
        for name, settled_s, happen in events(run):
            happen()
            time.sleep(settled_s)
            found[name] = run.owner()
    return found


def main() -> None:
    """Run the pairs whose name has a word of the command line; exit status 1 if one differs."""
    check_requirements("keepalived")
    words = sys.argv[1:]
    differs = False
    for pair in PAIRS:
        if words and not any(each in pair.name for each in words):
            continue
        theirs, ours = owners(pair, is_converted=False), owners(pair, is_converted=True)
        differs |= theirs != ours
        print(f"{'DIFFERS' if theirs != ours else 'the same'}: {pair.name}", flush=True)
        for name in theirs:
            print(f"    {name}: keepalived {theirs[name]}, pycarp {ours.get(name, '-')}", flush=True)
    sys.exit(int(differs))


if __name__ == "__main__":
    main()
