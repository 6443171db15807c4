"""The election of a BSD kernel, written from its description and not with pycarp's engine: it judges that engine.

Pure: times are nanoseconds that the caller passes in, what is to be sent leaves through ``Wire``. One virtual host,
whose link is always up. Source: carp.md sections 5 and 6; 13 to 15 where they disagree.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Family

BOW_OUT = 255
_DEMOTED_ADVSKEW = 240
_DEMOTE_MAX = 255
_DEAD_RATIO = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """How the kernels differ; all of them answer ARP for the shared address with the virtual MAC address.

    ``compares_demotion``: the demotion is an octet of its own, and the smaller one wins. ``adds_demotion``: it is added
    to advskew; with neither of the two any demotion means an advskew of 240. ``announces_from_virtual``: gratuitous ARP
    leaves from the virtual MAC address, ``answers_from_virtual``: ARP replies do; else the frames leave from the real
    one, as data always does.
    """

    name: str
    bows_out: bool
    compares_demotion: bool = False
    adds_demotion: bool = False
    announces_from_virtual: bool = False
    answers_from_virtual: bool = True
    announces_twice: bool = False


NETBSD = Kernel(name="netbsd", bows_out=True)  # carp.md 13
FREEBSD = Kernel(name="freebsd", bows_out=False, adds_demotion=True, answers_from_virtual=False)  # carp.md 14
OPENBSD = Kernel(  # carp.md 15
    name="openbsd", bows_out=True, compares_demotion=True, announces_from_virtual=True, announces_twice=True
)
KERNELS = {each.name: each for each in (NETBSD, FREEBSD, OPENBSD)}


@dataclass(frozen=True, slots=True)
class Claim:
    """What an advertisement says: seconds, 1/256 s, and OpenBSD's octet."""

    advbase: int
    advskew: int
    demote: int = 0

    @property
    def interval_ns(self) -> int:
        """The advertisement interval."""
        return self.advbase * NS_PER_S + self.advskew * NS_PER_SKEW


class Wire(Protocol):
    """What the election asks for."""

    def advertise(self, claim: Claim) -> None:
        """Send one advertisement a family."""

    def announce(self) -> None:
        """Send a gratuitous ARP request for each IPv4 address."""


class Election:
    """A virtual host that starts as BACKUP; call ``pass_time`` when ``due_at_ns`` has come."""

    def __init__(
        self, kernel: Kernel, wire: Wire, *, families: Iterable[Family], advbase: int, advskew: int, now_ns: int
    ) -> None:
        self.is_master = False
        self.is_up = True
        self.preempts = False
        self._kernel = kernel
        self._wire = wire
        self._families = tuple(families)
        self._advbase = advbase
        self._advskew = advskew
        self._demotion = 0
        self._advertise_at_ns = 0
        self._announce_again_in = 0
        self._silent_at_ns: dict[Family, int] = {}
        self._become_backup(now_ns)

    @property
    def claim(self) -> Claim:
        """What is advertised, and compared with."""
        kernel, advskew = self._kernel, self._advskew
        if kernel.compares_demotion:
            return Claim(self._advbase, advskew, min(self._demotion, _DEMOTE_MAX))
        if kernel.adds_demotion:
            return Claim(self._advbase, min(max(advskew + self._demotion, 0), _DEMOTED_ADVSKEW))
        return Claim(self._advbase, max(advskew, _DEMOTED_ADVSKEW) if self._demotion else advskew)

    @property
    def due_at_ns(self) -> int | None:
        """When time matters next."""
        if not self.is_up:
            return None
        return self._advertise_at_ns if self.is_master else min(self._silent_at_ns.values())

    def hear(self, theirs: Claim, family: Family, now_ns: int) -> None:
        """Take an authentic advertisement of a peer."""
        if not self.is_up:
            return
        if self.is_master:
            if self._yields_to(theirs):
                self._become_backup(now_ns)
        elif self._relieves(theirs):
            self._become_master(now_ns)
        else:
            self._silent_at_ns[family] = now_ns + self._master_down_ns

    def pass_time(self, now_ns: int) -> None:
        """Do what is due."""
        due_at_ns = self.due_at_ns
        if due_at_ns is None or now_ns < due_at_ns:
            return
        if self.is_master:
            self._advertise(now_ns)
            self._announce_again_in -= 1
            if self._announce_again_in == 0:
                self._wire.announce()
        else:
            self._become_master(now_ns)

    def set_up(self, now_ns: int) -> None:
        """Take part again: ``ifconfig carp0 up``."""
        if not self.is_up:
            self.is_up = True
            self._become_backup(now_ns)

    def set_down(self) -> None:
        """Leave: ``ifconfig carp0 down``, or on FreeBSD the removal of the last address."""
        if self.is_master and self._kernel.bows_out:
            self._wire.advertise(Claim(BOW_OUT, BOW_OUT, self.claim.demote))
        self.is_up = self.is_master = False

    def demote(self, demotion: int, now_ns: int) -> None:
        """Set the demotion; a greater one is advertised at once, on FreeBSD any other."""
        is_told = demotion > self._demotion or self._kernel.adds_demotion
        self._demotion = demotion
        if self.is_master and is_told:
            self._advertise(now_ns)

    @property
    def _master_down_ns(self) -> int:
        return _DEAD_RATIO * self._advbase * NS_PER_S + self._advskew * NS_PER_SKEW

    def _yields_to(self, theirs: Claim) -> bool:
        """Equal means yield; with an octet, the smaller one comes first."""
        ours = self.claim
        is_slower = ours.interval_ns >= theirs.interval_ns
        if not self._kernel.compares_demotion:
            return is_slower
        return theirs.demote < ours.demote or (is_slower and theirs.demote == ours.demote)

    def _relieves(self, theirs: Claim) -> bool:
        """Preemption, a more demoted MASTER, and one that announces more than the master-down time."""
        ours = self.claim
        by_octet = self._kernel.compares_demotion
        if self.preempts and ours.interval_ns < theirs.interval_ns and not (by_octet and theirs.demote < ours.demote):
            return True
        if by_octet and theirs.demote > ours.demote:
            return True
        return self._master_down_ns < theirs.interval_ns and not (by_octet and self._advbase == 0)

    def _become_master(self, now_ns: int) -> None:
        self.is_master = True
        self._announce_again_in = 2 if self._kernel.announces_twice else 0
        self._advertise(now_ns)
        self._wire.announce()

    def _become_backup(self, now_ns: int) -> None:
        self.is_master = False
        self._silent_at_ns = dict.fromkeys(self._families, now_ns + self._master_down_ns)

    def _advertise(self, now_ns: int) -> None:
        self._wire.advertise(self.claim)
        self._advertise_at_ns = now_ns + self.claim.interval_ns
