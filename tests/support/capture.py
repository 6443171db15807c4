"""All frames that arrive at the link of a namespace, and a file of them."""

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pycarp.wire import ethernet
from tests.support.namespaces import LINK, Namespace, entered

_ETH_P_ALL = 0x0003
_TIMEOUT_S = 3.0


class Capture:
    """Listens from the moment it is entered; unlike a transport it sees every frame, those it should not as well."""

    def __init__(self, namespace: Namespace) -> None:
        with entered(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((LINK, _ETH_P_ALL))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def octets(self, wanted: Callable[[ethernet.Frame], bool], count: int) -> list[bytes]:
        """Return the first ``count`` frames that are wanted; fail when they do not come."""
        found: list[bytes] = []
        ends_s = time.monotonic() + _TIMEOUT_S
        while len(found) < count:
            self._socket.settimeout(max(ends_s - time.monotonic(), 0.001))
            try:
                octets = self._socket.recv(2048)
            except TimeoutError:
                raise AssertionError(f"{len(found)} of {count} frames came within {_TIMEOUT_S} s") from None
            if wanted(ethernet.decode(octets)):
                found.append(octets)
        return found

    def frames(self, wanted: Callable[[ethernet.Frame], bool], count: int) -> list[ethernet.Frame]:
        """Return the first ``count`` frames that are wanted, taken apart."""
        return [ethernet.decode(octets) for octets in self.octets(wanted, count)]


def is_carp(frame: ethernet.Frame) -> bool:
    """Say whether a frame carries IPv4 of protocol 112."""
    return frame.ethertype == ethernet.ETHERTYPE_IPV4 and frame.payload[9] == 112


def write_pcap(path: Path, frames: list[bytes]) -> None:
    """Write frames as a capture file of Ethernet, at second 0."""
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = (struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames)
    path.write_bytes(header + b"".join(records))
