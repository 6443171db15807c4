"""The facts of real links, and how soon their changes are noticed."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import IPv4Interface, IPv6Interface

import pytest

from pycarp.errors import ConfigError
from pycarp.monitors.netlink_monitor import NetlinkMonitor
from pycarp.vocabulary import LinkFacts, MacAddress
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

NOTICED_S = 1.0
CARRIER_NOTICED_S = 2.0
"""The kernel notifies of a carrier up to a second late when it has just notified of another (net/core/link_watch.c)."""

ADD_SPARE = "link add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up\n"
DELETE_SPARE = "link del spare0\n"


@pytest.fixture
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


def only_ours(namespace: Namespace) -> None:
    """Remove the link-local address that the kernel makes of the MAC."""
    namespace.ip("-6", "addr", "flush", "dev", LINK, "scope", "link")


class Watch:
    """A running monitor, and the changes that it reported."""

    def __init__(self, monitor: NetlinkMonitor, facts: LinkFacts) -> None:
        self.monitor = monitor
        self.noticed = [facts]
        self._news = asyncio.Event()

    @property
    def now(self) -> LinkFacts:
        """The facts as last reported."""
        return self.noticed[-1]

    def notice(self, facts: LinkFacts) -> None:
        """Keep a change."""
        self.noticed.append(facts)
        self._news.set()

    async def until(self, is_so: Callable[[LinkFacts], bool], *, within_s: float = NOTICED_S) -> None:
        """Wait until the facts are so; TimeoutError if they are not in time."""
        async with asyncio.timeout(within_s):
            while not is_so(self.now):
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def watching(namespace: Namespace, link: str = LINK) -> AsyncIterator[Watch]:
    """Run a monitor; the whole loop stays inside, because the monitor opens a socket while it runs."""
    with entered(namespace):
        monitor = NetlinkMonitor()
        await monitor.open()
        watch = Watch(monitor, await monitor.watch(link))
        running = asyncio.create_task(monitor.run(watch.notice))
        await asyncio.sleep(0.2)
        try:
            yield watch
        finally:
            running.cancel()
            await asyncio.wait({running})
            await monitor.close()


async def test_a_link_is_told_with_its_mac_and_its_addresses(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    ours.ip("link", "set", LINK, "address", "02:00:00:00:00:07")
    ours.ip("addr", "add", "10.77.0.50/32", "dev", LINK)
    only_ours(ours)
    async with watching(ours) as watch:
        assert watch.now == LinkFacts(
            name=LINK,
            is_up=True,
            mac=MacAddress.parse("02:00:00:00:00:07"),
            addresses=(ours.own, IPv4Interface("10.77.0.50/32"), ours.own6),
            index=socket.if_nametoindex(LINK),
        )


async def test_a_link_local_address_is_preferred_among_those_of_ipv6(segment: tuple[Namespace, Namespace]) -> None:
    """Source: carp.md 1.3."""
    ours, _theirs = segment
    only_ours(ours)
    ours.ip("addr", "add", "fe80::7/64", "dev", LINK, "nodad")
    async with watching(ours) as watch:
        assert watch.now.addresses == (ours.own, IPv6Interface("fe80::7/64"), ours.own6)


async def test_an_ipv6_address_is_told_once_it_is_known_to_be_ours_alone(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, _theirs = segment
    only_ours(ours)
    async with watching(ours) as watch:
        ours.ip("addr", "add", "fd77::77/64", "dev", LINK)
        await watch.until(lambda facts: IPv6Interface("fd77::77/64") in facts.addresses, within_s=5)


async def test_a_link_that_does_not_say_whether_it_carries_is_not_certain(
    segment: tuple[Namespace, Namespace],
) -> None:
    """Source: carp.md 5.3: the dialects differ on what that means. The loopback never says."""
    ours, _theirs = segment
    async with watching(ours, "lo") as watch:
        assert (watch.now.is_up, watch.now.is_certain) == (True, False)


async def test_hundreds_of_addresses_that_come_at_once_are_noticed_in_few_readings(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, _theirs = segment
    async with watching(ours) as watch:
        ours.ip_batch("".join(f"addr add 10.77.1.{n}/32 dev {LINK}\n" for n in range(1, 251)))
        await watch.until(lambda facts: IPv4Interface("10.77.1.250/32") in facts.addresses)

    assert len(watch.noticed) < 100


async def test_an_unknown_link_is_a_config_error_that_names_the_known_ones(
    segment: tuple[Namespace, Namespace],
) -> None:
    async with watching(segment[0]) as watch:
        with pytest.raises(ConfigError, match=r"nosuchlink0 does not exist; there are: .*eth0"):
            await watch.monitor.watch("nosuchlink0")


async def test_the_loss_of_the_carrier_is_noticed_and_its_return(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    async with watching(ours) as watch:
        theirs.ip("link", "set", LINK, "down")
        await watch.until(lambda facts: not facts.is_up, within_s=CARRIER_NOTICED_S)
        theirs.ip("link", "set", LINK, "up")
        await watch.until(lambda facts: facts.is_up, within_s=CARRIER_NOTICED_S)


async def test_a_link_that_is_set_down_is_noticed(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    async with watching(ours) as watch:
        ours.ip("link", "set", LINK, "down")
        await watch.until(lambda facts: not facts.is_up)


async def test_an_address_that_comes_and_goes_is_noticed(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    other = IPv4Interface("10.77.0.99/24")
    async with watching(ours) as watch:
        ours.ip("addr", "add", str(other), "dev", LINK)
        await watch.until(lambda facts: other in facts.addresses)
        ours.ip("addr", "del", str(other), "dev", LINK)
        await watch.until(lambda facts: other not in facts.addresses)

        assert [each for each in watch.now.addresses if each.version == 4] == [ours.own]


async def test_a_changed_mac_is_noticed(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    async with watching(ours) as watch:
        ours.ip("link", "set", LINK, "address", "02:00:00:00:00:08")
        await watch.until(lambda facts: facts.mac == MacAddress.parse("02:00:00:00:00:08"))


async def test_a_link_that_is_deleted_is_down_and_up_again_when_it_is_back(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, _theirs = segment
    ours.ip_batch(ADD_SPARE)
    async with watching(ours, "spare0") as watch:
        ours.ip_batch(DELETE_SPARE)
        await watch.until(lambda facts: not facts.is_up)
        ours.ip_batch(ADD_SPARE)
        await watch.until(lambda facts: facts.is_up, within_s=CARRIER_NOTICED_S)


async def test_links_that_are_not_watched_are_not_told_of(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    async with watching(ours) as watch:
        ours.ip_batch(ADD_SPARE + DELETE_SPARE)
        await asyncio.sleep(0.3)

        assert len(watch.noticed) == 1


async def test_a_storm_of_changes_ends_in_the_truth(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    commands = (f"addr add 10.77.1.{host}/24 dev {LINK}\n{ADD_SPARE}{DELETE_SPARE}" for host in range(1, 101))
    batch = "".join(commands) + f"link set {LINK} down\n"
    async with watching(ours) as watch:
        await asyncio.to_thread(ours.ip_batch, batch)
        await watch.until(lambda facts: not facts.is_up and len(facts.addresses) == 101)


async def test_a_watched_link_that_flickers_does_not_end_the_monitor(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    ours.ip_batch(ADD_SPARE)
    flicker = f"{DELETE_SPARE}{ADD_SPARE}addr add 10.9.9.9/24 dev spare0\n"
    async with watching(ours, "spare0") as watch:
        await asyncio.to_thread(ours.ip_batch, flicker * 100)
        await watch.until(
            lambda facts: facts.is_up and facts.addresses == (IPv4Interface("10.9.9.9/24"),),
            within_s=CARRIER_NOTICED_S,
        )


async def test_a_monitor_that_gets_no_socket_waits_for_one_and_lets_the_loop_run(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, _theirs = segment
    with entered(ours):
        monitor = NetlinkMonitor()
        await monitor.open()
        watch = Watch(monitor, await monitor.watch(LINK))
        with no_more_files():
            running = asyncio.create_task(monitor.run(watch.notice))
            began_s = time.process_time()
            await asyncio.sleep(0.5)
            took_s = time.process_time() - began_s
        await asyncio.sleep(0.15)
        ours.ip("link", "set", LINK, "down")
        try:
            await watch.until(lambda facts: not facts.is_up, within_s=0.2)
        finally:
            running.cancel()
            await asyncio.wait({running})
            await monitor.close()

        assert took_s < 0.05


async def test_changes_that_follow_each_other_are_told_soon_and_then_it_is_idle(
    segment: tuple[Namespace, Namespace],
) -> None:
    """The first is reported at once, the others after a pause; a busy machine takes some milliseconds."""
    ours, _theirs = segment
    loop = asyncio.get_running_loop()
    async with watching(ours) as watch:
        waits_s = []
        for number in range(8, 12):
            mac = f"02:00:00:00:00:{number:02}"
            await asyncio.to_thread(ours.ip, "link", "set", LINK, "address", mac)
            began_s = loop.time()
            await watch.until(lambda facts, mac=mac: facts.mac == MacAddress.parse(mac))  # type: ignore[misc]
            waits_s.append(loop.time() - began_s)
        began_s = time.process_time()
        await asyncio.sleep(0.5)
        idle_s = time.process_time() - began_s

    assert waits_s[0] < 0.025
    assert sorted(waits_s)[1] < 0.075
    assert idle_s < 0.05


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Make the kernel refuse every new file descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_links_that_swap_their_names_are_followed_by_their_index(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    ours.ip_batch(ADD_SPARE)
    async with watching(ours) as watch:
        index = watch.now.index
        ours.ip_batch(f"link set {LINK} name third\nlink set spare0 name {LINK}\nlink set third name spare0\n")
        await watch.until(lambda facts: facts.present_name == "spare0")

        assert (watch.now.name, watch.now.index, watch.now.is_up) == (LINK, index, True)


async def test_of_a_renamed_link_new_addresses_are_noticed(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    async with watching(ours) as watch:
        ours.ip("link", "set", LINK, "name", "late0")
        await watch.until(lambda facts: facts.renamed_to == "late0")
        ours.ip("addr", "add", "10.77.0.99/24", "dev", "late0")

        await watch.until(lambda facts: IPv4Interface("10.77.0.99/24") in facts.addresses)


async def test_a_link_that_was_renamed_and_deleted_is_the_one_that_has_its_first_name_then(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, _theirs = segment
    async with watching(ours) as watch:
        index = watch.now.index
        ours.ip("link", "set", LINK, "name", "lan0")
        await watch.until(lambda facts: facts.present_name == "lan0")
        ours.ip("link", "del", "lan0")
        await watch.until(lambda facts: not facts.exists)
        ours.ip("link", "add", LINK, "type", "veth", "peer", "name", "other")
        await watch.until(lambda facts: facts.exists)

        assert watch.now.present_name == LINK
        assert watch.now.index not in (0, index)
