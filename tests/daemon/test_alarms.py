"""Named alarms of real hosts in virtual time: when one is on, and when it is not."""

import asyncio
import contextlib

import pytest
from msgspec.structs import replace

from pycarp import State, UsageError
from pycarp.core.events import AddressesChangedByOthers, AdvertisementRejected, LoopStalled, Mismatch, PeerMismatch
from pycarp.core.statistics import DropReason, Statistic
from pycarp.daemon.alarms import Alarms
from pycarp.daemon.control_messages import Alarm
from pycarp.testing import Cluster
from pycarp.testing.member import Member
from pycarp.vocabulary import NS_PER_S, Family
from tests.support.hosts import PEER
from tests.support.virtual import in_virtual_time, now_s


class Watched:
    """The alarms of one member of a cluster, as its daemon keeps them."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.alarms = Alarms(now_s)
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        host = self.member.host
        async with host.events() as events:
            async for event in events:
                with contextlib.suppress(UsageError):
                    self.alarms.take(event, host.snapshot())

    def names(self, *missing: str) -> list[str]:
        return [each.name for each in self.alarms.of(self.member.host.snapshot(), missing)]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@in_virtual_time
async def test_hosts_that_are_well_have_no_alarm() -> None:
    async with Cluster(2) as cluster:
        watched = [Watched(member) for member in cluster]
        await cluster.settle()
        await asyncio.sleep(60)

        assert [each.names() for each in watched] == [[], []]
        for each in watched:
            await each.end()


@in_virtual_time
async def test_a_peer_that_does_not_hear_this_host_is_a_second_master_and_then_unheard() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        watched = Watched(cluster.a)
        cluster.cut("a", "b", one_way=True)
        await asyncio.sleep(5)
        assert watched.names() == ["two-masters"]

        await asyncio.sleep(5)
        assert watched.names() == ["unheard"]

        cluster.heal()
        await asyncio.sleep(10)
        assert watched.names() == []
        await watched.end()


@in_virtual_time
async def test_a_master_without_its_addresses_says_so() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched = Watched(cluster.a)

        (only,) = watched.alarms.of(cluster.a.host.snapshot(), ("192.0.2.10/24",))

        assert (only.name, only.text) == ("without-addresses", "without 192.0.2.10/24")
        await watched.end()


@in_virtual_time
async def test_a_master_that_a_hook_keeps_from_its_addresses_says_so_after_a_second() -> None:
    async with Cluster(1) as cluster:
        host = cluster.a.host
        watched = Watched(cluster.a)
        host.before_hold(lambda _change: asyncio.sleep(5))
        await host.wait_for(State.MASTER)
        await asyncio.sleep(0.9)
        assert watched.names() == []

        await asyncio.sleep(0.2)
        assert watched.names() == ["without-addresses"]

        await asyncio.sleep(5)
        assert watched.names() == []
        await watched.end()


@in_virtual_time
async def test_what_is_published_now_and_then_stays_on_between() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched, host = Watched(cluster.a), cluster.a.host.snapshot()
        rejected = AdvertisementRejected(
            key=host.key,
            at_ns=0,
            source=PEER,
            count=3,
            reason=DropReason.NOT_AUTHENTIC,
            finding="another password",
        )
        watched.alarms.take(rejected, host)
        watched.alarms.take(PeerMismatch(key=host.key, at_ns=0, source=PEER, mismatch=Mismatch.SAME_VRID), host)
        await asyncio.sleep(61)
        assert watched.names() == ["not-authentic", "same-vrid"]

        await asyncio.sleep(60)
        assert watched.names() == ["same-vrid"]
        await watched.end()


@in_virtual_time
async def test_commands_name_a_renamed_interface_as_it_is_called_now() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched, host = Watched(cluster.a), cluster.a.host.snapshot()
        watched.alarms = Alarms(now_s, present_name={host.config.interface: "wan0"}.__getitem__)
        lost = AddressesChangedByOthers(key=host.key, at_ns=0, count=1, what="192.0.2.10/24 was removed")
        watched.alarms.take(lost, host)
        watched.alarms.take(PeerMismatch(key=host.key, at_ns=0, source=PEER, mismatch=Mismatch.SAME_VRID), host)
        deaf = replace(host, cannot_send=frozenset({Family.IPV4}))

        commands = [each.command for each in watched.alarms.of(deaf)]

        assert len(commands) == 3
        assert all("wan0" in each for each in commands)
        await watched.end()


@pytest.mark.parametrize(("late_ms", "names"), [(200, []), (400, ["stalled"])])
@in_virtual_time
async def test_a_stall_of_a_tenth_of_the_master_down_time_is_an_alarm(late_ms: int, names: list[str]) -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched, host = Watched(cluster.a), cluster.a.host.snapshot()

        watched.alarms.take(LoopStalled(key=host.key, at_ns=0, late_ns=late_ms * NS_PER_S // 1000), host)

        assert watched.names() == names
        watched.alarms.forget(host.key)
        assert watched.names() == []
        await watched.end()


@in_virtual_time
async def test_a_family_that_does_not_arrive_is_an_alarm_and_no_other_is() -> None:
    addresses = ("192.0.2.10/24", "2001:db8::10/64")
    async with Cluster(2, addresses=addresses) as cluster:
        await cluster.settle()
        watched = [Watched(member) for member in cluster]
        await asyncio.sleep(20)
        assert [each.names() for each in watched] == [[], []]

        backup = watched[1]
        host = backup.member.host.snapshot()
        deaf = replace(host, peers=tuple(each for each in host.peers if each.family is Family.IPV4))
        assert [each.name for each in backup.alarms.of(deaf)] == ["one-family"]
        assert "nobody over IPv6" in backup.alarms.of(deaf)[0].text
        for each in watched:
            await each.end()


@in_virtual_time
async def test_a_host_that_cannot_send_says_so() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched = Watched(cluster.a)

        (only,) = watched.alarms.of(replace(cluster.a.host.snapshot(), cannot_send=frozenset({Family.IPV4})))

        assert (only.name, "over IPv4" in only.text) == ("cannot-send", True)
        await watched.end()


@in_virtual_time
async def test_who_answers_is_an_alarm_that_a_loop_explains_and_that_a_backup_has_not() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched, host = Watched(cluster.a), cluster.a.host.snapshot()
        watched.alarms.answered(host.key, [Alarm(name="unheard-master", text="x", command="y")])
        assert watched.names() == ["unheard-master"]
        assert watched.alarms.of(replace(host, state=State.BACKUP)) == []

        watched.alarms.take(PeerMismatch(key=host.key, at_ns=0, source=PEER, mismatch=Mismatch.OWN_ADDRESS), host)
        assert watched.names() == ["own-address"]
        await watched.end()


@in_virtual_time
async def test_a_master_that_is_not_heard_because_its_packets_are_dropped_is_said_so() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched, host = Watched(cluster.a), cluster.a.host.snapshot()
        watched.alarms.answered(host.key, [Alarm(name="unheard-master", text="not heard", command="y")])
        watched.alarms.dropped({Statistic.BAD_AUTHENTICATION: 3})
        (before,) = watched.alarms.of(host)
        watched.alarms.dropped({Statistic.BAD_TTL: 3, Statistic.BAD_CHECKSUM: 1})
        (during,) = watched.alarms.of(host)
        await asyncio.sleep(60)
        (after,) = watched.alarms.of(host)

        why = "not heard, because it drops what arrives: TTL or hop limit is not 255 and wrong checksum"
        assert (before.text, during.text, after.text) == ("not heard", why, "not heard")
        assert during.command.startswith(f"pycarp scan {host.config.interface}")
        await watched.end()


@pytest.mark.parametrize("mismatch", Mismatch)
@in_virtual_time
async def test_each_conflict_of_configurations_has_a_command(mismatch: Mismatch) -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched, host = Watched(cluster.a), cluster.a.host.snapshot()
        watched.alarms.take(PeerMismatch(key=host.key, at_ns=0, source=PEER, mismatch=mismatch), host)

        (only,) = watched.alarms.of(host)

        assert only.command.startswith("pycarp ")
        await watched.end()


@in_virtual_time
async def test_what_the_guardian_drops_is_not_contested() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        watched, host = Watched(cluster.a), cluster.a.host.snapshot()
        removed = AddressesChangedByOthers(key=host.key, at_ns=0, what="192.0.2.10/24 was removed", count=1)
        watched.alarms.take(removed, replace(host, cannot_send=frozenset({Family.IPV4})))
        assert watched.names() == []

        watched.alarms.take(removed, host)
        assert watched.names() == ["contested"]
        await watched.end()
