"""Holding and dropping the shared addresses of a host, on a link and on a device."""

import dataclasses
from collections.abc import Iterator
from ipaddress import ip_interface

import pytest

from pycarp.system.addresses.link_addresses import index_of
from pycarp.system.addresses.ownership_index import OwnershipIndex
from pycarp.system.addresses.shared_addresses import SharedAddresses
from pycarp.system.addresses.shared_device import SharedDevice
from pycarp.system.guardian.clean_up_steps import Request, SysctlWrite
from pycarp.system.recovery.null_journal import NullJournal
from pycarp.system.recovery.resources import Resource, Route, Shared
from pycarp.system.rtnetlink.address_requests import deleting, renewing
from pycarp.system.rtnetlink.route_messages import Place
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import HostKey
from pycarp.wire.ethernet import virtual_mac
from tests.support.addresses import links, on
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

KEY = HostKey(LINK, 1)
DEVICE = "carp1"
V4, V6 = ip_interface("10.77.0.50/24"), ip_interface("fd77::50/64")
BOTH = (V4, V6)
SHOWN = {str(V4), str(V6)}


class Noting(NullJournal):
    """A journal in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.present: list[Resource] = []

    def record(self, resource: Resource) -> None:
        """Record the resource."""
        self.present.append(resource)

    def strike(self, resource: Resource) -> None:
        """Strike out the resource."""
        if resource in self.present:
            self.present.remove(resource)


@dataclasses.dataclass(slots=True)
class Bench:
    """A host's addresses, with their socket, journal and device."""

    namespace: Namespace
    host: SharedAddresses
    owners: OwnershipIndex
    journal: Noting
    link: str


@pytest.fixture(params=[LINK, DEVICE])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A network namespace that the thread of the test has entered."""
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours), RouteSocket() as route:
        owners, journal = OwnershipIndex(), Noting()
        device = None
        if request.param == DEVICE:
            device = SharedDevice(route, DEVICE, LINK, virtual_mac(1), journal=journal)
            device.ensure()
        host = SharedAddresses(route, KEY, owners, journal, device)
        yield Bench(ours, host, owners, journal, request.param)


def test_what_is_held_is_there_and_recorded_before(bench: Bench) -> None:
    bench.host.hold(BOTH, None)

    index = index_of(bench.link)
    assert on(bench.namespace, bench.link) >= SHOWN
    assert [each for each in bench.journal.present if isinstance(each, Shared)] == [
        Shared(bench.link, str(each)) for each in sorted(BOTH, key=str)
    ]
    assert [bench.owners.holder(Place(index, each.packed)) for each in BOTH] == [KEY, KEY]
    assert bench.host.differences() == []


def test_sharing_again_records_only_what_is_new(bench: Bench) -> None:
    bench.host.share((V4,))
    bench.host.share(BOTH)
    bench.host.share(BOTH)

    assert [each for each in bench.journal.present if isinstance(each, Shared)] == [
        Shared(bench.link, str(V4)),
        Shared(bench.link, str(V6)),
    ]


def test_what_is_shared_from_now_on_is_recorded_and_what_is_no_longer_is_struck_out(bench: Bench) -> None:
    bench.host.set_shared(BOTH)
    both = bench.owners.shared_by(KEY)
    recorded = [each for each in bench.journal.present if isinstance(each, Shared)]
    bench.host.set_shared((V6,))

    assert both == set(BOTH)
    assert recorded == [Shared(bench.link, str(each)) for each in sorted(BOTH, key=str)]
    assert bench.owners.shared_by(KEY) == {V6}
    assert [each for each in bench.journal.present if isinstance(each, Shared)] == [Shared(bench.link, str(V6))]


def test_what_is_held_stays_recorded_when_it_is_shared_no_longer(bench: Bench) -> None:
    bench.host.hold((V4,), None)
    bench.host.set_shared((V6,))

    assert bench.owners.shared_by(KEY) == set(BOTH)


def test_what_a_failed_drop_left_was_not_added_by_others(bench: Bench) -> None:
    bench.host.hold(BOTH, None)
    with unprivileged(), pytest.raises(OSError, match="not permitted"):
        bench.host.drop((V4,), ())

    assert str(V4) in on(bench.namespace, bench.link)
    assert bench.host.differences() == []
    bench.host.drop((V4,), ())
    assert str(V4) not in on(bench.namespace, bench.link)


@pytest.mark.parametrize("bench", [LINK], indirect=True)
def test_routes_that_go_with_the_addresses_are_recorded_under_the_new_name_of_the_link(bench: Bench) -> None:
    bench.namespace.ip("addr", "del", str(bench.namespace.own), "dev", LINK)
    bench.host.hold((V4,), None)
    bench.namespace.ip("route", "add", "10.99.0.0/16", "via", "10.77.0.99", "dev", LINK)
    bench.host.hold((V4,), None)
    before = [each.link for each in bench.journal.present if isinstance(each, Route)]

    bench.host.rename_link("wan")

    assert set(before) == {LINK}
    assert {each.link for each in bench.journal.present if isinstance(each, Route)} == {"wan"}
    assert len([each for each in bench.journal.present if isinstance(each, Route)]) == len(before)


def test_what_is_dropped_is_gone_and_what_is_left_stays(bench: Bench) -> None:
    bench.host.hold(BOTH, None)
    bench.host.drop((V4,), ())
    some = on(bench.namespace, bench.link) & SHOWN
    bench.host.drop((V6,), ())

    assert some == {str(V6)}
    assert not on(bench.namespace, bench.link) & SHOWN
    assert bench.owners.holder(Place(index_of(bench.link), V6.packed)) is None
    assert bench.host.differences() == []


def test_a_renewal_is_of_what_is_held_now_and_for_the_time_that_is_asked(bench: Bench) -> None:
    before = bench.host.renewal(BOTH, 3)
    bench.host.hold(BOTH, 3)
    index = index_of(bench.link)
    # The own addresses of the link are in the same networks, and have the routes.
    has_route = False
    expected = {
        span_s: b"".join(renewing(index, each, span_s, has_route=has_route) for each in BOTH) for span_s in (3, 5)
    }
    during = {span_s: bench.host.renewal(BOTH, span_s) for span_s in (3, 5, 3)}
    one = bench.host.renewal((V4,), 3)
    bench.host.drop((V4,), ())
    after = bench.host.renewal(BOTH, 3)

    assert (before, during) == (b"", expected)
    assert one == renewing(index, V4, 3, has_route=has_route)
    assert after == renewing(index, V6, 3, has_route=has_route)


def test_what_others_do_is_a_difference_in_a_sentence(bench: Bench) -> None:
    bench.host.hold((V4,), None)
    bench.host.share(BOTH)
    bench.namespace.ip("addr", "del", str(V4), "dev", bench.link)
    if bench.link == LINK:
        bench.namespace.ip("addr", "add", str(V6), "dev", LINK, "nodad")

    strayed = [f"{V6} was added to {LINK}"] if bench.link == LINK else []
    assert bench.host.differences() == [f"{V4} was removed from {bench.link}", *strayed]


def test_the_plan_is_what_drops_the_addresses(bench: Bench) -> None:
    bench.host.hold(BOTH, None)
    index = index_of(bench.link)

    requests = [Request(deleting(index, each)) for each in BOTH]
    if bench.link == LINK:
        assert bench.host.clean_up_plan(BOTH) == tuple(requests)
        assert bench.host.clean_up_plan((V4,)) == (requests[0],)
    else:
        assert bench.host.clean_up_plan(BOTH) == (
            requests[0],
            SysctlWrite(f"/proc/sys/net/ipv6/conf/{DEVICE}/disable_ipv6", "1"),
        )
        assert bench.host.clean_up_plan((V4,)) == (requests[0],)


def test_without_a_link_there_is_no_plan(bench: Bench) -> None:
    bench.namespace.ip("link", "del", LINK)
    bench.host.restore_device()
    bench.host.follow_link()
    said = bench.host.differences()

    assert bench.host.clean_up_plan(BOTH) == ()
    assert said == ([] if bench.link == LINK else [f"{DEVICE} was deleted"])


def test_removing_leaves_nothing_and_can_be_done_twice(bench: Bench) -> None:
    bench.host.hold(BOTH, None)
    bench.host.drop(BOTH, ())
    for _ in range(2):
        bench.host.remove()
        bench.host.follow_link()

    assert bench.journal.present == []
    assert bench.owners.shared_by(KEY) == frozenset()
    assert DEVICE not in links(bench.namespace)
