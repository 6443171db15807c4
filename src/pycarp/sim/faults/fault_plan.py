"""Fault plans: the machines of a simulation, and its faults with their times. The same plan has the same history."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.placement.isolation import Isolation
from pycarp.placement.policy import FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim.fabric import DEFAULT_DELAY_NS
from pycarp.vocabulary import HostKey, InterfaceAddress

THE_MASTER = "*"
"""Stands for a node: the MASTER of the first virtual host at that moment."""


class Fault(StrEnum):
    """The kinds of faults. A fault lasts for the span of its incident, unless its description says otherwise."""

    # The segment
    LOSS = "loss"
    """Packets are lost, ``amount`` of 1."""

    DELAY = "delay"
    """Packets take up to ``amount`` seconds longer, each its own time, so that they overtake each other."""

    DUPLICATION = "duplication"
    """Packets arrive twice, ``amount`` of 1."""

    ONE_WAY = "one-way"
    """Packets of ``node`` do not reach ``other``; without ``other`` they reach nobody."""

    PARTITION = "partition"
    """``node`` is cut off from all others, both ways; or from ``other`` alone."""

    LOOP = "loop"
    """``node`` hears itself."""

    CLOG = "clog"
    """Packets are kept, and come at the end in another order."""

    LINK_DOWN = "link-down"
    """``node`` sees its link go down."""

    ONE_LINK = "one-link"
    """``node`` sees one of its links go down: ``link``, or that of its first virtual host."""

    # The operating system
    SEND_ERRORS = "send-errors"
    """The sends of ``node`` fail."""

    SLOW_ADDRESSES = "slow-addresses"
    """Changes of addresses of ``node`` take up to ``amount`` seconds."""

    FAILING_ADDRESSES = "failing-addresses"
    """Changes of addresses of ``node`` fail, ``amount`` of 1."""

    HANGING_ADDRESSES = "hanging-addresses"
    """Changes of addresses of ``node`` do not end before this does; whether they have done their work is chance."""

    MEDDLING = "meddling"
    """Another program removes the addresses of ``node``, once."""

    WITNESS = "witness"
    """No witness answers anybody."""

    # Processes and machines
    STOP = "stop"
    """The process of ``node`` stands still; its guardian does not."""

    CRASH = "crash"
    """The process of ``node`` dies, its guardian lives; the process starts again at the end of the span."""

    CRASH_ALL = "crash-all"
    """The process and its guardian die; the kernel lives on."""

    POWER = "power"
    """The machine is switched off; it starts again at the end of the span."""

    PAUSE = "pause"
    """The machine stands still, its clock included, as a virtual one that is moved."""

    # People
    REPLAY = "replay"
    """An attacker sends old packets to ``node``, ``amount`` a second."""

    FORGERY = "forgery"
    """An attacker sends altered old packets to ``node``, ``amount`` a second."""

    ADMIN_DOWN = "admin-down"
    """The virtual hosts of ``node`` are set down, and up again."""

    DEMOTION = "demotion"
    """``node`` is demoted by ``amount``, and restored."""

    CHECK = "check"
    """A check that ``node`` requires fails, so that it is the last of all; it passes again."""

    DRAIN = "drain"
    """``node`` is drained: the last of all; it is undrained."""

    GATE = "gate"
    """``node`` must not be MASTER: it is restricted to backup, also after a restart."""

    HOLD = "hold"
    """``node`` must not preempt, also after a restart."""

    FORCE = "force"
    """``node`` is forced to be MASTER; once."""

    HAND_OVER = "hand-over"
    """``node`` hands its addresses over; at the end of the span it is restored."""


DEATHS = frozenset({Fault.CRASH, Fault.CRASH_ALL, Fault.POWER})
"""The faults after which no process of ``node`` runs."""


OUTLASTING = frozenset({Fault.CHECK, Fault.DRAIN, Fault.GATE, Fault.HOLD})
"""The commands that are in force again after a restart of ``node``."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of the plan. ``own`` are its own addresses by link; a link is a segment of the same name.

    ``failbacks`` are the policies of its virtual hosts, ``groups`` those that move together, ``isolations`` the
    witnesses without which it lets go.
    """

    name: str
    hosts: tuple[HostConfig, ...]
    own: Mapping[str, tuple[InterfaceAddress, ...]]
    settings: Settings = msgspec.field(default_factory=Settings)
    failbacks: Mapping[HostKey, FailbackPolicy] = msgspec.field(default_factory=dict)
    groups: tuple[SyncGroupConfig, ...] = ()
    isolations: tuple[Isolation, ...] = ()


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One fault from ``at_ns`` on for ``span_ns``; ``Fault`` describes the meaning of ``amount``."""

    at_ns: int
    fault: Fault
    node: str = ""
    other: str = ""
    span_ns: int = 0
    amount: float = 0.0
    link: str = ""

    @property
    def until_ns(self) -> int:
        """The end of the incident."""
        return self.at_ns + self.span_ns


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Machines that start one after the other, ``apart_ns`` apart, and incidents; no fault follows the last one.

    All chance comes from ``seed``. Promises for a network without faults are judged after the last incident, the other
    ones throughout.
    """

    seed: int
    members: tuple[Member, ...]
    incidents: tuple[Incident, ...]
    until_ns: int
    apart_ns: int = 0
    delay_ns: int = DEFAULT_DELAY_NS

    @property
    def calm_from_ns(self) -> int:
        """The end of the last incident, or of the start of the machines."""
        started_ns = self.apart_ns * len(self.members)
        return max((each.until_ns for each in self.incidents), default=started_ns)
