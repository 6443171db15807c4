"""After planned events and healed splits the switch sends clients to whoever answers: alone, and beside the BSDs."""

from ipaddress import ip_interface

import pytest

from pycarp.core.host_config import HostConfig
from pycarp.dialects import FREEBSD, NETBSD, OPENBSD, UNIVERSAL, Dialect
from pycarp.sim.faults.fault_plan import Fault, FaultPlan, Incident, Member
from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.outcome import Promise, Violation
from pycarp.sim.reachability import PLANNED
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S

SEEDS = range(60)
FAULTS = (*sorted(PLANNED), Fault.PARTITION)
KERNELS = (NETBSD, FREEBSD, OPENBSD)
IPV4, DUAL = ("192.0.2.50/24",), ("192.0.2.50/24", "2001:db8::50/64")


def member(name: str, advskew: int, dialect: Dialect, addresses: tuple[str, ...]) -> Member:
    config = HostConfig(
        interface="em0",
        vhid=1,
        passphrase="secret",
        addresses=addresses,
        advskew=advskew,
        preempt=True,
        dialect=dialect,
    )
    own = (ip_interface(f"192.0.2.{ord(name)}/24"), ip_interface(f"fe80::{ord(name)}/64"))
    return Member(name=name, hosts=(config,), own={"em0": own})


def broken(members: tuple[Member, ...], *incidents: Incident, apart_s: int = 0) -> list[Violation]:
    plan = FaultPlan(seed=1, members=members, incidents=incidents, until_ns=40 * NS_PER_S, apart_ns=apart_s * NS_PER_S)
    return [each for each in simulate(plan).violations if each.promise is Promise.REACHABLE]


def incident(fault: Fault, node: str, amount: float = 0.0) -> Incident:
    return Incident(at_ns=15 * NS_PER_S, span_ns=8 * NS_PER_S, fault=fault, node=node, amount=amount)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_client_is_sent_to_a_host_without_the_addresses(seed: int) -> None:
    plan = random_plan(seed, faults=FAULTS)

    assert [each for each in simulate(plan).violations if each.promise is Promise.REACHABLE] == []


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("addresses", [IPV4, DUAL], ids=["IPv4", "dual stack"])
class TestBesideKernels:
    """``a`` is ours, ``b`` a kernel."""

    def test_when_a_split_heals_and_the_kernel_is_stronger(self, kernel: Dialect, addresses: tuple[str, ...]) -> None:
        members = (member("a", 100, UNIVERSAL, addresses), member("b", 0, kernel, addresses))

        assert broken(members, incident(Fault.PARTITION, "a")) == []

    def test_when_a_stronger_kernel_joins(self, kernel: Dialect, addresses: tuple[str, ...]) -> None:
        members = (member("a", 100, UNIVERSAL, addresses), member("b", 0, kernel, addresses))

        assert broken(members, apart_s=8) == []

    def test_when_we_are_demoted(self, kernel: Dialect, addresses: tuple[str, ...]) -> None:
        members = (member("a", 0, UNIVERSAL, addresses), member("b", 100, kernel, addresses))

        assert broken(members, incident(Fault.DEMOTION, "a", 200.0)) == []

    @pytest.mark.parametrize("fault", [Fault.ADMIN_DOWN, Fault.HAND_OVER])
    def test_when_we_leave(self, kernel: Dialect, addresses: tuple[str, ...], fault: Fault) -> None:
        members = (member("a", 0, UNIVERSAL, addresses), member("b", 100, kernel, addresses))

        assert broken(members, incident(fault, "a")) == []

    def test_when_the_kernel_leaves_us_and_another_kernel(self, kernel: Dialect, addresses: tuple[str, ...]) -> None:
        members = (
            member("a", 100, UNIVERSAL, addresses),
            member("b", 0, kernel, addresses),
            member("c", 50, kernel, addresses),
        )

        assert broken(members, incident(Fault.ADMIN_DOWN, "b")) == []
