"""A peer that behaves on the wire as a BSD kernel does, as a program: ``python -m benchmarks.failover.kernel_peer``.

The machine's own kernel knows nothing of the shared addresses; a packet socket does all that a BSD's would do with
them: answers ARP and UDP as MASTER, and sends each frame from the MAC address from which that kernel sends it. With a
``--peer`` advertisements leave from the real one as well, as FreeBSD's do. The switch then learns what it would learn
beside that kernel. Commands come as lines on standard input: ``up``, ``down``, ``preempt 0|1``, ``demote N``; each
state goes to standard output as a line, with the time of CLOCK_MONOTONIC.

IPv4 clients only; IPv6 addresses are signed and advertised. Source: carp.md sections 7, 13, 14 and 15.
"""

import argparse
import os
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from benchmarks.failover.kernel_election import KERNELS, Claim, Election, Kernel
from benchmarks.failover.witnesses import PORT
from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.errors import DecodeError
from pycarp.vocabulary import CARP_GROUPS, CARP_TTL, NS_PER_S, Address, Family, MacAddress, Outgoing, family_of
from pycarp.wire import advertisement as wire
from pycarp.wire import arp, envelope, ethernet, ip

_ETH_P_ALL = 0x0003
_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1
_UDP = 17
_IPV4_SOURCE, _IPV4_DESTINATION, _PROTOCOL_OCTET = slice(12, 16), slice(16, 20), 9
_CHECKSUM_OF_UDP = 6


class KernelPeer:
    """One virtual host of a BSD on a link, behind a packet socket."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._kernel: Kernel = KERNELS[asked.kernel]
        self._link: str = asked.link
        self._vhid: int = asked.vhid
        self._mac = MacAddress.parse(Path(f"/sys/class/net/{asked.link}/address").read_text().strip())
        self._virtual_mac = ethernet.virtual_mac(asked.vhid)
        self._shared: list[Address] = [ip_address(each) for each in asked.addresses]
        self._own: dict[Family, Address] = {Family.IPV4: asked.own, Family.IPV6: _link_local(self._mac)}
        self._peer: IPv4Address | None = asked.peer
        self._signer = Signer(
            passphrase=Passphrase(asked.password),
            vhid=asked.vhid,
            addresses=self._shared,
            layouts=(DigestLayout.ORIGINAL,),
        )
        self._counter = random.getrandbits(64)
        self._is_alone = True
        self._families = tuple(dict.fromkeys(family_of(each) for each in self._shared))
        self._socket = _open(asked.link)
        self._unicast = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._election = Election(
            self._kernel,
            self,
            families=self._families,
            advbase=asked.advbase,
            advskew=asked.advskew,
            now_ns=time.monotonic_ns(),
        )
        self._election.preempts = asked.preempt
        if asked.down:
            self._election.set_down()
        self._election.demote(asked.demote, time.monotonic_ns())

    def run(self) -> None:
        """Take part until standard input ends."""
        told = ""
        while True:
            state = "INIT" if not self._election.is_up else "MASTER" if self._election.is_master else "BACKUP"
            if state != told:
                told = state
                print(state, time.monotonic(), flush=True)
            due_at_ns = self._election.due_at_ns
            pause_s = None if due_at_ns is None else max(0, due_at_ns - time.monotonic_ns()) / NS_PER_S
            ready, _, _ = select.select([self._socket, sys.stdin], [], [], pause_s)
            if self._socket in ready:
                self._read()
            if sys.stdin in ready and not self._obey_all(os.read(sys.stdin.fileno(), 4096)):
                return
            self._election.pass_time(time.monotonic_ns())

    # What the election asks for

    def advertise(self, claim: Claim) -> None:
        """Send one advertisement a family, each with a counter of its own but on OpenBSD."""
        for family in self._families:
            if not self._kernel.compares_demotion:
                self._counter = random.getrandbits(64) if self._is_alone else (self._counter + 1) % (1 << 64)
            self._send(self._outgoing(claim, family))

    def announce(self) -> None:
        """Send a gratuitous ARP request for each IPv4 address."""
        source = self._virtual_mac if self._kernel.announces_from_virtual else self._mac
        for address in self._shared:
            if isinstance(address, IPv4Address):
                self._socket.send(arp.gratuitous(address, self._virtual_mac, ethernet_source=source))

    def _outgoing(self, claim: Claim, family: Family) -> Outgoing:
        is_to_peer = self._peer is not None and family is Family.IPV4
        return Outgoing(
            link=self._link,
            family=family,
            source=self._own[family],
            destination=self._peer if self._peer is not None and is_to_peer else CARP_GROUPS[family],
            tos=ip.TOS_LOW_DELAY,
            identification=0,
            source_mac=None if is_to_peer else self._virtual_mac,
            payload=wire.encode(
                wire.Advertisement(
                    vhid=self._vhid,
                    advbase=claim.advbase,
                    advskew=claim.advskew,
                    demote=claim.demote,
                    counter=self._counter,
                    digest=self._signer.sign(self._counter),
                )
            ),
        )

    def _send(self, outgoing: Outgoing) -> None:
        if outgoing.source_mac is None:
            # This machine's kernel finds the peer's MAC address, and sends from the link's own.
            self._unicast.sendto(envelope.packet_of(outgoing, identification=0), (str(outgoing.destination), 0))
        else:
            self._socket.send(envelope.frame_of(outgoing, link_mac=self._mac, identification=0))

    # What comes

    def _read(self) -> None:
        octets, (_link, _protocol, kind, *_rest) = self._socket.recvfrom(2048)
        if kind == socket.PACKET_OUTGOING:
            return
        if (datagram := envelope.datagram_of(octets, link=self._link)) is not None:
            if datagram.ttl == CARP_TTL or self._peer is not None:
                self._hear(datagram.payload, datagram.family)
            return
        frame = ethernet.decode(octets)
        if self._election.is_master and frame.ethertype == ethernet.ETHERTYPE_ARP:
            self._answer_arp(frame)
        elif self._election.is_master and frame.destination == self._virtual_mac:
            self._echo(frame)

    def _hear(self, payload: bytes, family: Family) -> None:
        try:
            advert = wire.decode(payload)
        except DecodeError:
            return
        is_ours = advert.version == wire.VERSION and advert.vhid == self._vhid
        if not is_ours or not self._signer.verify(advert.counter, advert.digest):
            return
        if self._kernel.compares_demotion:
            if advert.counter == self._counter:
                return
        else:
            self._counter, self._is_alone = advert.counter, False
        theirs = Claim(advert.advbase, advert.advskew, advert.demote)
        self._election.hear(theirs, family, time.monotonic_ns())

    def _answer_arp(self, frame: ethernet.Frame) -> None:
        question = arp.decode(frame.payload)
        if question.operation is not arp.Operation.REQUEST or question.target not in self._shared:
            return
        if question.sender_mac == self._virtual_mac:
            # A kernel takes another MASTER's announcement for its own, and does not answer it.
            return
        answer = arp.Arp(
            operation=arp.Operation.REPLY,
            sender_mac=self._virtual_mac,
            sender=question.target,
            target_mac=question.sender_mac,
            target=question.sender,
        )
        source = self._virtual_mac if self._kernel.answers_from_virtual else self._mac
        self._socket.send(ethernet.encode(ethernet.Frame(frame.source, source, frame.ethertype, arp.encode(answer))))

    def _echo(self, frame: ethernet.Frame) -> None:
        """Return a client's UDP datagram from the real MAC address, its addresses and ports exchanged."""
        packet = frame.payload
        if frame.ethertype != ethernet.ETHERTYPE_IPV4 or packet[_PROTOCOL_OCTET] != _UDP:
            return
        if IPv4Address(packet[_IPV4_DESTINATION]) not in self._shared:
            return
        start = (packet[0] & 0x0F) * 4
        source_port, port = struct.unpack_from("!HH", packet, start)
        if port != PORT:
            return
        octets = bytearray(packet)
        octets[_IPV4_SOURCE], octets[_IPV4_DESTINATION] = packet[_IPV4_DESTINATION], packet[_IPV4_SOURCE]
        struct.pack_into("!HH", octets, start, port, source_port)
        # Zero is none: over a veth the one that came was never computed.
        struct.pack_into("!H", octets, start + _CHECKSUM_OF_UDP, 0)
        answer = ethernet.Frame(frame.source, self._mac, ethernet.ETHERTYPE_IPV4, bytes(octets))
        self._socket.send(ethernet.encode(answer))

    # What people do

    def _obey_all(self, lines: bytes) -> bool:
        """Carry out commands; return False when there will be no more."""
        for line in lines.decode().splitlines():
            self._obey(line.split())
        return bool(lines)

    def _obey(self, words: Sequence[str]) -> None:
        now_ns = time.monotonic_ns()
        match words:
            case ["up"]:
                self._election.set_up(now_ns)
            case ["down"]:
                self._election.set_down()
            case ["preempt", number]:
                self._election.preempts = number == "1"
            case ["demote", number]:
                self._election.demote(int(number), now_ns)
            case _:
                raise ValueError(f"unknown command {' '.join(words)!r}")


def _open(link: str) -> socket.socket:
    """Return a socket that sees all frames of a link, those for the virtual MAC address among them."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.bind((link, _ETH_P_ALL))
    membership = struct.pack("iHH8s", socket.if_nametoindex(link), _PROMISCUOUS, 0, b"")
    made.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
    return made


def _link_local(mac: MacAddress) -> IPv6Address:
    """Return the address that a link makes of its MAC address (RFC 4291, appendix A)."""
    octets = mac.octets
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:])


def main() -> None:
    """Be that peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernel", choices=KERNELS)
    parser.add_argument("link")
    parser.add_argument("own", type=IPv4Address, help="the link's address")
    parser.add_argument("addresses", nargs="+", help="the shared addresses")
    parser.add_argument("--vhid", type=int, default=1)
    parser.add_argument("--password", default="testpass")
    parser.add_argument("--advbase", type=int, default=1)
    parser.add_argument("--advskew", type=int, default=0)
    parser.add_argument("--preempt", action="store_true")
    parser.add_argument("--down", action="store_true", help="take no part before it is told to")
    parser.add_argument("--demote", type=int, default=0)
    parser.add_argument("--peer", type=IPv4Address)
    KernelPeer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
