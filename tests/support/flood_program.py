"""Sends bad packets of many kinds as fast as it is told to, with sendmmsg on a frame socket; prints what it sent.

    python -m tests.support.flood_program --link fxp0 --rate 100000 --seconds 10 --kinds digest forged peer

One call of the kernel sends many frames, so that Python is not the bottleneck.
"""

import argparse
import ctypes
import itertools
import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

from pycarp.vocabulary import Address
from pycarp.wire import advertisement as wire
from pycarp.wire import ethernet, ip
from pycarp.wire.checksum import internet_checksum

GROUP = IPv4Address("224.0.0.18")
FRAMES = 2048
"""How many different frames there are; they are sent again and again."""

_TURNS_A_SECOND = 200
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


class Forger:
    """Makes bad payloads for a vhid; ``peer`` is the address of a host that lives, ``replay`` a genuine frame."""

    def __init__(self, vhid: int, peer: Address, seed: int, replay: bytes) -> None:
        self._vhid = vhid
        self._peer = peer
        self._random = random.Random(seed)
        self._replay = replay

    def kinds(self) -> dict[str, Callable[[], bytes]]:
        """Return what makes a frame, by kind."""
        kinds: dict[str, Callable[[], bytes]] = {
            "digest": lambda: self._frame(self._advert(), IPv4Address("10.9.9.9")),
            "forged": lambda: self._frame(self._advert(), IPv4Address(self._random.getrandbits(32))),
            "peer": lambda: self._frame(self._advert(), self._peer),
            "checksum": lambda: self._frame(self._advert()[:6] + b"\x12\x34" + self._advert()[8:], self._peer),
            "short": lambda: self._frame(self._advert()[: self._random.randrange(36)], self._peer),
            "version": lambda: self._frame(self._advert(version=self._random.choice((0, 1, 4, 15))), self._peer),
            "ttl": lambda: self._frame(self._advert(), self._peer, ttl=254),
            "vhid": lambda: self._frame(self._advert(vhid=self._vhid % 255 + 1), self._peer),
            "vrrp": lambda: self._frame(self._vrrp(), self._peer),
            "unicast": lambda: self._frame(self._advert(), self._peer, to=IPv4Address("10.9.9.8")),
            "broken": lambda: self._frame(self._advert(), self._peer)[:20] + b"\xff" + bytes(30),
        }
        if self._replay:
            kinds["replay"] = lambda: self._replay
        return kinds

    def _advert(self, *, version: int = wire.VERSION, vhid: int | None = None) -> bytes:
        return wire.encode(
            wire.Advertisement(
                vhid=vhid or self._vhid,
                advbase=1,
                advskew=0,
                counter=self._random.getrandbits(64),
                digest=self._random.randbytes(20),
                version=version,
            )
        )

    def _vrrp(self) -> bytes:
        blank = bytes((0x21, self._vhid, 255, 1, 0, 1, 0, 0)) + bytes(12)
        return blank[:6] + internet_checksum(blank).to_bytes(2, "big") + blank[8:]

    def _frame(self, payload: bytes, source: Address, *, ttl: int = 255, to: IPv4Address = GROUP) -> bytes:
        assert isinstance(source, IPv4Address)
        packet = ip.encode_ipv4(source=source, destination=to, tos=0x10, identification=0, payload=payload)
        if ttl != packet[8]:
            blank = packet[:8] + bytes((ttl, packet[9], 0, 0)) + packet[12:20]
            packet = blank[:10] + internet_checksum(blank).to_bytes(2, "big") + blank[12:] + packet[20:]
        return ethernet.encode(
            ethernet.Frame(
                destination=ethernet.group_mac(GROUP),
                source=ethernet.virtual_mac(self._vhid),
                ethertype=ethernet.ETHERTYPE_IPV4,
                payload=packet,
            )
        )


class Cannon:
    """Sends prepared frames, many in one call."""

    def __init__(self, link: str, frames: list[bytes]) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sock.bind((link, 0))
        self._sock.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        self._buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
        self._vectors = (_Iovec * len(frames))()
        self._messages = (_Message * len(frames))()
        for vector, message, buffer in zip(self._vectors, self._messages, self._buffers, strict=True):
            vector.base, vector.length = ctypes.addressof(buffer), len(buffer)
            message.iov, message.iov_length = ctypes.pointer(vector), 1
        self._next = 0
        self._libc = ctypes.CDLL(None, use_errno=True)

    def fire(self, count: int) -> int:
        """Send so many frames, or as many as there are until the end of the prepared ones; return how many."""
        count = min(count, len(self._messages) - self._next)
        at = ctypes.addressof(self._messages) + self._next * ctypes.sizeof(_Message)
        sent: int = self._libc.sendmmsg(self._sock.fileno(), ctypes.c_void_p(at), count, 0)
        if sent < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._next = (self._next + sent) % len(self._messages)
        return sent


def flood(cannon: Cannon, rate: float, seconds: float) -> tuple[int, float]:
    """Send at a rate for a while; return how many were sent and how long it took. What is late is made up for."""
    began_s = time.monotonic()
    sent = 0
    while (passed_s := time.monotonic() - began_s) < seconds:
        due = int(passed_s * rate) - sent
        while due > 0 and time.monotonic() - began_s < seconds:
            fired = cannon.fire(min(due, 1024))
            sent += fired
            due -= fired
        time.sleep(1 / _TURNS_A_SECOND)
    return sent, time.monotonic() - began_s


def heard_frame(link: str, source: Address, timeout_s: float) -> bytes:
    """Return the next advertisement frame from an address."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethernet.ETHERTYPE_IPV4)) as sock:
        sock.bind((link, ethernet.ETHERTYPE_IPV4))
        sock.settimeout(timeout_s)
        while True:
            frame = sock.recv(2048)
            if frame[23] == 112 and frame[26:30] == source.packed:
                return frame


def _frames(forger: Forger, names: list[str]) -> Iterator[bytes]:
    kinds = forger.kinds()
    for name in itertools.islice(itertools.cycle(names), FRAMES):
        yield kinds[name]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--link", default="fxp0")
    parser.add_argument("--vhid", type=int, default=1)
    parser.add_argument("--peer", type=IPv4Address, required=True, help="the address of a host that lives")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=["digest"])
    options = parser.parse_args()
    replay = heard_frame(options.link, options.peer, 5) if "replay" in options.kinds else b""
    forger = Forger(options.vhid, options.peer, options.seed, replay)
    sent, took_s = flood(Cannon(options.link, list(_frames(forger, options.kinds))), options.rate, options.seconds)
    print(json.dumps({"sent": sent, "seconds": took_s}))


if __name__ == "__main__":
    main()
