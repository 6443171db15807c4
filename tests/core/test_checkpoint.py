"""Checkpoints: an engine that is restored from one goes on as the one that made it."""

from dataclasses import fields
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs
from msgspec.structs import replace

from pycarp.core import DropAddresses, Engine, engine
from pycarp.core.checkpoint import Checkpoint
from pycarp.core.host.context import Context, HostCheckpoint
from pycarp.core.host_table import HostEntry, HostEntryCheckpoint
from pycarp.core.inputs import AdminChanged, DatagramReceived, HostAdded, HostReconfigured, TimePassed, TransmitReported
from pycarp.dialects import Dialect
from pycarp.vocabulary import HostKey
from tests.support.histories import Life, WorldRecord, dialects, entropy, lives, slots_ns
from tests.support.hosts import KEY, LINK, Bench, advert, config, master, seconds


@settings(max_examples=150, deadline=None)
@given(dialect=dialects, history=lives(), at=st.integers(0, 60), slot_ns=slots_ns)
def test_a_restored_engine_goes_on_as_the_one_that_made_the_checkpoint(
    dialect: Dialect, history: list[tuple[int | None, WorldRecord]], at: int, slot_ns: int
) -> None:
    numbers = Random(1)
    life = Life(Engine(entropy=lambda: numbers.getrandbits(64), slot_ns=slot_ns), dialect)
    life.begin()
    for wait_ns, record in history[:at]:
        life.live(wait_ns, record)
    twins_numbers = Random()
    twins_numbers.setstate(numbers.getstate())
    twin = Engine.from_checkpoint(life.engine.checkpoint(), entropy=lambda: twins_numbers.getrandbits(64))
    assert twin.snapshot() == life.engine.snapshot()

    for wait_ns, record in history[at:]:
        told = life.live(wait_ns, record)
        if told is not None:
            assert twin.handle(*told) == life.step
            assert twin.snapshot() == life.engine.snapshot()
            assert twin.checkpoint() == life.engine.checkpoint()


@settings(max_examples=150, deadline=None)
@given(dialect=dialects, history=lives(), at=st.integers(0, 60), slot_ns=slots_ns)
def test_what_is_captured_by_and_by_is_the_state_of_the_beginning(
    dialect: Dialect, history: list[tuple[int | None, WorldRecord]], at: int, slot_ns: int
) -> None:
    life = Life(Engine(entropy=entropy(1), slot_ns=slot_ns), dialect)
    life.begin()
    for wait_ns, record in history[:at]:
        life.live(wait_ns, record)
    then = life.engine.checkpoint()
    begun = life.engine.begin_checkpoint()

    # Each host is captured when it changes, none just because a step has time for it.
    with patch.object(engine, "_CAPTURED_A_STEP", 0):
        for wait_ns, record in history[at:]:
            life.live(wait_ns, record)

    assert begun.complete() == then


@settings(max_examples=150, deadline=None)
@given(dialect=dialects, history=lives(), slot_ns=slots_ns)
def test_what_a_host_changed_since_it_was_copied_makes_the_same_checkpoint_as_a_whole_copy(
    dialect: Dialect, history: list[tuple[int | None, WorldRecord]], slot_ns: int
) -> None:
    life = Life(Engine(entropy=entropy(1), slot_ns=slot_ns), dialect)
    life.begin()
    for wait_ns, record in history:
        life.live(wait_ns, record)
        since_the_copy = life.engine.checkpoint()
        for entry in life.engine._hosts.peek_all():
            entry.copied = None
        assert since_the_copy == life.engine.checkpoint()


def test_only_what_changes_is_copied_of_a_master_that_repeats_itself() -> None:
    host = master()
    for _until_it_is_announced_again in range(3):
        host.pass_time(to_ns=due(host))
    host.engine.checkpoint()
    before = host.engine._hosts.peek_all()[0].copied

    host.pass_time(to_ns=due(host))
    host.engine.checkpoint()

    assert before is not None
    assert host.engine._hosts.peek_all()[0].copied is before


def test_a_step_captures_the_hosts_that_it_changes_and_a_few_more(monkeypatch: pytest.MonkeyPatch) -> None:
    captured: list[HostKey] = []
    monkeypatch.setattr(HostEntry, "checkpoint", lambda entry: captured.append(entry.key))
    made = Engine(entropy=entropy(1))
    for vhid in range(1, 101):
        made.handle(HostAdded(config(vhid=vhid)), vhid)

    begun = made.begin_checkpoint()
    assert captured == []
    counts = []
    for vhid in (100, 99, 100):
        made.handle(AdminChanged(HostKey(LINK, vhid), is_up=False), seconds(1))
        counts.append(len(captured))
    begun.complete()

    assert counts == [9, 18, 26]
    assert len(set(captured)) == len(captured) == 100


def due(host: Bench) -> int:
    assert host.engine.deadline_ns is not None
    return host.engine.deadline_ns


def restored(checkpoint: Checkpoint) -> Engine:
    return Engine.from_checkpoint(checkpoint, entropy=lambda: 0x0123_4567_89AB_CDEF)


def test_a_checkpoint_does_not_change_with_its_engine() -> None:
    host = master()
    before, same = host.engine.checkpoint(), host.engine.checkpoint()

    host.hear(advert(passphrase="another"), at_ns=seconds(3.5))
    host.pass_time(to_ns=seconds(4))

    assert before == same
    assert before != host.engine.checkpoint()


def test_a_checkpoint_does_not_change_with_an_engine_that_was_made_from_it() -> None:
    checkpoint = master().engine.checkpoint()
    same = replace(checkpoint)

    made = restored(checkpoint)
    made.handle(DatagramReceived(advert(passphrase="another")), seconds(3.5))
    made.handle(TimePassed(), seconds(4))

    assert checkpoint == same == master().engine.checkpoint()


def test_a_rolling_change_goes_on() -> None:
    host = master()
    host.feed(HostReconfigured(config(passphrase="new"), seconds(10)), at_ns=seconds(4))

    made = restored(host.engine.checkpoint())

    assert made.handle(TimePassed(), seconds(5)) == host.engine.handle(TimePassed(), seconds(5))
    for passphrase in ("testpass", "new"):
        made.handle(DatagramReceived(advert(passphrase=passphrase, advskew=9)), seconds(6))
    assert made.snapshot().hosts[0].rejected == 0


def test_addresses_that_are_shared_no_longer_are_remembered_until_they_are_dropped() -> None:
    host = master(config(addresses=["192.168.1.50/24", "192.168.1.51/24"]))
    host.feed(HostReconfigured(config()), at_ns=seconds(4))

    made = restored(host.engine.checkpoint())

    down = AdminChanged(KEY, is_up=False)
    dropped = next(each for each in made.handle(down, seconds(5)).effects if isinstance(each, DropAddresses))
    assert [str(each) for each in dropped.addresses] == ["192.168.1.50/24", "192.168.1.51/24"]


def test_send_errors_go_on_being_counted() -> None:
    host = master()
    for _ in range(2):
        host.feed(TransmitReported(KEY, "no buffers"), at_ns=seconds(3.5))

    made = restored(host.engine.checkpoint())
    made.handle(TransmitReported(KEY, "no buffers"), seconds(3.6))

    assert made.snapshot().demotion == 240


def names(kind: Any) -> set[str]:
    return {each.name for each in (structs.fields(kind) if issubclass(kind, Struct) else fields(kind))}


def test_nothing_that_is_known_of_a_host_is_left_out() -> None:
    assert names(HostEntryCheckpoint) == names(HostEntry) - {"ctx", "calm", "trusted_at_ns", "copied"} | {"host"}


def test_nothing_that_a_host_knows_is_left_out() -> None:
    follows = {
        "phase",
        "renewal",
        "routine",
        "_slot_ns",
        "claim",
        "key",
        "lease",
        "now_ns",
        "out",
        "interval_ns",
        "slot_ns",
        "codec",
    }

    assert set(Context.__slots__) - follows == names(HostCheckpoint)


def test_nothing_that_an_engine_knows_is_left_out() -> None:
    known = {name.removeprefix("_") for name in vars(Engine(entropy=lambda: 0))}

    follows = {"entropy", "diagnose_peer", "ledger", "link_ips", "sources", "settled", "calm"}
    assert known - follows | {"demotion", "last_causes"} == names(Checkpoint)


def test_no_passphrase_shows_in_its_text() -> None:
    assert "testpass" not in repr(master().engine.checkpoint())
