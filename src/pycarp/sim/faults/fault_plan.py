"""What is simulated: who takes part, and what goes wrong when. A plan is data: the same plan is the same history."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.sim.fabric import DEFAULT_DELAY_NS
from pycarp.vocabulary import Interface

THE_MASTER = "*"
"""In the place of a node: whoever is MASTER at that moment, of the first virtual host if there are several."""


class Fault(StrEnum):
    """What can go wrong. Unless it says otherwise it lasts for a span, and then it is over."""

    # The segment
    LOSS = "loss"
    """Packets are lost, ``amount`` of 1."""

    DELAY = "delay"
    """Packets take up to ``amount`` seconds longer, each its own time, so that they overtake each other."""

    DUPLICATION = "duplication"
    """Packets arrive twice, ``amount`` of 1."""

    ONE_WAY = "one-way"
    """What ``node`` sends does not reach ``other``; to nobody if there is no other."""

    PARTITION = "partition"
    """``node`` is cut off from all others, both ways; or from ``other`` alone."""

    LOOP = "loop"
    """``node`` hears itself."""

    CLOG = "clog"
    """Packets are kept, and come at the end in another order."""

    LINK_DOWN = "link-down"
    """``node`` sees its link go down."""

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
    """Somebody removes the addresses of ``node``; once."""

    # Processes and machines
    STOP = "stop"
    """The process of ``node`` stands still; its guardian does not."""

    CRASH = "crash"
    """The process of ``node`` dies, its guardian lives; it starts anew at the end of the span."""

    CRASH_ALL = "crash-all"
    """The process and its guardian die; the kernel lives on."""

    POWER = "power"
    """The machine is switched off; it starts anew at the end of the span."""

    PAUSE = "pause"
    """The machine stands still, its clock included, as a virtual one that is moved."""

    # People
    REPLAY = "replay"
    """Somebody sends to ``node`` again what was sent before, ``amount`` packets a second."""

    FORGERY = "forgery"
    """Somebody sends to ``node`` what was sent before with changes in it, ``amount`` packets a second."""

    ADMIN_DOWN = "admin-down"
    """The virtual hosts of ``node`` are set down, and up again."""

    DEMOTION = "demotion"
    """``node`` is demoted by ``amount``, and restored."""

    FORCE = "force"
    """``node`` is forced to be MASTER; once."""

    HAND_OVER = "hand-over"
    """``node`` is asked to hand its addresses over; at the end of the span that is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A machine of the plan. ``own`` are its own addresses by link; a link is a segment of the same name."""

    name: str
    hosts: tuple[HostConfig, ...]
    own: Mapping[str, tuple[Interface, ...]]
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that goes wrong, from ``at_ns`` on for ``span_ns``; what ``amount`` means says the fault."""

    at_ns: int
    fault: Fault
    node: str = ""
    other: str = ""
    span_ns: int = 0
    amount: float = 0.0

    @property
    def until_ns(self) -> int:
        """When it is over."""
        return self.at_ns + self.span_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Machines that start one after the other, ``apart_ns`` apart; incidents; and calm from the last one's end on.

    ``seed`` is where all chance comes from. What is promised without faults is judged from the last incident's end
    on, what is promised always, always.
    """

    seed: int
    members: tuple[Member, ...]
    incidents: tuple[Incident, ...]
    until_ns: int
    apart_ns: int = 0
    delay_ns: int = DEFAULT_DELAY_NS

    @property
    def calm_from_ns(self) -> int:
        """When the last incident is over."""
        started_ns = self.apart_ns * len(self.members)
        return max((each.until_ns for each in self.incidents), default=started_ns)
