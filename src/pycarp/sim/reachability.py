"""Where clients' frames go: whether the switch sends them to a port whose machine has the addresses.

A frame goes to the port at which the last one from the virtual MAC address entered. It goes to the wrong one while that
machine neither answers nor is MASTER, and another one is both. A MASTER that does not answer yet, or who still answers
but is no longer MASTER, is a takeover under way, which others judge. Source: carp.md sections 12, 14 and 15.

Judged are hosts that promise never to mislead: those that wait until a MASTER has dropped, and say when they have.
A BSD may well send its second bow-out, or its announcement, when another one has taken over.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pycarp.core.host_config import HostConfig
from pycarp.dialects.base import AddressMac, Farewell
from pycarp.sim.fabric import Fabric
from pycarp.sim.faults.fault_plan import Fault, FaultPlan
from pycarp.vocabulary import HostKey, MacAddress
from pycarp.wire import ethernet

PLANNED = frozenset({Fault.ADMIN_DOWN, Fault.HAND_OVER, Fault.DEMOTION, Fault.FORCE})
"""What an administrator does on purpose: no client need notice."""

_HEALS = frozenset({Fault.PARTITION})
"""What no client need notice once it is over."""


@dataclass(frozen=True, slots=True)
class _Misled:
    """Since when the switch sends to a wrong port, and to which one first."""

    since_ns: int
    port: str


class Reachability:
    """Watches the virtual hosts of a plan; call ``look`` whenever anything may have changed.

    ``answers`` and ``is_master`` say of a node what others see; ``violate`` is told the node at the wrong port, and in
    words how long it was one. Plans with other faults than these, or with equal claims, are not judged.
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
        self._struck: set[HostKey] = set()

    def injected(self, key: HostKey) -> None:
        """See an administrator act.

        If two machines answer at that moment, a split has healed and one of them is about to hear the other. Where the
        switch sends is chance, and remains so until the next advertisement when that one leaves instead of yielding.
        """
        if len(self._owners(key)) > 1:
            self._struck.add(key)

    def look(self, key: HostKey, now_ns: int, *, is_healed: bool) -> None:
        """See where a client's frame goes now; while machines are cut off from each other it may go anywhere."""
        if key not in self._keys:
            return
        port = self._wrong_port(key)
        self._excuse(key, port, is_healed=is_healed)
        if key in self._split | self._struck:
            port = None
        misled = self._misled.get(key)
        if misled is None and port is not None:
            self._misled[key] = _Misled(now_ns, port)
        elif misled is not None and port is None:
            del self._misled[key]
            self._judge(key, misled, now_ns)

    def end(self, now_ns: int) -> None:
        """Judge what has not come to an end."""
        for key, misled in self._misled.items():
            self._judge(key, misled, now_ns)

    def _owners(self, key: HostKey) -> list[str]:
        return [node for node in self._nodes if self._answers(node, key)]

    def _excuse(self, key: HostKey, wrong_port: str | None, *, is_healed: bool) -> None:
        """Note from when on the switch can be held to be right: when it was, and nothing excuses that it is not."""
        if not is_healed:
            self._split.add(key)
        elif wrong_port is None:
            self._split.discard(key)
            if len(self._owners(key)) == 1:
                self._struck.discard(key)

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
    """Return the MAC address at which the addresses of a virtual host are."""
    return ethernet.virtual_mac(key.vhid)


def _judged(plan: FaultPlan) -> Iterable[HostKey]:
    """Return the virtual hosts of which it is judged: all answer at the virtual MAC address, and speak to the group."""
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
