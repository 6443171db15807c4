"""Whatever happens to an engine happens again when its recording is replayed, and nothing secret is in it."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.core import Engine, Publish
from pycarp.core.events import AdvertisementRejected
from pycarp.core.inputs import DatagramReceived, HostAdded, HostReconfigured, HostRemoved, Input, TimePassed
from pycarp.dialects import OPENBSD, Dialect
from pycarp.recording import Entry, Replay
from pycarp.wire import advertisement as wire
from pycarp.wire.checksum import internet_checksum
from tests.support.histories import PASSPHRASES, Life, WorldRecord, dialects, entropy, lives, slots_ns
from tests.support.hosts import KEY, advert, config, datagram, published, seconds
from tests.support.recordings import a_takeover, differences, lines_of, noting, played, recorded, written
from tests.support.vrrp_packets import AUTHENTICATION_HEADER, IPSEC, PASSWORD, TRAILER, Version3, version_2

WRONG_SUM = b"\x12\x34"


def payloads(entries: list[Entry]) -> list[bytes]:
    """Return every advertisement that went in or out."""
    found: list[bytes] = []
    for entry in entries:
        if isinstance(entry.event, DatagramReceived):
            found.append(entry.event.datagram.payload)
        for effect in entry.step.effects if entry.step else ():
            outgoings = (
                getattr(effect, "outgoing", None),
                *getattr(getattr(effect, "lease_timings", None), "bow_out", ()),
            )
            found += [each.payload for each in outgoings if each]
    return found


def assert_no_secret(lines: list[bytes], entries: list[Entry]) -> None:
    text = b"".join(lines)
    for secret in PASSPHRASES:
        assert secret.encode() not in text
        assert secret.encode().hex().encode() not in text
    for payload in payloads(entries):
        if len(payload) >= wire.LENGTH:
            assert wire.decode(payload).digest.hex().encode() not in text


@settings(max_examples=150, deadline=None)
@given(dialect=dialects, history=lives(), at=st.integers(0, 60), slot_ns=slots_ns)
def test_a_replay_does_the_same_and_nothing_secret_is_written(
    dialect: Dialect, history: list[tuple[int | None, WorldRecord]], at: int, slot_ns: int
) -> None:
    numbers: list[int] = []
    life = Life(Engine(entropy=noting(entropy(1), numbers), slot_ns=slot_ns), dialect)
    life.begin()
    entries: list[Entry] = []
    checkpoint = life.engine.checkpoint()
    for number, (wait_ns, record) in enumerate(history):
        if number == at:
            checkpoint, entries = life.engine.checkpoint(), []
        numbers.clear()
        told = life.live(wait_ns, record)
        if told is not None:
            entries.append(Entry(told[1], told[0], tuple(numbers), life.step))
    if not entries:
        return

    lines = written(checkpoint, entries)

    assert differences(lines) == []
    assert_no_secret(lines, entries)


def findings(events: list[tuple[Input, float]]) -> list[str]:
    """Return the findings that are published at replay."""
    steps = Replay(played(lines_of(events))).steps()
    told = [event for step in steps for event in published(step.effects)]
    return [event.finding for event in told if isinstance(event, AdvertisementRejected)]


def real_findings(events: list[tuple[Input, float]]) -> list[str]:
    steps = [entry.step for entry in recorded(events).entries if entry.step]
    told = [effect.event for step in steps for effect in step.effects if isinstance(effect, Publish)]
    return [event.finding for event in told if isinstance(event, AdvertisementRejected)]


def heard(**told: object) -> list[tuple[Input, float]]:
    return [*a_takeover(), (DatagramReceived(advert(**told)), 8)]  # type: ignore[arg-type]


def test_what_was_found_out_about_another_password_is_found_out_again() -> None:
    for passphrase in ("testpas", "testpass\r", "testpass\n", "testpass "):
        events = heard(passphrase=passphrase)

        assert findings(events) == real_findings(events)
        assert "password" in findings(events)[0]
        assert differences(lines_of(events)) == []


def test_what_was_found_out_about_another_list_is_found_out_again() -> None:
    for addresses in (["192.168.1.50", "192.168.1.51"], ["192.168.1.51"], []):
        events = heard(addresses=addresses)

        assert findings(events) == real_findings(events)
        assert "same password" in findings(events)[0]


def test_a_stranger_stays_unexplained() -> None:
    assert findings(heard(passphrase="another-one")) == real_findings(heard(passphrase="another-one"))


def test_no_digest_of_a_stranger_is_written() -> None:
    events = heard(passphrase="another-one")

    assert_no_secret(lines_of(events), recorded(events).entries)


def test_no_checksum_of_a_real_digest_is_written() -> None:
    packet = advert(passphrase="another-one")
    broken = packet._replace(payload=wire.with_checksum(packet.payload, WRONG_SUM))
    text = b"".join(lines_of([*a_takeover(), (DatagramReceived(packet), 8), (DatagramReceived(broken), 8)])).decode()

    assert packet.payload[:8].hex() not in text
    assert broken.payload[:8].hex() not in text


def shown(lines: list[bytes]) -> list[bytes]:
    """Return the payloads that were received, as they are written."""
    events = [step.event for step in played(lines).steps()]
    return [event.datagram.payload for event in events if isinstance(event, DatagramReceived)]


def test_a_wrong_checksum_stays_wrong() -> None:
    broken = advert()._replace(payload=wire.with_checksum(advert().payload, WRONG_SUM))

    lines = lines_of([*a_takeover(), (DatagramReceived(broken), 8)])

    assert internet_checksum(shown(lines)[-1]) != 0
    assert differences(lines) == []


def test_the_layout_that_verified_stays_the_layout() -> None:
    shared = ("192.168.1.50/24", "fe80::50/64")
    events = [*a_takeover(dialect=OPENBSD, addresses=shared)[:3]]
    events += [(DatagramReceived(advert(addresses=shared, layout=layout)), 2) for layout in DigestLayout]
    lines = lines_of(events)

    added = next(step.event for step in played(lines).steps() if isinstance(step.event, HostAdded))
    for layout, payload in zip(DigestLayout, shown(lines), strict=True):
        signer = Signer(
            passphrase=added.config.passphrase,
            vhid=1,
            addresses=[each.ip for each in added.config.addresses],
            layouts=(layout,),
        )
        assert signer.verify(7, wire.decode(payload).digest)


def test_what_is_behind_an_advertisement_is_not_written() -> None:
    longer = datagram(advert().payload + b"attached")

    lines = lines_of([*a_takeover(), (DatagramReceived(longer), 8)])

    assert shown(lines)[-1][wire.LENGTH :] == bytes(8)
    assert differences(lines) == []


def test_the_plain_password_of_vrrp_is_not_written() -> None:
    vrrp = bytes([0x21, 1, 100, 1, 1, 1, 0, 0, 192, 168, 1, 50]) + b"vrrppass"

    lines = lines_of([*a_takeover(), (DatagramReceived(datagram(vrrp)), 8)])

    assert b"vrrppass".hex().encode() not in b"".join(lines)
    assert differences(lines) == []


@pytest.mark.parametrize("count", [1, 5, 7, 20])
def test_vrrp_of_any_length_is_replayed_as_what_it_was(count: int) -> None:
    source, vrid = IPv4Address("192.168.1.10"), 1
    two = version_2(count, PASSWORD, vrid=vrid)
    three = Version3(count=count).octets()
    packets = (two, two + TRAILER, AUTHENTICATION_HEADER + version_2(count, IPSEC, vrid=vrid), three, three + TRAILER)

    for packet in packets:
        lines = lines_of([*a_takeover(), (DatagramReceived(datagram(packet, source=source)), 8)])

        assert differences(lines) == []
        assert PASSWORD[1][:6].hex().encode() not in b"".join(lines)


def test_hosts_that_share_a_passphrase_have_keys_of_their_own() -> None:
    events: list[tuple[Input, float]] = [
        *a_takeover(),
        (HostAdded(config(vhid=2)), 8),
        (DatagramReceived(advert(vhid=2)), 8.1),
    ]
    lines = lines_of(events)

    added = [step.event.config.passphrase for step in played(lines).steps() if isinstance(step.event, HostAdded)]
    assert added[0] != added[1]
    assert differences(lines) == []


def test_a_rolling_change_of_the_passphrase_is_replayed() -> None:
    events: list[tuple[Input, float]] = [
        *a_takeover(),
        (HostReconfigured(config(passphrase="new-secret", advskew=100), seconds(5)), 8),
        (DatagramReceived(advert(passphrase="testpass", advskew=200)), 9),
        (DatagramReceived(advert(passphrase="new-secret", advskew=200)), 10),
        (HostReconfigured(config(passphrase="testpass", advskew=100), seconds(5)), 11),
        (DatagramReceived(advert(passphrase="new-secret", advskew=200)), 12),
        (TimePassed(), 13),
        (HostRemoved(KEY), 14),
    ]
    lines = lines_of(events)

    assert differences(lines) == []
    assert b"new-secret" not in b"".join(lines)


def test_ipv6_with_a_pseudo_header_in_its_checksum_is_replayed() -> None:
    shared = ("192.168.1.50/24", "fd00::50/64")
    events = a_takeover(addresses=shared)
    source = IPv6Address("fe80::5")
    for form in wire.ChecksumForm:
        events.append((DatagramReceived(advert(addresses=shared, source=source, checksum=form)), 8))

    assert differences(lines_of(events)) == []


def test_the_passphrase_is_not_of_the_same_length() -> None:
    for passphrase in ("", "x", "x" * 19):
        added = next(
            step.event
            for step in played(lines_of(a_takeover(passphrase=passphrase))).steps()
            if isinstance(step.event, HostAdded)
        )
        assert len(added.config.passphrase) == 18
        assert added.config.passphrase != Passphrase(passphrase)
