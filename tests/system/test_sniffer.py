"""The sniffer: the frames that it sees, and each way in which it is refused or ends."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

import pytest

from pycarp.errors import TransportError
from pycarp.inspection.captured import LinkType
from pycarp.system.sniffer import ARPHRD_ETHERNET, ARPHRD_LOOPBACK, Sniffer, _tagged
from tests.support.carp_packets import frame, ip_packet, payload
from tests.support.descriptors import descriptors_left, open_descriptors
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

WANTED = frame(ip_packet(payload(1)))
UDP = frame(ip_packet(bytes(36), protocol=17))
_AUTHENTICATION_HEADER = 51


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as both:
        yield both


@contextlib.contextmanager
def listening(namespace: Namespace, link: str = LINK) -> Iterator[Sniffer]:
    """Listen, inside all the while: what became of the link is asked for by its name."""
    with entered(namespace), Sniffer(link) as sniffer:
        yield sniffer


def send(namespace: Namespace, *frames: bytes, link: str = LINK) -> None:
    with entered(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        for each in frames:
            sock.sendto(each, (link, 0))


def first(sniffer: Sniffer, count: int = 1) -> list[bytes]:
    return [each.octets for each in islice(sniffer.frames(), count)]


def tagged(octets: bytes, kind: int, number: int) -> bytes:
    return octets[:12] + struct.pack("!HH", kind, number) + octets[12:]


@pytest.mark.parametrize("source", ["192.168.1.10", "fe80::10"])
def test_advertisements_of_both_families_are_seen_and_other_packets_are_not(
    pair: tuple[Namespace, Namespace], source: str
) -> None:
    ours, theirs = pair
    wanted = frame(ip_packet(payload(1), source=ip_address(source)))
    with listening(ours) as sniffer:
        send(theirs, UDP, wanted)

        assert first(sniffer) == [wanted]


def test_vrrp_behind_an_authentication_header_is_seen(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    hidden = frame(ip_packet(bytes(60), protocol=_AUTHENTICATION_HEADER))
    with listening(ours) as sniffer:
        send(theirs, hidden)

        assert first(sniffer) == [hidden]


def test_the_own_advertisements_are_seen(pair: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = pair
    with listening(ours) as sniffer:
        send(ours, WANTED)

        assert first(sniffer) == [WANTED]


def test_the_time_of_a_frame_is_that_of_its_reading(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    with listening(ours) as sniffer:
        time.sleep(0.1)  # the kernel begins to note the times a little after it was asked to
        before_ns = time.time_ns()
        send(theirs, WANTED)
        (seen,) = islice(sniffer.frames(), 1)

    assert before_ns <= seen.at_ns <= time.time_ns()


@pytest.mark.parametrize("kind", [0x8100, 0x88A8])
def test_the_tag_that_the_kernel_takes_off_is_back(pair: tuple[Namespace, Namespace], kind: int) -> None:
    ours, theirs = pair
    wanted = tagged(WANTED, kind, 7)
    with listening(ours) as sniffer:
        send(theirs, wanted)

        assert first(sniffer) == [wanted]


def test_the_loopback_shows_each_packet_once(pair: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = pair
    second = frame(ip_packet(payload(2)))
    with listening(ours, "lo") as sniffer:
        send(ours, WANTED, second, link="lo")

        assert first(sniffer, 2) == [WANTED, second]
        assert sniffer.device_type == ARPHRD_LOOPBACK


def test_the_type_of_the_device_is_told(pair: tuple[Namespace, Namespace]) -> None:
    with listening(pair[0]) as sniffer:
        assert sniffer.device_type == ARPHRD_ETHERNET
        assert sniffer.link_type == LinkType.ETHERNET


def test_frames_of_a_tunnel_are_packets_without_a_header(pair: tuple[Namespace, Namespace]) -> None:
    pair[0].ip("tuntap", "add", "t0", "mode", "tun")
    pair[0].ip("link", "set", "t0", "up")

    with listening(pair[0], "t0") as sniffer:
        assert sniffer.link_type == LinkType.RAW


# Refusals


def test_a_link_that_does_not_exist_is_named() -> None:
    require()
    with pytest.raises(TransportError, match=r"^cannot listen on nosuchlink0: no interface with this name$"):
        Sniffer("nosuchlink0")


def test_without_permission_it_says_what_to_do(pair: tuple[Namespace, Namespace]) -> None:
    with entered(pair[0]), unprivileged(), pytest.raises(TransportError) as caught:
        Sniffer(LINK)

    assert str(caught.value) == (f"cannot listen on {LINK}: no permission: run as root or give the process CAP_NET_RAW")


def test_without_descriptors_and_memory_it_says_so_and_nothing_stays_open(pair: tuple[Namespace, Namespace]) -> None:
    with entered(pair[0]):
        before = open_descriptors()
        with descriptors_left(0), pytest.raises(TransportError, match=f"cannot listen on {LINK}: "):
            Sniffer(LINK)
        memory = Path("/proc/sys/net/core/optmem_max")
        if memory.exists():
            memory.write_text("1")
            with pytest.raises(TransportError, match=f"cannot listen on {LINK}: Cannot allocate memory"):
                Sniffer(LINK)

        assert open_descriptors() == before


# The end


def test_an_interface_that_was_down_for_a_while_is_listened_to_again(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    with listening(ours) as sniffer:
        ours.ip("link", "set", LINK, "down")
        back = threading.Timer(0.1, ours.ip, ("link", "set", LINK, "up"))
        sent = threading.Timer(0.6, send, (theirs, WANTED))
        for each in (back, sent):
            each.start()

        assert first(sniffer) == [WANTED]
        for each in (back, sent):
            each.join()


def test_an_interface_that_is_deleted_ends_it_with_its_name(pair: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = pair
    with listening(ours) as sniffer:
        ours.ip("link", "del", LINK)
        said = f"^cannot listen on {LINK} any more: the interface is gone$"
        with pytest.raises(TransportError, match=said):
            first(sniffer)


def test_a_tag_of_an_old_kernel_that_tells_no_type_is_that_of_a_vlan() -> None:
    auxiliary = struct.pack("=IIIHHHH", 0x10, 0, 0, 0, 0, 7, 0)

    assert _tagged(WANTED, [(263, 8, auxiliary)]) == tagged(WANTED, 0x8100, 7)


def test_listening_ends_when_its_time_is_over_also_in_a_flood(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    ends = threading.Event()

    def flood() -> None:
        while not ends.is_set():
            send(theirs, *[WANTED] * 100)

    with listening(ours) as sniffer:
        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            begun_s = time.monotonic()
            seen = sum(1 for _frame in sniffer.frames(for_s=0.3))
            took_s = time.monotonic() - begun_s
        finally:
            ends.set()
            flooding.join()

    assert seen > 0
    assert 0.3 <= took_s < 3


def test_listening_to_silence_ends_when_its_time_is_over(pair: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = pair
    with listening(ours) as sniffer:
        assert list(sniffer.frames(for_s=0.05)) == []


def test_the_time_of_a_frame_is_that_of_its_arrival(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    with listening(ours) as sniffer:
        time.sleep(0.1)  # the kernel begins to note the times a little after it was asked to
        before_ns = time.time_ns()
        send(theirs, WANTED)
        after_ns = time.time_ns()
        time.sleep(0.2)

        assert before_ns <= next(sniffer.frames()).at_ns <= after_ns + 50_000_000


def test_frames_that_nobody_reads_are_counted(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    with listening(ours) as sniffer:
        send(theirs, *[WANTED] * 5000)

        assert 0 < sniffer.lost() < 5000
        assert sniffer.lost() == 0
