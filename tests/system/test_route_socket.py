"""Requests to the kernel, many at once, and what it says against each."""

import errno
from collections.abc import Iterator

import pytest

from pycarp.system.addresses.link_addresses import index_of
from pycarp.system.rtnetlink import link_requests
from pycarp.system.rtnetlink.route_socket import RouteSocket
from tests.support.namespaces import LINK, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

NOWHERE = 1 << 20
MANY = 600


@pytest.fixture
def route() -> Iterator[RouteSocket]:
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours), RouteSocket() as made:
        yield made


def test_each_of_many_requests_that_fail_has_its_error(route: RouteSocket) -> None:
    errors = route.ask([link_requests.setting_up(NOWHERE)] * MANY)

    assert errors == [errno.ENODEV] * MANY


def test_what_fails_among_many_is_known_by_its_place(route: RouteSocket) -> None:
    requests = [link_requests.setting_up(index_of(LINK))] * MANY
    for place in (0, 255, 256, MANY - 1):
        requests[place] = link_requests.setting_up(NOWHERE)

    errors = route.ask(requests)

    assert [place for place, error in enumerate(errors) if error] == [0, 255, 256, MANY - 1]


def test_an_answer_is_read_after_requests_that_failed(route: RouteSocket) -> None:
    route.ask([link_requests.setting_up(NOWHERE)] * 3)

    assert route.read_one(link_requests.reading_by_name(LINK)) is not None


def test_nothing_is_asked_without_requests(route: RouteSocket) -> None:
    assert route.ask([]) == []
