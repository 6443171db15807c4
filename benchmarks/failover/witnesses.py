"""Programs that look on from inside a namespace: a client, what answers it, and who sees addresses come and go.

Each is a small process of its own, so that none of them waits for another; run as ``witnesses.py WHAT ARGUMENT...``.
What they saw is written when SIGTERM comes, a line a fact, with the time of CLOCK_MONOTONIC, which all share.
"""

import contextlib
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from types import FrameType

PORT = 7777
EVERY_S = 0.005
_IP_FREEBIND = 15
_RTMGRP_IPV4_IFADDR = 0x10
_NEW_ADDRESS, _DELETED_ADDRESS = 20, 21
_HEADER = struct.Struct("=IHHII")
_ETH_P_ALL = 0x0003
_IPV4, _ARP, _IPV6 = b"\x08\x00", b"\x08\x06", b"\x86\xdd"
_VIRTUAL = b"\x00\x00\x5e\x00\x01"
_CARP = 112
_HEADER_LENGTH = {_IPV4: 20, _IPV6: 40}


def answer(address: str) -> None:
    """Answer whoever asks a shared address, whether it is here or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind((address, PORT))
        while True:
            question, client = sock.recvfrom(64)
            with contextlib.suppress(OSError):
                sock.sendto(question, client)


def ask(address: str, file: str) -> None:
    """Ask every 5 ms; note when answers came, and by how much this process itself was late at most."""
    seen: list[str] = []
    _at_the_end(file, lambda: seen)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        due_s = time.monotonic()
        while True:
            with contextlib.suppress(OSError):
                sock.sendto(b"?", (address, PORT))
            due_s += EVERY_S
            while (left_s := due_s - time.monotonic()) > 0:
                select.select([sock], [], [], left_s)
                with contextlib.suppress(OSError):
                    while sock.recv(64):
                        seen.append(f"answer {time.monotonic()}")
            if left_s < -EVERY_S:
                seen.append(f"stall {time.monotonic()} {-left_s}")
                due_s = time.monotonic()


def see(address: str, file: str) -> None:
    """Note when a shared address comes and goes in this namespace, on whatever device."""
    seen: list[str] = []
    _at_the_end(file, lambda: seen)
    octets = IPv4Address(address).packed
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, _RTMGRP_IPV4_IFADDR))
        while True:
            messages = sock.recv(1 << 16)
            now_s = time.monotonic()
            start = 0
            while start < len(messages):
                length, kind, *_rest = _HEADER.unpack_from(messages, start)
                if octets in messages[start : start + length]:
                    seen.append(f"{'comes' if kind == _NEW_ADDRESS else 'goes'} {now_s}")
                start += (length + 3) & ~3


def watch(address: str, file: str) -> None:
    """Note, inside the switch, at which port each advertisement, ARP and frame from a virtual MAC address enters."""
    seen: list[str] = []
    _at_the_end(file, lambda: seen)
    octets = IPv4Address(address).packed
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as sock:
        while True:
            frame, (port, _protocol, kind, *_rest) = sock.recvfrom(256)
            what = _words(frame, octets)
            if kind != socket.PACKET_OUTGOING and what:
                seen.append(f"{time.monotonic()} {port} {frame[6:12].hex(':')} {what}")


def _words(frame: bytes, address: bytes) -> str:
    """Say what a frame is, if it is one that matters."""
    kind, packet = frame[12:14], frame[14:]
    if kind in _HEADER_LENGTH and packet[6 if kind == _IPV6 else 9] == _CARP:
        carp = packet[_HEADER_LENGTH[kind] :]
        octet = f", demote {carp[4]}" if carp[4] else ""
        return f"IPv{packet[0] >> 4} advertisement {carp[5]}/{carp[2]}{octet}"
    if kind == _ARP and packet[14:18] == address:
        return "gratuitous ARP" if packet[24:28] == address else "ARP reply"
    return "data" if frame[6:11] == _VIRTUAL else ""


def _at_the_end(file: str, lines: Callable[[], list[str]]) -> None:
    def write(_number: int, _frame: FrameType | None) -> None:
        with open(file, "w") as out:
            out.write("\n".join(lines()) + "\n")
        sys.exit(0)

    signal.signal(signal.SIGTERM, write)


def main(what: str, *arguments: str) -> None:
    """Be one of them."""
    programs: dict[str, Callable[..., None]] = {"answer": answer, "ask": ask, "see": see, "watch": watch}
    programs[what](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
