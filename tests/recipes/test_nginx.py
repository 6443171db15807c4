"""docs/howto/recipes/nginx.md, beside keepalived with a track_script at the same time."""

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest
from benchmarks.failover.answers import Answers

from pycarp.durations import parse_duration
from pycarp.lab.lab_network import Segment
from tests.recipes.pages import INTERFACE, block, hosts_of
from tests.recipes.pair import HOSTS, STARTED_S, passes_checks
from tests.support.daemons import Process, Pycarp, children, new_segment, wait_until
from tests.support.system import require

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PAGE = "nginx.md"
SHARED = "192.0.2.100"
BEFORE_S, AFTER_S = 0.7, 3.0
MOVE_S = 0.02
"""What a move may take beyond the time in which the check notices."""

STALLED_S = 0.02
TRIALS = 3
"""A trial in which the client or the machine was late is made again."""

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/{host}.nginx.pid;
error_log {folder}/{host}.nginx.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/{host}.body;
    proxy_temp_path {folder}/{host}.proxy;
    fastcgi_temp_path {folder}/{host}.fastcgi;
    uwsgi_temp_path {folder}/{host}.uwsgi;
    scgi_temp_path {folder}/{host}.scgi;
    {server}
}}
"""
KEEPALIVED = """
global_defs {{ vrrp_version 3 script_user root }}
vrrp_script nginx {{ script "/bin/bash -c '</dev/tcp/127.0.0.1/80'" interval 1 fall 2 rise 2 }}
vrrp_instance web {{
    state BACKUP
    interface {interface}
    virtual_router_id 1
    priority {priority}
    nopreempt
    virtual_ipaddress {{ {shared}/24 }}
    track_script {{ nginx }}
}}
"""


class Nginx(Process):
    """nginx with the server of the page, whose site says the name of its machine."""

    def __init__(self, segment: Segment, host: str, folder: Path) -> None:
        site = folder / f"{host}.site"
        site.mkdir()
        site.chmod(0o755)
        (site / "index.html").write_text(f"{host}\n")
        server = block(PAGE, "the server")
        assert "root /var/www/html;" in server
        file = folder / f"{host}.nginx.conf"
        file.write_text(NGINX.format(folder=folder, host=host, server=server.replace("/var/www/html", str(site))))
        super().__init__(segment, host, ["nginx", "-c", str(file), "-g", "user root;"], folder / f"{host}.nginx.out")

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Workers outlive a master that is killed.
        self.kill()
        super().__exit__(kind, exc, trace)

    def kill(self) -> None:
        """Kill the master and its workers."""
        workers = children(self.process.pid)
        self.process.kill()
        for each in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


class Keepalived(Process):
    """keepalived on a host."""

    def __init__(self, segment: Segment, host: str, folder: Path, *, priority: int) -> None:
        file = folder / f"{host}.keepalived.conf"
        file.write_text(KEEPALIVED.format(interface=INTERFACE, priority=priority, shared=SHARED))
        files = [word for option in "prc" for word in (f"-{option}", str(folder / f"{host}.keepalived.{option}"))]
        argv = ["keepalived", "-n", "-l", "-P", "-f", str(file), *files]
        super().__init__(segment, host, argv, folder / f"{host}.keepalived.log")


class Pair:
    """Two machines with nginx on a segment, and a client; with pycarp or with keepalived."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        self._stack = stack
        self._folder = folder
        self._segment = stack.enter_context(new_segment(**HOSTS))
        self._nginx = [stack.enter_context(Nginx(self._segment, host, folder)) for host in "ab"]
        self._client = Process(self._segment, "client", self._asking, folder / "client.log")

    def with_pycarp(self) -> Callable[[], bool]:
        """Start pycarp on both; return whether the first is MASTER and the second can take over."""
        first, second = (
            self._stack.enter_context(Pycarp(self._segment, host, self._folder, toml=toml))
            for host, toml in (
                ("a", hosts_of(PAGE, self._folder)),
                ("b", hosts_of(PAGE, self._folder, is_second=True)),
            )
        )
        return lambda: (
            first.is_in("MASTER") and first.has_address(SHARED) and second.is_in("BACKUP") and passes_checks(second)
        )

    def with_keepalived(self) -> Callable[[], bool]:
        """Start keepalived on both; return whether the first is MASTER."""
        first, second = (
            self._stack.enter_context(Keepalived(self._segment, host, self._folder, priority=priority))
            for host, priority in (("a", 150), ("b", 100))
        )
        return lambda: (
            first.has_address(SHARED) and bool(second.lines("BACKUP STATE")) and not second.has_address(SHARED)
        )

    def begin(self) -> None:
        """Let the client ask."""
        self._stack.enter_context(self._client)
        wait_until(lambda: bool(self._client.lines("answer ")), STARTED_S)

    def kill(self) -> float:
        """Kill nginx on the MASTER; return when."""
        at_s = time.monotonic()
        self._nginx[0].kill()
        return at_s

    def gap_s(self, killed_s: float) -> float | None:
        """Return the longest gap around the kill; None when it may be the client's own fault."""
        answers = Answers.read(self._client.log)
        gap = answers.longest_gap(killed_s - BEFORE_S / 2, killed_s + AFTER_S)
        assert any(each > gap.to_s for each in answers.received_s), "nobody answered any more"
        return None if answers.may_be_the_clients(gap, STALLED_S) else gap.length_s

    @property
    def names(self) -> list[str]:
        """Return which machines answered, in their order."""
        found = [line.split()[2] for line in self._client.lines("answer ")]
        return [each for n, each in enumerate(found) if n == 0 or found[n - 1] != each]

    @property
    def _asking(self) -> list[str]:
        seconds = BEFORE_S + AFTER_S + STARTED_S
        return [sys.executable, "-m", "tests.support.web_client_program", SHARED, str(seconds)]


def both(folder: Path) -> tuple[float | None, float | None]:
    """Return the longest gaps of pycarp and of keepalived when nginx is killed under both."""
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        ours, theirs = Pair(stack, folder / "p"), Pair(stack, folder / "k")
        is_up = [ours.with_pycarp(), theirs.with_keepalived()]
        wait_until(lambda: all(each() for each in is_up), STARTED_S)
        ours.begin()
        theirs.begin()
        time.sleep(BEFORE_S)
        killed_s = ours.kill(), theirs.kill()
        time.sleep(AFTER_S + 0.2)
        assert ours.names == theirs.names == ["a", "b"]
        return ours.gap_s(killed_s[0]), theirs.gap_s(killed_s[1])


def noticed_s() -> float:
    """Return the time in which the check of the page notices."""
    settings = dict(re.findall(r"^(every|fall) = (.*)$", block(PAGE, "the hosts"), re.MULTILINE))
    return parse_duration(settings["every"].strip('"'), name="every") * int(settings["fall"])


def test_a_killed_nginx_is_missed_for_no_longer_than_the_check_takes(tmp_path: Path) -> None:
    require("ip", "bridge", "nginx", "keepalived", "bash")
    bound_s = noticed_s() + MOVE_S
    tried = []
    for number in range(TRIALS):
        ours_s, theirs_s = both(tmp_path / str(number))
        tried.append((ours_s, theirs_s))
        if ours_s is not None and theirs_s is not None and ours_s <= bound_s and ours_s < theirs_s / 2:
            break
    else:
        pytest.fail(f"longest gaps of pycarp and keepalived, in seconds: {tried}; bound {bound_s}")
