"""What can be told about a peer that does not fit: another passphrase, other addresses, another way to speak."""

from collections.abc import Iterator

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


def mismatches(machine: Machine, theirs: Claim, checksum: wire.ChecksumForm, family: Family) -> Iterator[Mismatch]:
    """Yield what does not fit in an authentic advertisement. Source: the pairs of ``dialects.md``; carp.md 5.1."""
    config, dialect = machine.config, machine.config.dialect
    undemoted = dialect.claim(config.advbase, config.advskew, 0)
    if machine.claim == undemoted and dialect.compare(undemoted, theirs) is Verdict.TIE:
        yield Mismatch.EQUAL_CLAIM
    if family is Family.IPV6 and checksum is not dialect.v6_checksum:
        yield Mismatch.CHECKSUM_FORM
    if theirs.demote and not dialect.relieves_demoted:
        yield Mismatch.DEMOTE_OCTET
