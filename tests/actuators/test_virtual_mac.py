"""The device with the virtual MAC: created for a host, and removed when it departs."""

import asyncio
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from pathlib import Path

import pytest

from pycarp.errors import ActuatorError, ConfigError
from pycarp.system.addresses import sysctl_files
from pycarp.system.guardian.clean_up_steps import CleanUpStep, Request, SysctlWrite
from pycarp.system.recovery.journal import Device, Journal, Shared, Sysctl
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import MacMode
from tests.support.addresses import actuator_in, config, links, on, switch
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

HOST = config()
DEVICE = "carp1"
MAC = "00:00:5e:00:01:01"
BOTH = {"10.77.0.50/24", "fd77::50/64"}


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        yield ours


def carry_out(namespace: Namespace, steps: tuple[CleanUpStep, ...]) -> None:
    """Carry out clean-up steps, as the guardian does without pycarp's code."""
    with entered(namespace), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as raw:
        for step in steps:
            if isinstance(step, Request):
                raw.send(step.octets)
                (error,) = struct.unpack_from("=i", raw.recv(4096), 16)
                assert error == 0
            elif isinstance(step, SysctlWrite):
                Path(step.path).write_text(step.text)


async def test_a_host_gets_a_device_that_is_up_with_the_virtual_mac_and_no_address(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)

        said = namespace.ip("-d", "link", "show", "dev", DEVICE)
        assert on(namespace, DEVICE) == set()
        assert ",UP," in said
        assert MAC in said
        assert "macvlan mode bridge" in said


async def test_held_addresses_are_on_the_device_without_a_route_and_not_on_the_link(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        before = on(namespace, LINK)
        await actuator.hold(HOST.key, HOST.addresses)

    assert on(namespace, DEVICE) == BOTH
    assert on(namespace, LINK) == before
    assert f"dev {DEVICE}" not in namespace.ip("route") + namespace.ip("-6", "route")


@pytest.mark.parametrize("count", [1, 2])
async def test_the_device_answers_for_itself_alone_and_drops_what_a_backup_gets(
    namespace: Namespace, count: int
) -> None:
    hosts = [config(f"10.77.0.{50 + vhid}/24", vhid=vhid) for vhid in range(1, count + 1)]
    async with actuator_in(namespace) as actuator:
        await asyncio.gather(*map(actuator.prepare, hosts))

        for each in hosts:
            of_ipv4 = [
                switch(namespace, f"ipv4/conf/{each.device}/{name}")
                for name in ("arp_ignore", "rp_filter", "promote_secondaries")
            ]
            assert of_ipv4 == ["1", "2", "1"]
            assert switch(namespace, f"ipv6/conf/{each.device}/disable_ipv6") == "1"


@pytest.mark.parametrize("addresses", [("10.77.0.50/24",), ("10.77.0.50/24", "fd77::50/64")])
async def test_a_device_with_an_ipv6_address_has_no_other_one_and_listens_to_no_router(
    namespace: Namespace, addresses: tuple[str, ...]
) -> None:
    """Also one that a host gets later, for which its device was not made."""
    host = config(*addresses)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(host)
        await actuator.hold(host.key, config("fd77::50/64").addresses)

        names = ("accept_ra", "autoconf", "addr_gen_mode", "disable_ipv6")
        assert [switch(namespace, f"ipv6/conf/{DEVICE}/{name}") for name in names] == ["0", "0", "1", "0"]
        assert on(namespace, DEVICE) == {"fd77::50/64"}


async def test_where_the_link_has_no_own_address_the_device_has_the_route(namespace: Namespace) -> None:
    elsewhere = config("192.0.2.1/24", "fd99::1/64")
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(elsewhere)
        await actuator.hold(elsewhere.key, elsewhere.addresses)

    assert f"192.0.2.0/24 dev {DEVICE}" in namespace.ip("route")
    assert f"fd99::/64 dev {DEVICE}" in namespace.ip("-6", "route")


async def test_dropped_addresses_are_gone_and_ipv6_is_off(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses)
        await actuator.drop(HOST.key, HOST.addresses)

    assert on(namespace, DEVICE) == set()
    assert switch(namespace, f"ipv6/conf/{DEVICE}/disable_ipv6") == "1"


async def test_dropping_some_of_a_hosts_addresses_leaves_the_others(namespace: Namespace) -> None:
    many = config("10.77.0.50/24", "10.77.0.51/24", "fd77::50/64", "fd77::51/64")
    first, others = (many.addresses[0], many.addresses[2]), {"10.77.0.51/24", "fd77::51/64"}
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(many)
        await actuator.hold(many.key, many.addresses)
        await actuator.drop(many.key, first)

    assert on(namespace, DEVICE) == others


async def test_leftovers_on_device_and_link_are_dropped(namespace: Namespace) -> None:
    namespace.ip("link", "add", DEVICE, "link", LINK, "address", MAC, "type", "macvlan", "mode", "bridge")
    for address in ("10.77.0.50/24", "fd77::50/64"):
        namespace.ip("addr", "add", address, "dev", DEVICE)
    async with actuator_in(namespace) as predecessor:
        await predecessor.hold(HOST.key, HOST.addresses[:1])
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        assert on(namespace, DEVICE) == set()

        await actuator.drop(HOST.key, HOST.addresses)

    assert "10.77.0.50/24" not in on(namespace, LINK)


async def test_a_device_in_another_mode_is_made_anew(namespace: Namespace) -> None:
    """In private mode it would swallow the peers' advertisements, which come from the same MAC address."""
    namespace.ip("link", "add", DEVICE, "link", LINK, "address", MAC, "type", "macvlan", "mode", "private")
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)

    assert "macvlan mode bridge" in namespace.ip("-d", "link", "show", "dev", DEVICE)


@pytest.mark.parametrize(
    ("how", "error", "reason"),
    [
        (("type", "bridge"), ConfigError, "there is an interface carp1 already, "),
        (("link", LINK, "type", "macvlan", "mode", "bridge"), ConfigError, "there is an interface carp1 already, "),
        (
            ("link", "spare0", "address", MAC, "type", "macvlan", "mode", "bridge"),
            ActuatorError,
            "carp1: there is one of that name already, and it is not on eth0",
        ),
    ],
)
async def test_somebody_elses_device_of_that_name_is_refused_and_stays(
    namespace: Namespace, how: tuple[str, ...], error: type[Exception], reason: str
) -> None:
    namespace.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    try:
        namespace.ip("link", "add", DEVICE, *how)
    except AssertionError:
        pytest.skip("this kernel does not make such a device")
    before = namespace.ip("-o", "link")
    async with actuator_in(namespace) as actuator:
        with pytest.raises(error, match=rf"{reason}.*another name.*\"interface\""):
            await actuator.prepare(HOST)

    assert namespace.ip("-o", "link") == before
    assert switch(namespace, f"ipv4/conf/{LINK}/arp_ignore") == "0"


async def test_the_links_switches_are_restored_with_the_last_host(namespace: Namespace) -> None:
    first, second = HOST, config("10.77.0.60/24", vhid=2)
    values = []
    async with actuator_in(namespace) as actuator:
        for call in (actuator.prepare(first), actuator.prepare(second), actuator.release(first.key)):
            await call
            values.append([switch(namespace, f"ipv4/conf/{LINK}/{name}") for name in ("arp_ignore", "arp_announce")])
        await actuator.release(second.key)

    assert values == [["1", "2"]] * 3
    assert [switch(namespace, f"ipv4/conf/{LINK}/{name}") for name in ("arp_ignore", "arp_announce")] == ["0", "0"]
    assert links(namespace) == {"lo", LINK}


async def test_a_switch_that_somebody_changed_meanwhile_is_not_restored(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        switch(namespace, f"ipv4/conf/{LINK}/arp_ignore", "8")
        await actuator.release(HOST.key)

    assert switch(namespace, f"ipv4/conf/{LINK}/arp_ignore") == "8"


async def test_a_stricter_switch_is_left_alone(namespace: Namespace) -> None:
    switch(namespace, f"ipv4/conf/{LINK}/arp_ignore", "2")
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)

    assert switch(namespace, f"ipv4/conf/{LINK}/arp_ignore") == "2"


async def test_everything_is_in_the_journal_until_the_host_is_released(namespace: Namespace, tmp_path: Path) -> None:
    with entered(namespace):
        journal = Journal.begin(tmp_path)
    async with actuator_in(namespace, journal=journal) as actuator:
        await actuator.prepare(HOST)
        recorded = set(journal.resources)
        await actuator.hold(HOST.key, HOST.addresses)
        held = set(journal.resources)
        await actuator.drop(HOST.key, HOST.addresses)
        await actuator.release(HOST.key)

    assert recorded == {
        Device(DEVICE, LINK, MAC),
        Sysctl(f"net/ipv4/conf/{LINK}/arp_ignore", "0", "1"),
        Sysctl(f"net/ipv4/conf/{LINK}/arp_announce", "0", "2"),
        Shared(DEVICE, "10.77.0.50/24"),
        Shared(DEVICE, "fd77::50/64"),
    }
    assert held == recorded
    assert journal.resources == ()


async def test_addresses_that_were_not_known_at_first_are_recorded_when_held(
    namespace: Namespace, tmp_path: Path
) -> None:
    with entered(namespace):
        journal = Journal.begin(tmp_path)
    async with actuator_in(namespace, journal=journal) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, (ip_interface("10.77.0.70/24"),))

    assert Shared(DEVICE, "10.77.0.70/24") in journal.resources


async def test_the_plan_drops_the_addresses(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses)
        carry_out(namespace, actuator.clean_up_plan(HOST.key, HOST.addresses))

        assert on(namespace, DEVICE) == set()


async def test_the_plan_of_a_host_on_the_interface_drops_the_addresses_and_leaves_the_own_ones(
    namespace: Namespace,
) -> None:
    plain = config("10.78.0.1/24", "fd77::50/64", mac_mode=MacMode.INTERFACE)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(plain)
        own = on(namespace, LINK) | {"10.78.0.9/24"}
        await actuator.hold(plain.key, plain.addresses)
        namespace.ip("addr", "add", "10.78.0.9/24", "dev", LINK)
        carry_out(namespace, actuator.clean_up_plan(plain.key, plain.addresses))

        assert on(namespace, LINK) == own


async def test_a_device_that_is_deleted_is_made_anew_to_hold_and_after_a_drop(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        namespace.ip("link", "del", DEVICE)
        await actuator.hold(HOST.key, HOST.addresses)
        assert on(namespace, DEVICE) == BOTH

        namespace.ip("link", "del", DEVICE)
        await actuator.drop(HOST.key, HOST.addresses)
        assert on(namespace, DEVICE) == set()
        assert ",UP," in namespace.ip("link", "show", "dev", DEVICE)


async def test_a_host_is_prepared_while_its_link_is_down(namespace: Namespace) -> None:
    namespace.ip("link", "set", LINK, "down")
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)

        assert ",UP" in namespace.ip("link", "show", "dev", DEVICE)


async def test_a_link_that_comes_later_gets_its_device_then(namespace: Namespace) -> None:
    later = config("192.0.2.1/24", link="spare0")
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(later)
        await actuator.drop(later.key, later.addresses)
        with pytest.raises(ActuatorError, match=r"cannot add 192\.0\.2\.1/24 to carp1: interface spare0 does not ex"):
            await actuator.hold(later.key, later.addresses)
        namespace.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
        await actuator.hold(later.key, later.addresses)

        assert on(namespace, DEVICE) == {"192.0.2.1/24"}
        assert switch(namespace, "ipv4/conf/spare0/arp_ignore") == "1"


async def test_hosts_of_equal_vhid_on_several_links_have_devices_of_different_names(namespace: Namespace) -> None:
    namespace.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    other = config("192.0.2.1/24", link="spare0")
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.prepare(other)

        assert dict(actuator.devices) == {HOST.key: "carp1", other.key: "carp1-2"}
        assert {"carp1", "carp1-2"} <= links(namespace)


async def test_several_hosts_on_a_link_come_and_go_without_each_other(namespace: Namespace) -> None:
    hosts = [config(f"10.77.0.{vhid}/24", f"fd77::50:{vhid}/64", vhid=vhid) for vhid in (51, 52, 53)]
    async with actuator_in(namespace) as actuator:
        for host in hosts:
            await actuator.prepare(host)
        await asyncio.gather(*(actuator.hold(host.key, host.addresses) for host in hosts))
        await actuator.drop(hosts[1].key, hosts[1].addresses)

        there = [on(namespace, host.device) for host in hosts]
        assert there == [{str(each) for each in hosts[0].addresses}, set(), {str(each) for each in hosts[2].addresses}]


async def test_preparing_again_leaves_the_addresses_where_they_are(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses)
        await actuator.prepare(HOST)

        assert on(namespace, DEVICE) == BOTH


async def test_another_mode_removes_the_device(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.prepare(config(mac_mode=MacMode.INTERFACE))

        assert DEVICE not in links(namespace)
        assert actuator.modes == {HOST.key: (MacMode.INTERFACE, 'mac_mode = "interface" was asked for')}


async def test_the_probe_decides_in_mode_auto(namespace: Namespace) -> None:
    async def probe(link: str) -> tuple[MacMode, str]:
        return MacMode.INTERFACE, f"nothing comes back on {link}"

    async with actuator_in(namespace, probe=probe) as actuator:
        await actuator.prepare(config(mac_mode=MacMode.AUTO))

        assert actuator.modes == {HOST.key: (MacMode.INTERFACE, "nothing comes back on eth0")}
        assert DEVICE not in links(namespace)


async def test_where_the_kernel_makes_no_device_auto_takes_the_interface(namespace: Namespace) -> None:
    """A loopback carries no macvlan."""
    auto = config("192.0.2.1/24", link="lo", mac_mode=MacMode.AUTO)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(auto)
        await actuator.hold(auto.key, auto.addresses)

        mode, reason = actuator.modes[auto.key]
        assert (mode, "cannot make the device carp1 on lo: Invalid argument" in reason) == (MacMode.INTERFACE, True)
        assert "192.0.2.1/24" in on(namespace, "lo")
        assert switch(namespace, "ipv4/conf/lo/arp_ignore") == "0"


async def test_where_the_kernel_makes_no_device_virtual_is_an_error_that_says_what_to_do(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        with pytest.raises(ActuatorError, match=r"cannot make the device carp1 on lo: .*mac_mode = \"interface\""):
            await actuator.prepare(config("192.0.2.1/24", link="lo"))


async def test_the_device_has_the_mtu_of_its_link(namespace: Namespace) -> None:
    namespace.ip("link", "set", LINK, "mtu", "1400")
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)

        assert "mtu 1400" in namespace.ip("link", "show", "dev", DEVICE)


async def test_a_device_is_a_router_where_its_link_is(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        for text in ("1", "0"):
            for family in ("ipv4", "ipv6"):
                switch(namespace, f"{family}/conf/{LINK}/forwarding", text)
            await actuator.hold(HOST.key, HOST.addresses)
            told = [switch(namespace, f"{family}/conf/{DEVICE}/forwarding") for family in ("ipv4", "ipv6")]
            assert told == [text, text]


async def test_where_the_kernel_has_no_ipv6_for_the_link_the_device_has_it_all_the_same(namespace: Namespace) -> None:
    namespace.switch_off_ipv6()
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses)

        assert on(namespace, DEVICE) == BOTH


async def test_an_address_that_was_on_the_link_moves_to_the_device(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        namespace.ip("addr", "add", "10.77.0.50/24", "dev", LINK)
        await actuator.hold(HOST.key, HOST.addresses)

    assert "10.77.0.50/24" not in on(namespace, LINK)
    assert "10.77.0.50/24" in on(namespace, DEVICE)


async def test_releasing_what_was_never_prepared_is_well(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.release(HOST.key)


async def test_addresses_stay_as_long_as_they_are_renewed(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses, lifetime_s=1)
        ends_s = time.monotonic() + 3
        while time.monotonic() < ends_s:
            actuator.renew(HOST.key, HOST.addresses, 1)
            actuator.send_renewals()
            await asyncio.sleep(0.3)
            assert on(namespace, DEVICE) == BOTH
        await asyncio.sleep(2.3)

    assert on(namespace, DEVICE) == set()


async def test_hold_and_drop_take_about_a_millisecond(namespace: Namespace) -> None:
    """Measured: hold 0.5 ms and drop 0.4 ms in the median; the bound is for busy machines."""
    took_s: dict[str, list[float]] = {"hold": [], "drop": []}
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        for _ in range(50):
            start_s = time.perf_counter()
            await actuator.hold(HOST.key, HOST.addresses, lifetime_s=3)
            held_s = time.perf_counter()
            await actuator.drop(HOST.key, HOST.addresses)
            took_s["hold"].append(held_s - start_s)
            took_s["drop"].append(time.perf_counter() - held_s)
    medians_ms = {name: 1000 * sorted(each)[25] for name, each in took_s.items()}

    assert max(medians_ms.values()) < 10


async def test_the_renewals_of_250_hosts_cost_little(namespace: Namespace) -> None:
    """Measured: 11 ms of processor time for 500 addresses, their notifications included."""
    hosts = [config(f"10.77.1.{n}/24", f"fd77:1::{n:x}/64", vhid=n, mac_mode=MacMode.INTERFACE) for n in range(1, 251)]
    async with actuator_in(namespace) as actuator:
        await asyncio.gather(*(actuator.hold(host.key, host.addresses, lifetime_s=9) for host in hosts))
        before_s = time.process_time()
        for host in hosts:
            actuator.renew(host.key, host.addresses, 9)
        actuator.send_renewals()
        await asyncio.sleep(0.5)
        spent_s = time.process_time() - before_s

    assert spent_s < 0.2


async def test_an_preparation_that_is_cancelled_at_any_moment_is_undone_by_releasing(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        for turns in range(20):
            adopting = asyncio.create_task(actuator.prepare(HOST))
            for _ in range(turns // 4):
                await asyncio.sleep(0)
            adopting.cancel()
            await asyncio.wait({adopting})
            await actuator.release(HOST.key)

            assert links(namespace) == {"lo", LINK}
            assert actuator.devices == {}


async def test_hosts_that_are_prepared_at_once_get_their_devices_in_one_go(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends: list[int] = []
    ask = RouteSocket.ask

    def counting(route: RouteSocket, requests: Sequence[bytes]) -> list[int]:
        sends.append(len(requests))
        return ask(route, requests)

    monkeypatch.setattr(RouteSocket, "ask", counting)
    hosts = [config(f"10.77.0.{50 + vhid}/24", vhid=vhid) for vhid in (1, 2, 3)]
    async with actuator_in(namespace) as actuator:
        await asyncio.gather(*map(actuator.prepare, hosts))

        for host in hosts:
            said = namespace.ip("link", "show", "dev", host.device)
            assert ",UP," in said
            assert f"00:00:5e:00:01:{host.vhid:02x}" in said
            assert switch(namespace, f"ipv6/conf/{host.device}/disable_ipv6") == "1"
            assert switch(namespace, f"ipv4/conf/{host.device}/arp_ignore") == "1"
    assert sends == [3, 6]


async def test_hosts_prepared_at_once_that_want_one_device_name_get_one_each(namespace: Namespace) -> None:
    hosts = [config(f"10.77.0.{50 + vhid}/24", vhid=vhid, name="carp0") for vhid in (1, 2)]
    async with actuator_in(namespace) as actuator:
        await asyncio.gather(*map(actuator.prepare, hosts))

        assert actuator.devices == {hosts[0].key: "carp0", hosts[1].key: "carp0-2"}


async def test_of_hosts_prepared_at_once_only_the_one_whose_name_is_taken_is_refused(namespace: Namespace) -> None:
    namespace.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    mac = "00:00:5e:00:01:02"
    namespace.ip("link", "add", "carp2", "link", "spare0", "address", mac, "type", "macvlan", "mode", "bridge")
    hosts = [config(f"10.77.0.{50 + vhid}/24", vhid=vhid) for vhid in (1, 2, 3)]
    async with actuator_in(namespace) as actuator:
        results = await asyncio.gather(*map(actuator.prepare, hosts), return_exceptions=True)

        assert [isinstance(each, ActuatorError) for each in results] == [False, True, False]
        assert set(actuator.devices) == {hosts[0].key, hosts[2].key}


async def test_of_hosts_prepared_at_once_one_takes_over_what_a_predecessor_left(namespace: Namespace) -> None:
    namespace.ip("link", "add", DEVICE, "link", LINK, "address", MAC, "type", "macvlan", "mode", "bridge")
    namespace.ip("addr", "add", "10.77.0.51/24", "dev", DEVICE)
    hosts = [config(f"10.77.0.{50 + vhid}/24", vhid=vhid) for vhid in (1, 2)]
    async with actuator_in(namespace) as actuator:
        await asyncio.gather(*map(actuator.prepare, hosts))

        assert on(namespace, DEVICE) == set()
        assert all(",UP," in namespace.ip("link", "show", "dev", host.device) for host in hosts)


async def test_a_device_made_at_once_with_others_whose_switches_cannot_be_set_is_refused(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = sysctl_files.write

    def refusing(path: str, text: str) -> None:
        if "carp2/disable_ipv6" in path:
            raise PermissionError(13, "Permission denied")
        write(path, text)

    monkeypatch.setattr(sysctl_files, "write", refusing)
    hosts = [config(f"10.77.0.{50 + vhid}/24", vhid=vhid) for vhid in (1, 2)]
    async with actuator_in(namespace) as actuator:
        results = await asyncio.gather(*map(actuator.prepare, hosts), return_exceptions=True)

        assert results[0] is None
        assert "cannot make the device carp2 on eth0: Permission denied" in str(results[1])
