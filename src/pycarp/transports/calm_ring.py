"""The calm packets of a link: the kernel puts them into a ring in memory, and does not wake the process.

Two frame sockets form one group (``PACKET_FANOUT``). For each packet a program chooses one of them: the ordinary
socket, which wakes the event loop, or this ring (``PACKET_RX_RING``, ``TPACKET_V2``), which is read now and then. The
program is replaced in one step, so each packet goes to exactly one of the two. A ring that is nearly full rolls over:
what it has no room for goes to the ordinary socket. Reading the ring needs no system call, and each packet in it has
the time of its arrival. Source: ``packet_mmap.rst``, ``net/packet/af_packet.c``.
"""

import mmap
import socket
import struct
import time
from collections.abc import Callable, Mapping

from pycarp.system.frame_sockets import SOL_PACKET
from pycarp.system.rtnetlink import socket_filter
from pycarp.system.rtnetlink.socket_filter import Program, set_program, set_slow_option
from pycarp.vocabulary import CARP_PROTOCOL, NS_PER_S, Address, Datagram, Family
from pycarp.wire import envelope, ethernet, ip

_PACKET_RX_RING, _PACKET_VERSION, _PACKET_FANOUT, _PACKET_FANOUT_DATA = 5, 10, 18, 22
_TPACKET_V2 = 1
_FANOUT_CBPF, _FANOUT_ROLLOVER, _FANOUT_UNIQUE, _FANOUT_IGNORE_OUTGOING = 6, 0x1000, 0x2000, 0x4000

FRAMES = 1024
"""The most packets that can wait: twice as many as all hosts of a link send in two seconds, or nearly."""

_FRAME_LENGTH, _BLOCK_LENGTH = 256, 65536
_HEADER = struct.Struct("=IIIHHII")
_PACKET_AT = 66
"""Where the kernel puts an Ethernet frame, behind its own header and its alignment."""

_STATUS = _NUMBER = struct.Struct("=I")
_OURS = 1
"""TP_STATUS_USER: the kernel has filled a frame."""

_KINDS_MOST = 16
"""How many different claims the program knows; advertisements with other claims wake the process."""

_ADDRESSES_MOST = 1024
_HEADERS_MOST = 1024
_MAC_LENGTH = 6
_BEFORE_PAYLOAD = ethernet.HEADER_LENGTH + ip.IPV4_HEADER_LENGTH
_IP_HEADER = slice(ethernet.HEADER_LENGTH, _BEFORE_PAYLOAD)
_ADDRESSES = slice(_BEFORE_PAYLOAD - 8, _BEFORE_PAYLOAD)
_IPV4 = struct.Struct("!BxH2xHBB")
_MORE_OR_OFFSET = 0x3FFF
_NO_OPTIONS = 0x45

_LOAD_NUMBER, _LOAD_INDEX, _LOAD_HEADER_LENGTH, _LOAD_OCTET, _LOAD_MEMORY = 0x00, 0x01, 0xB1, 0x30, 0x60
_LOAD_WORD_BEHIND, _LOAD_OCTET_BEHIND, _STORE, _TO_INDEX = 0x40, 0x50, 0x02, 0x07
_JUMP_EQUAL, _AND, _SHIFT_RIGHT, _SHIFT_RIGHT_BY_INDEX, _RETURN, _RETURN_RESULT = 0x15, 0x54, 0x74, 0x7C, 0x06, 0x16
_datagram = tuple.__new__
"""Makes a named tuple without its own function, which would be called for every packet."""

_AT_ONCE: Program = ((_RETURN, 0, 0, 0),)
_NOTHING = _AT_ONCE
_BIT_OF_INDEX: Program = ((_SHIFT_RIGHT_BY_INDEX, 0, 0, 0), (_AND, 0, 0, 1), (_RETURN_RESULT, 0, 0, 0))
_PROTOCOL_AT = {Family.IPV4: 9, Family.IPV6: 6}
_IPV6_HEADER_LENGTH = 40
_HEADERS_LENGTH = {Family.IPV4: _BEFORE_PAYLOAD, Family.IPV6: ethernet.HEADER_LENGTH + _IPV6_HEADER_LENGTH}
_ADVERTISEMENT_LENGTH = 36


class CalmRing:
    """A ring beside a frame socket that is bound to a link; raises OSError if the kernel has no such rings.

    ``bind`` binds the ring's own socket; ``attach`` attaches the filter of the other socket to it. While the ring takes
    no packets it lets none in: those for which the other socket has no room would roll over to it.
    """

    def __init__(
        self,
        other: socket.socket,
        link: str,
        family: Family,
        *,
        bind: Callable[[socket.socket], None],
        attach: Callable[[socket.socket], None],
    ) -> None:
        self._other = other
        self._link = link
        self._family = family
        self._attach = attach
        self._takes_any = False
        self._addresses: dict[bytes, tuple[Address, Address]] = {}
        """By the destination MAC address and both IP addresses, as octets, of frames that were decoded in full."""
        self._headers = _KnownHeaders()
        length = _HEADERS_LENGTH[family]
        self._frame = struct.Struct(f"{_HEADER.format}{_PACKET_AT - _HEADER.size}x{length}s{_ADVERTISEMENT_LENGTH}s")
        self._frame_length = length + _ADVERTISEMENT_LENGTH
        self._next = 0
        self._read_at_ns = time.monotonic_ns()
        self._wall_is_ahead_ns = time.time_ns() - self._read_at_ns
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._socket.setsockopt(SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
            shape = struct.pack("IIII", _BLOCK_LENGTH, FRAMES * _FRAME_LENGTH // _BLOCK_LENGTH, _FRAME_LENGTH, FRAMES)
            set_slow_option(self._socket, SOL_PACKET, _PACKET_RX_RING, shape)
            # Until the two sockets form a group, the ring must stay empty: it would get copies.
            socket_filter.attach(self._socket, _NOTHING)
            bind(self._socket)
            self._join()
            self._ring = mmap.mmap(self._socket.fileno(), FRAMES * _FRAME_LENGTH)
        except OSError:
            self._socket.close()
            raise

    def _join(self) -> None:
        # The ordinary socket is the first of the group: the program returns 0 for packets that it does not know.
        kind = _FANOUT_CBPF | _FANOUT_ROLLOVER | _FANOUT_IGNORE_OUTGOING
        self._other.setsockopt(SOL_PACKET, _PACKET_FANOUT, _NUMBER.pack((kind | _FANOUT_UNIQUE) << 16))
        number = self._other.getsockopt(SOL_PACKET, _PACKET_FANOUT) & 0xFFFF
        set_program(self._other, SOL_PACKET, _PACKET_FANOUT_DATA, _AT_ONCE)
        self._socket.setsockopt(SOL_PACKET, _PACKET_FANOUT, _NUMBER.pack(number | kind << 16))

    def fileno(self) -> int:
        """Return the descriptor that can be read while packets wait in the ring."""
        return self._socket.fileno()

    def take(self, heads: Mapping[int, bytes]) -> None:
        """Put packets with these heads, by vhid, into the ring, and no others; raises OSError.

        The kernel takes 10 to 20 ms for it.
        """
        if heads and not self._takes_any:
            self._attach(self._socket)
        set_program(self._other, SOL_PACKET, _PACKET_FANOUT_DATA, calm_packets(self._family, heads))
        if not heads and self._takes_any:
            socket_filter.attach(self._socket, _NOTHING)
        self._takes_any = bool(heads)

    def is_waiting(self, more_than: int = 0) -> bool:
        """Return whether more than so many packets wait to be read."""
        if more_than >= FRAMES:
            return False
        status: int = _STATUS.unpack_from(self._ring, (self._next + more_than) % FRAMES * _FRAME_LENGTH)[0]
        return bool(status & _OURS)

    def read(self, limit: int, into: list[Datagram]) -> int:
        """Read at most ``limit`` packets, append the datagrams among them, and return how many packets were read."""
        mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        # If the wall clock was set meanwhile, a packet counts as older than it is: a takeover is not late
        # then, nor early, because what has arrived is read before.
        before_ns, self._wall_is_ahead_ns = self._wall_is_ahead_ns, wall_ns - mono_ns
        wall_ns = mono_ns + max(before_ns, self._wall_is_ahead_ns)
        longest_ns = mono_ns - self._read_at_ns
        # One frame after the other, in as few steps as possible: this is most of what a BACKUP does.
        ring, at, start, count = self._ring, self._next, self._next * _FRAME_LENGTH, 0
        unpack, release, known_of, made = self._frame.unpack_from, _STATUS.pack_into, self._headers.known.get, _datagram
        link, family, frame_length = self._link, self._family, self._frame_length
        while count < limit:
            status, length, kept, mac_at, _net_at, second, nanosecond, header, payload = unpack(ring, start)
            if not status & _OURS:
                # The ring is empty: every later packet arrives after this moment.
                self._read_at_ns = mono_ns
                break
            waited_ns = wall_ns - second * NS_PER_S - nanosecond
            # Never before the ring was last empty.
            if waited_ns > longest_ns:
                waited_ns = longest_ns
            elif waited_ns < 0:
                waited_ns = 0
            known = known_of(header) if length == frame_length and mac_at == _PACKET_AT else None
            if known is not None:
                into.append(made(Datagram, (link, family, *known, payload, waited_ns)))
            else:
                datagram = self._datagram(ring[start + mac_at : start + mac_at + kept], waited_ns)
                if datagram is not None:
                    into.append(datagram)
            release(ring, start, 0)
            at += 1
            start += _FRAME_LENGTH
            if at == FRAMES:
                at = start = 0
            count += 1
        self._next = at
        return count

    def close(self) -> None:
        """Close the ring."""
        self._ring.close()
        self._socket.close()

    def _datagram(self, frame: bytes, waited_ns: int) -> Datagram | None:
        """Return the datagram in a frame, None if it is broken.

        The addresses of most frames are known: they need the checks of the header only, and no object of their host.
        """
        if self._family is Family.IPV4 and len(frame) >= _BEFORE_PAYLOAD:
            first, length, fragment, ttl, protocol = _IPV4.unpack_from(frame, ethernet.HEADER_LENGTH)
            known = self._addresses.get(frame[:_MAC_LENGTH] + frame[_ADDRESSES])
            if (
                known is not None
                and first == _NO_OPTIONS
                and protocol == CARP_PROTOCOL
                and not fragment & _MORE_OR_OFFSET
                and ip.IPV4_HEADER_LENGTH <= length <= len(frame) - ethernet.HEADER_LENGTH
                and int.from_bytes(frame[_IP_HEADER], "big") % 0xFFFF == 0
            ):
                payload = frame[_BEFORE_PAYLOAD : ethernet.HEADER_LENGTH + length]
                found = Datagram(self._link, Family.IPV4, known[0], known[1], ttl, payload, waited_ns)
                self._learn(frame, found)
                return found
        datagram = envelope.datagram_of(frame, link=self._link)
        if datagram is None:
            return None
        self._learn(frame, datagram)
        if self._family is Family.IPV4:
            if len(self._addresses) >= _ADDRESSES_MOST:
                self._addresses.clear()
            self._addresses[frame[:_MAC_LENGTH] + frame[_ADDRESSES]] = datagram.source, datagram.destination
        return datagram._replace(waited_ns=waited_ns)

    def _learn(self, frame: bytes, datagram: Datagram) -> None:
        """Remember the headers of a frame if they are the same in every advertisement of its sender."""
        if len(frame) == self._frame_length and len(datagram.payload) == _ADVERTISEMENT_LENGTH:
            self._headers.learn(frame[:-_ADVERTISEMENT_LENGTH], datagram)


class _KnownHeaders:
    """The Ethernet and IP headers that came twice: what they say need not be read again.

    Those of most senders never change; where each packet has another identification, none comes twice.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[Address, Address, int]] = {}
        self._once: set[bytes] = set()

    def learn(self, octets: bytes, datagram: Datagram) -> None:
        """Remember headers that came before; the datagram has what they say."""
        if octets not in self._once:
            if len(self._once) >= _HEADERS_MOST:
                self._once.clear()
            self._once.add(octets)
            return
        self._once.discard(octets)
        if len(self.known) >= _HEADERS_MOST:
            self.known.clear()
        self.known[octets] = datagram.source, datagram.destination, datagram.ttl


def calm_packets(family: Family, heads: Mapping[int, bytes]) -> Program:
    """Return the program that chooses 1 for advertisements with these heads and 0 for all others.

    The packets begin with the IP header. A load beyond the end of a packet makes the program return 0. The vhids of
    hosts with equal claims are in one bitmap, which keeps the program short and quick.
    """
    kinds: dict[int, list[int]] = {}
    for vhid, head in heads.items():
        kinds.setdefault(int.from_bytes(head[2:6], "big"), []).append(vhid)
    first = {head[0] for head in heads.values()}
    if len(first) != 1:
        return _AT_ONCE
    begins_at = (_LOAD_HEADER_LENGTH, 0, 0, 0) if family is Family.IPV4 else (_LOAD_INDEX, 0, 0, _IPV6_HEADER_LENGTH)
    program = [
        (_LOAD_OCTET, 0, 0, _PROTOCOL_AT[family]),
        (_JUMP_EQUAL, 1, 0, CARP_PROTOCOL),
        _AT_ONCE[0],
        begins_at,
        (_LOAD_OCTET_BEHIND, 0, 0, 0),
        (_JUMP_EQUAL, 1, 0, first.pop()),
        _AT_ONCE[0],
    ]
    for claim in sorted(kinds, key=lambda each: len(kinds[each]), reverse=True)[:_KINDS_MOST]:
        of_claim = _one_of(kinds[claim])
        program += [(_LOAD_WORD_BEHIND, 0, 0, 2), (_JUMP_EQUAL, 0, len(of_claim), claim), *of_claim]
    return (*program, _AT_ONCE[0])


def _one_of(vhids: list[int]) -> list[tuple[int, int, int, int]]:
    """Return the instructions that return 1 if the vhid is one of these, else 0."""
    words: dict[int, int] = {}
    for vhid in vhids:
        words[vhid // 32] = words.get(vhid // 32, 0) | 1 << vhid % 32
    program = [
        (_LOAD_OCTET_BEHIND, 0, 0, 1),
        (_STORE, 0, 0, 0),
        (_AND, 0, 0, 31),
        (_TO_INDEX, 0, 0, 0),
        (_LOAD_MEMORY, 0, 0, 0),
        (_SHIFT_RIGHT, 0, 0, 5),
    ]
    for number, word in sorted(words.items()):
        load = (_LOAD_NUMBER, 0, 0, word)
        program += [(_JUMP_EQUAL, 0, 1 + len(_BIT_OF_INDEX), number), load, *_BIT_OF_INDEX]
    return [*program, (_RETURN, 0, 0, 0)]
