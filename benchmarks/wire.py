"""Advertisements as they pass a link of a namespace, with the kernel's times: what everybody can see, whoever sends.

    ip netns exec NAMESPACE python -m benchmarks.wire LINK

prints a line for each advertisement of CARP or VRRP that comes or goes, until it gets SIGTERM: nanoseconds, source,
vhid, and for CARP advskew and advbase.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_IPV4, _PROTOCOL = 0x0800, 112
_BUFFER_OCTETS = 8 << 20
_CARP_SAYS = 0x21
_HEADERS = struct.Struct("!12xH9xB2x4s4x")  # Ethernet, and IPv4 without options
_TIME = struct.Struct("qq")


class Advertisement(NamedTuple):
    """One that passed: when, by the wall clock, from whom, and what it claims."""

    at_ns: int
    source: str
    vhid: int
    advskew: int
    advbase: int


class Tap:
    """What has passed a link; complete when the context of ``tapped`` has ended."""

    def __init__(self) -> None:
        self.seen: list[Advertisement] = []

    def of(self, source: str) -> dict[int, list[Advertisement]]:
        """Return the advertisements of a sender by vhid, in the order of time."""
        found: dict[int, list[Advertisement]] = {}
        for each in self.seen:
            if each.source == source:
                found.setdefault(each.vhid, []).append(each)
        return found


@contextmanager
def tapped(namespace: str, link: str) -> Iterator[Tap]:
    """Collect what passes a link while the context lasts."""
    argv = ["ip", "netns", "exec", namespace, sys.executable, "-m", "benchmarks.wire", link]
    tap = Tap()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield tap
        finally:
            process.send_signal(signal.SIGTERM)
            tap.seen = list(_read(process.stdout))


def _read(lines: IO[str]) -> Iterator[Advertisement]:
    for line in lines:
        at_ns, source, *numbers = line.split()
        yield Advertisement(int(at_ns), source, *map(int, numbers))


def _watch(link: str) -> None:
    found: list[Advertisement] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.bind((link, _ETH_P_ALL))
        is_over = False

        def end(_number: int, _frame: object) -> None:
            nonlocal is_over
            is_over = True

        signal.signal(signal.SIGTERM, end)
        sock.settimeout(0.2)
        print(flush=True)
        while not is_over:
            try:
                frame, controls, _flags, _address = sock.recvmsg(256, 64)
            except (TimeoutError, InterruptedError):
                continue
            if (seen := _advertisement(frame, controls)) is not None:
                found.append(seen)
    for each in found:
        print(*each)


def _advertisement(frame: bytes, controls: list[tuple[int, int, bytes]]) -> Advertisement | None:
    if len(frame) < _HEADERS.size + 8:
        return None
    kind, protocol, source = _HEADERS.unpack_from(frame)
    if (kind, protocol) != (_IPV4, _PROTOCOL):
        return None
    seconds, nanoseconds = _TIME.unpack(controls[0][2][: _TIME.size])
    said, vhid, advskew = frame[34], frame[35], frame[36]
    advbase = frame[39] if said == _CARP_SAYS else 0
    return Advertisement(seconds * 10**9 + nanoseconds, socket.inet_ntoa(source), vhid, advskew, advbase)


if __name__ == "__main__":
    os.nice(-5)
    _watch(sys.argv[1])
