"""Checks whether the switch sends clients' frames to a machine that has the addresses.

The switch sends a frame to the port at which the last frame from the virtual MAC address entered. That port is wrong if
its machine neither answers nor is MASTER while another machine is both. A MASTER that does not answer yet, and a
machine that answers but is no longer MASTER, are parts of a takeover, which ``checking.py`` judges. Source: carp.md
sections 12, 14 and 15.

Only hosts that wait for farewells and send them are judged. A BSD may send its second bow-out, or its announcement,
after another host has taken over.
"""

from collections.abc import Callable, Iterable

import msgspec

from pycarp.core.host_config import HostConfig
from pycarp.dialects.dialect import AddressMac, Farewell
from pycarp.sim.fabric import Fabric
from pycarp.sim.faults.fault_plan import OUTLASTING, Fault, FaultPlan
from pycarp.vocabulary import HostKey, MacAddress
from pycarp.wire import ethernet

PLANNED = frozenset({Fault.ADMIN_DOWN, Fault.HAND_OVER, Fault.DEMOTION, Fault.FORCE}) | OUTLASTING
"""Planned events of an administrator, which no client need notice."""

_HEALS = frozenset({Fault.PARTITION})
"""Faults whose end no client need notice."""


class _Misled(msgspec.Struct, frozen=True):
    """The time since which the switch sends to a wrong port, and the first such port."""

    since_ns: int
    port: str


class Reachability:
    """Observes the virtual hosts of a plan; its owner calls ``look`` after every change.

    ``answers`` and ``is_master`` return the state of a node as others see it. ``violate`` receives the node at the
    wrong port, and words with the duration. A plan with faults outside of ``PLANNED`` and ``_HEALS``, or with equal
    claims, is not judged.
    """

    def __init__(
        self,
        plan: FaultPlan,
        *,
        fabric_of: Callable[[str], Fabric],
        answers: Callable[[str, HostKey], bool],
        is_master: Callable[[str, HostKey], bool],
        violate: Callable[[str, str], None],
    ) -> None:
        self._fabric_of = fabric_of
        self._answers = answers
        self._is_master = is_master
        self._violate = violate
        self._nodes = tuple(member.name for member in plan.members)
        self._bound_ns = plan.delay_ns
        self._keys = frozenset(_judged(plan))
        self._promising = {
            (member.name, host.key) for member in plan.members for host in member.hosts if _promises(host)
        }
        self._misled: dict[HostKey, _Misled] = {}
        self._split: set[HostKey] = set()
        self._excused: set[HostKey] = set()

    def injected(self, key: HostKey) -> None:
        """Receive a planned event.

        If two machines answer at that moment, a partition has ended and one of them will soon hear the other. The port
        that the switch has learned is then random, and stays so until the next advertisement if that machine leaves
        instead of yielding.
        """
        if len(self._owners(key)) > 1:
            self._excused.add(key)

    def look(self, key: HostKey, now_ns: int, *, is_healed: bool) -> None:
        """Check where a client's frame goes now; during a partition any port is allowed."""
        if key not in self._keys:
            return
        port = self._wrong_port(key)
        self._excuse(key, port, is_healed=is_healed)
        if key in self._split | self._excused:
            port = None
        misled = self._misled.get(key)
        if misled is None and port is not None:
            self._misled[key] = _Misled(now_ns, port)
        elif misled is not None and port is None:
            del self._misled[key]
            self._judge(key, misled, now_ns)

    def end(self, now_ns: int) -> None:
        """Judge the hosts whose frames still go to a wrong port."""
        for key, misled in self._misled.items():
            self._judge(key, misled, now_ns)

    def _owners(self, key: HostKey) -> list[str]:
        return [node for node in self._nodes if self._answers(node, key)]

    def _excuse(self, key: HostKey, wrong_port: str | None, *, is_healed: bool) -> None:
        """Update the excuses of a host: each lasts until the switch is right again without the cause."""
        if not is_healed:
            self._split.add(key)
        elif wrong_port is None:
            self._split.discard(key)
            if len(self._owners(key)) == 1:
                self._excused.discard(key)

    def _wrong_port(self, key: HostKey) -> str | None:
        port = self._fabric_of(key.link).port_of(shared_mac(key))
        if port is None or self._answers(port, key) or self._is_master(port, key):
            return None
        if (port, key) not in self._promising:
            return None
        return port if any(self._is_master(node, key) for node in self._owners(key)) else None

    def _judge(self, key: HostKey, misled: _Misled, now_ns: int) -> None:
        lasted_ns = now_ns - misled.since_ns
        if lasted_ns > self._bound_ns:
            self._violate(misled.port, f"clients of {key} were sent here for {lasted_ns / 1e6:.3f} ms in vain")


def shared_mac(key: HostKey) -> MacAddress:
    """Return the virtual MAC address of a host."""
    return ethernet.virtual_mac(key.vhid)


def _judged(plan: FaultPlan) -> Iterable[HostKey]:
    """Return the virtual hosts to judge: all their machines use the virtual MAC address and the multicast group."""
    if not all(each.fault in PLANNED | _HEALS for each in plan.incidents):
        return ()
    hosts = [host for member in plan.members for host in member.hosts]
    if len({(host.key, host.advbase, host.advskew) for host in hosts}) < len(hosts):
        return ()
    return {host.key for host in hosts} - {host.key for host in hosts if not _moves_virtual_mac(host)}


def _moves_virtual_mac(host: HostConfig) -> bool:
    virtual = ethernet.virtual_mac(host.vhid)
    is_virtual = host.dialect.address_mac is AddressMac.VIRTUAL and host.dialect.source_mac(host.vhid) == virtual
    return is_virtual and not host.peers


def _promises(host: HostConfig) -> bool:
    return host.dialect.farewell is Farewell.DROPPED and host.dialect.bow_out is not None
