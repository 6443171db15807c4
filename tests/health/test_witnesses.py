"""The probe of witnesses, in network namespaces: who answers, and how."""

from collections.abc import Iterator
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Finding, witness
from tests.support.namespaces import Namespace, entered, joined_namespaces
from tests.support.probes import finding_of
from tests.support.system import require

OURS, THEIRS, NOBODY = "192.0.2.1/24", "192.0.2.2", "192.0.2.9"


@pytest.fixture
def theirs() -> Iterator[Namespace]:
    """Yield a neighbour of the namespace that the test is in."""
    require("ip")
    with joined_namespaces() as (ours, theirs), entered(ours):
        for namespace, address in ((ours, OURS), (theirs, f"{THEIRS}/24")):
            namespace.ip("addr", "add", address, "dev", "eth0")
        ours.ip("route", "add", "default", "via", THEIRS)
        yield theirs


@pytest.mark.system
@pytest.mark.parametrize("witnesses", [("gateway",), (THEIRS,), (NOBODY, THEIRS), (NOBODY, "gateway")])
@pytest.mark.usefixtures("theirs")
async def test_one_witness_that_answers_is_enough(witnesses: tuple[str, ...]) -> None:
    found = await finding_of(witness(*witnesses))

    assert found.answer is Answer.OK
    assert THEIRS in found.detail


@pytest.mark.system
async def test_a_witness_that_answers_no_ping_is_found_by_its_mac_address(theirs: Namespace) -> None:
    theirs.ip("netns", "exec", theirs.name, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")

    assert await finding_of(witness("gateway")) == Finding(Answer.OK, f"{THEIRS} is there on eth0")


@pytest.mark.system
async def test_witnesses_of_which_none_answers_fail(theirs: Namespace) -> None:
    theirs.ip("link", "set", "eth0", "down")

    assert (await finding_of(witness("gateway", NOBODY), timeout_s=0.3)).answer is Answer.FAIL


@pytest.mark.system
async def test_without_a_default_route_the_gateway_fails(theirs: Namespace) -> None:
    theirs.ip("addr", "flush", "dev", "eth0")
    assert (await finding_of(witness("gateway"), timeout_s=0.3)).answer is Answer.FAIL


@pytest.mark.parametrize(
    ("wrong", "said"), [((), "names nobody"), (("gatway",), "is no address"), ((7.5,), "no address")]
)
def test_what_is_no_witness_is_refused(wrong: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        witness(*wrong)
