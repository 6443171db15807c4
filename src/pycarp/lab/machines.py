"""The three machines of the scenario, their daemons and web servers, the name server and the client."""

import subprocess
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import DoneReply, HostStatus, IfconfigRequest, StatusReply, StatusRequest
from pycarp.errors import CarpError, ControlError
from pycarp.lab.lab_network import Segment

PREFIX = "pycarp"
PREFERRED = ("hosta", "hostb")
HOSTS = (*PREFERRED, "provider")
CLIENT = "client"
SITE = "www.example.org"
WEB_A, WEB_B = "192.168.1.50", "192.168.1.51"

_OWN = {"hosta": "192.168.1.3/24", "hostb": "192.168.1.4/24", "provider": "192.168.1.5/24"}
_NAME_SERVER = "192.168.1.2"
_CLIENT_ADDRESS = "192.168.1.100/24"
_POLL_S = 0.02
_GRACE_S = 2.0
_CLIENT_LIMIT_S = 120.0
_PAGE = "<!doctype html><title>three hosts</title><p>The same page on each of the three hosts.\n"


def segment(prefix: str = PREFIX) -> Segment:
    """Return the segment of the scenario, not made yet."""
    hosts = {**_OWN, CLIENT: _CLIENT_ADDRESS}
    return Segment(prefix, hosts, switch_address=f"{_NAME_SERVER}/24")


class Machines:
    """A context manager that runs everything on a segment; files are kept in ``folder``."""

    def __init__(self, where: Segment, folder: Path) -> None:
        self._segment = where
        self._folder = folder
        self._daemons: dict[str, subprocess.Popen[str]] = {}
        self._others: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        (self._folder / "www").mkdir()
        (self._folder / "www" / "index.html").write_text(_PAGE)
        for host in HOSTS:
            text = resources.files("pycarp.lab").joinpath(f"scenario/{host}.rc.conf").read_text()
            (self._folder / f"{host}.rc.conf").write_text(text)
            self._serve_pages(host)
        # provider follows when these count their time: without preemption a host that starts last never becomes MASTER.
        for host in PREFERRED:
            self.start_daemon(host)
        self._serve_names()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self._daemons.values(), *self._others):
            process.terminate()
        for process in (*self._daemons.values(), *self._others):
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def control(self, host: str) -> Path:
        """Return the control socket of a machine's daemon."""
        return self._folder / f"{host}.sock"

    def log(self, host: str) -> Path:
        """Return the log of a machine's daemon."""
        return self._folder / f"{host}.log"

    def start_daemon(self, host: str) -> None:
        """Start ``pycarp run`` with the machine's rc.conf as it stands; one that was stopped is waited for first."""
        if host in self._daemons:
            self._daemons[host].wait(_GRACE_S)
        rc_conf = str(self._folder / f"{host}.rc.conf")
        argv = [sys.executable, "-m", "pycarp", "run", "--rc-conf", rc_conf, "--control", str(self.control(host))]
        argv += ["--state", str(self._folder / "state")]
        with self.log(host).open("a") as log:
            self._daemons[host] = self._segment.popen(host, argv, stdout=log, stderr=log)

    def stop_daemon(self, host: str) -> None:
        """Send SIGTERM to a machine's daemon; does not wait."""
        self._daemons[host].terminate()

    def start_client(self) -> None:
        """Start the client, which fetches for two minutes at most."""
        argv = [sys.executable, "-m", "pycarp.lab.client", SITE, str(_CLIENT_LIMIT_S)]
        with (self._folder / "client.jsonl").open("w") as output:
            self._others.append(self._segment.popen(CLIENT, argv, stdout=output, stderr=subprocess.DEVNULL))

    def client_lines(self) -> list[str]:
        """Return what the client has printed so far."""
        return (self._folder / "client.jsonl").read_text().splitlines(keepends=True)

    def status(self, host: str, name: str = "carp0") -> HostStatus:
        """Return the status of a virtual host; ControlError when the daemon does not answer."""
        hosts = request(self.control(host), StatusRequest(), StatusReply).hosts
        return next(each for each in hosts if each.name == name)

    def down_and_up(self, host: str) -> None:
        """Run ``ifconfig carp0 down && ifconfig carp0 up`` on a machine."""
        for is_up in (False, True):
            request(self.control(host), IfconfigRequest(host="carp0", is_up=is_up), DoneReply)

    def wait_until(self, what: str, is_so: Callable[[], bool], timeout_s: float = 8.0) -> None:
        """Wait until ``is_so`` returns True; CarpError after ``timeout_s``, with the last lines of the logs."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            try:
                if is_so():
                    return
            except ControlError:
                self._check_daemons()
            time.sleep(_POLL_S)
        logs = "".join(f"\n{host}: {self._last_lines(host)}" for host in HOSTS)
        raise CarpError(f"within {timeout_s:g} s it did not happen that {what}; the daemons' last words:{logs}")

    def wait_for(self, host: str, state: str, name: str = "carp0", timeout_s: float = 8.0) -> HostStatus:
        """Return the status of a virtual host as soon as it is in a state."""
        self.wait_until(f"{host} {name} becomes {state}", lambda: self.status(host, name).state == state, timeout_s)
        return self.status(host, name)

    def _check_daemons(self) -> None:
        for host, process in self._daemons.items():
            if process.poll() not in (None, 0):
                raise CarpError(f"the daemon of {host} ended: {self._last_lines(host)}")

    def _last_lines(self, host: str) -> str:
        return "\n  ".join(self.log(host).read_text().splitlines()[-3:])

    def _serve_pages(self, host: str) -> None:
        argv = [sys.executable, "-m", "http.server", "80", "--directory", str(self._folder / "www")]
        self._start_quietly(host, argv)

    def _serve_names(self) -> None:
        """Give one name two addresses, in turn: dnsmasq rotates them."""
        self._segment.write_etc(CLIENT, "resolv.conf", f"nameserver {_NAME_SERVER}\n")
        hosts_file = self._folder / "names"
        hosts_file.write_text(f"{WEB_A} {SITE}\n{WEB_B} {SITE}\n")
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]
        self._start_quietly("switch", [*argv, f"--addn-hosts={hosts_file}", "--pid-file="])

    def _start_quietly(self, host: str, argv: list[str]) -> None:
        quiet = subprocess.DEVNULL
        self._others.append(self._segment.popen(host, argv, stdin=quiet, stdout=quiet, stderr=quiet))
