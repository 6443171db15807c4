"""What can be told about a peer that does not fit: another passphrase, other addresses, another way to speak."""

from pycarp.core.events import Mismatch
from pycarp.core.host_config import HostConfig
from pycarp.core.machine import Machine
from pycarp.core.statistics import DropReason
from pycarp.dialects.base import Claim, Verdict
from pycarp.vocabulary import Family
from pycarp.wire import advertisement as wire


def find_out(_config: HostConfig, _advert: wire.Advertisement) -> tuple[DropReason, str]:
    """Return why an advertisement for our vhid is not authentic, and that in words."""
    return DropReason.NOT_AUTHENTIC, DropReason.NOT_AUTHENTIC.words


def mismatches(machine: Machine, theirs: Claim, checksum: wire.ChecksumForm, family: Family) -> list[Mismatch]:
    """Return what does not fit in an authentic advertisement. Source: the pairs of ``dialects.md``; carp.md 5.1."""
    found: list[Mismatch] = []
    config, dialect = machine.config, machine.config.dialect
    # Every packet comes this way: the settings are compared first, which rarely leaves anything to compute.
    is_equal = (theirs.advbase, theirs.advskew) == (config.advbase, config.advskew)
    if is_equal and dialect.compare(machine.claim, theirs) is Verdict.TIE:
        found.append(Mismatch.EQUAL_CLAIM)
    if family is Family.IPV6 and checksum is not dialect.v6_checksum:
        found.append(Mismatch.CHECKSUM_FORM)
    if theirs.demote and not dialect.relieves_demoted:
        found.append(Mismatch.DEMOTE_OCTET)
    return found
