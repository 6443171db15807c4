"""Machines as network namespaces around one switch, made with ``ip`` and always removed again."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pycarp.errors import CarpError, UsageError

_SWITCH = "switch"
_BRIDGE = "br0"
_ETC = Path("/etc/netns")
_DISABLED, _FORWARDING = 0, 3


def check_requirements(*programs: str) -> None:
    """Raise CarpError unless this process may make namespaces and the programs are installed; says how to get there."""
    if sys.platform != "linux":
        raise CarpError("network namespaces exist on Linux only; try 'pycarp demo'")
    if os.geteuid() != 0:
        raise CarpError("network namespaces need root: sudo pycarp lab; or try 'pycarp demo', which needs nothing")
    missing = [program for program in ("ip", "bridge", *programs) if shutil.which(program) is None]
    if missing:
        raise CarpError(f"not installed: {', '.join(missing)}; on Debian: apt install iproute2 dnsmasq-base")


class Segment:
    """A context manager: one namespace a host, each with a veth to a bridge in a namespace of its own.

    ``hosts`` maps names to own addresses with prefix; every host calls its device ``interface``, and the switch calls
    the host's port like the host. ``prefix`` begins the names of the namespaces. With ``switch_address`` the switch is
    reachable. At the end it kills what ``popen`` started and nothing else, and removes the namespaces that it made.
    """

    def __init__(
        self, prefix: str, hosts: Mapping[str, str], *, interface: str = "fxp0", switch_address: str | None = None
    ) -> None:
        self._prefix = prefix
        self._hosts = dict(hosts)
        self._interface = interface
        self._switch_address = switch_address
        self._made: list[str] = []
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        there = sorted(set(self._namespaces()) & _existing())
        if there:
            raise UsageError(
                f"these namespaces exist already: {', '.join(there)}; unless another lab is running, "
                "an earlier one was killed and left them: remove them with 'pycarp lab --clean'"
            )
        try:
            with _undisturbed():
                self._make()
        except BaseException:
            self._unmake()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unmake()

    def remove(self) -> list[str]:
        """Remove what a killed run left, with all that runs in it; return the names of those that were there."""
        found = [name for name in self._namespaces() if name in _existing()]
        with _undisturbed():
            for name in found:
                for pid in _ip("netns", "pids", name).split():
                    _kill(int(pid))
            _remove_namespaces(found)
        return found

    def namespace(self, host: str) -> str:
        """Return the name of a host's namespace; ``switch`` is one too."""
        return f"{self._prefix}-{host}"

    def exec_argv(self, host: str, argv: Sequence[str]) -> list[str]:
        """Return the command that runs another one on a host."""
        return ["ip", "netns", "exec", self.namespace(host), *argv]

    def popen(self, host: str, argv: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Start a program on a host, away from the terminal's signals; ``options`` go to ``subprocess.Popen``."""
        process = subprocess.Popen(self.exec_argv(host, argv), text=True, start_new_session=True, **options)
        self._started.append(process)
        return process

    def run(self, host: str, argv: Sequence[str]) -> str:
        """Run a program on a host to its end and return what it prints; CarpError when it fails."""
        return _run(self.exec_argv(host, argv))

    def write_etc(self, host: str, file: str, text: str) -> None:
        """Give a host a file of its own below /etc, as ``ip netns exec`` shows it."""
        folder = _ETC / self.namespace(host)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)

    def unplug(self, host: str) -> None:
        """Pull a host's cable: both ends lose their carrier."""
        self._switch("link", "set", "dev", host, "down")

    def plug(self, host: str) -> None:
        """Put the cable back."""
        self._switch("link", "set", "dev", host, "up")

    def isolate(self, host: str) -> None:
        """Block all packets between a host and the rest; the host keeps its carrier."""
        _run(["bridge", "-n", self.namespace(_SWITCH), "link", "set", "dev", host, "state", str(_DISABLED)])

    def rejoin(self, host: str) -> None:
        """Forward the packets of a host again."""
        _run(["bridge", "-n", self.namespace(_SWITCH), "link", "set", "dev", host, "state", str(_FORWARDING)])

    def _make(self) -> None:
        for name in self._namespaces():
            # One by one: a namespace that another process makes at this moment must not count as ours.
            _ip("netns", "add", name)
            self._made.append(name)
        switch = self.namespace(_SWITCH)
        _batch(
            [
                f"link add {_BRIDGE} type bridge forward_delay 0 mcast_snooping 0",
                f"link set dev {_BRIDGE} up",
                *([f"addr add {self._switch_address} dev {_BRIDGE}"] if self._switch_address else []),
            ],
            switch,
        )
        for host, address in self._hosts.items():
            self._make_host(host, address, switch)

    def _make_host(self, host: str, address: str, switch: str) -> None:
        port = f"link add {self._interface} type veth peer name {host} netns {switch}"
        own = [f"addr add {address} dev {self._interface}", f"link set dev {self._interface} up", "link set dev lo up"]
        _batch([port, *own], self.namespace(host))
        _batch([f"link set dev {host} master {_BRIDGE} up"], switch)

    def _unmake(self) -> None:
        with _undisturbed():
            for process in self._started:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            self._started.clear()
            made, self._made = self._made, []
            _remove_namespaces(made)

    def _switch(self, *words: str) -> None:
        _ip("-n", self.namespace(_SWITCH), *words)

    def _namespaces(self) -> list[str]:
        return [self.namespace(name) for name in (*self._hosts, _SWITCH)]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP meanwhile, so that no namespace stays half removed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _remove_namespaces(names: Sequence[str]) -> None:
    for name in names:
        shutil.rmtree(_ETC / name, ignore_errors=True)
    with contextlib.suppress(OSError):
        _ETC.rmdir()
    if names:
        # With -force, one that cannot be removed does not keep the others.
        _run(["ip", "-force", "-batch", "-"], "".join(f"netns del {name}\n" for name in names))


def _existing() -> set[str]:
    return {line.split()[0] for line in _ip("netns", "list").splitlines() if line}


def _batch(lines: Sequence[str], namespace: str | None = None) -> None:
    where = ["-n", namespace] if namespace else []
    _run(["ip", *where, "-batch", "-"], "\n".join(lines) + "\n")


def _ip(*words: str) -> str:
    return _run(["ip", *words])


def _run(argv: Sequence[str], text: str | None = None) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CarpError(f"{' '.join(argv)} failed: {done.stderr.strip()}")
    return done.stdout
