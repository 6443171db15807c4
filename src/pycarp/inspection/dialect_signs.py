"""Which dialects a CARP host may speak, by what its advertisements look like from outside."""

from collections.abc import Iterable, Sequence

from pycarp import dialects
from pycarp.auth.counter import CounterMode
from pycarp.dialects.dialect import Dialect, claim_of
from pycarp.inspection.explanation import Explanation, Remark
from pycarp.vocabulary import Family
from pycarp.wire.advertisement import Advertisement, ChecksumForm

_PSEUDO = Remark.CHECKSUM_PSEUDO


def fitting(explanation: Explanation, candidates: Iterable[Dialect] = dialects.ALL) -> tuple[Dialect, ...]:
    """Return the candidates that may send a packet; all of them for what is no advertisement of CARP."""
    advertisement = explanation.advertisement
    if advertisement is None:
        return tuple(candidates)
    remarks = {each.remark for each in (*explanation.problems, *explanation.notes)}
    return tuple(
        each
        for each in candidates
        if _fits_fields(each, advertisement) and _fits_packet(each, advertisement, explanation, remarks)
    )


def fitting_counters(counters: Sequence[int], candidates: Iterable[Dialect]) -> tuple[Dialect, ...]:
    """Return the candidates whose counters go so: only a constant one, or only a changing one, repeats itself."""
    if len(counters) < 2:
        return tuple(candidates)
    is_constant = len(set(counters)) == 1
    return tuple(each for each in candidates if (each.counter is CounterMode.CONSTANT) is is_constant)


def _fits_fields(dialect: Dialect, advertisement: Advertisement) -> bool:
    claim = claim_of(advertisement.advbase, advertisement.advskew, advertisement.demote)
    if claim.is_bow_out or claim.is_last:
        return True
    limits = dialect.limits
    can_demote = dialect.claim(1, 0, 1).demote > 0
    return (
        advertisement.advbase >= limits.advbase_min
        and advertisement.advskew <= limits.advskew_max
        and (can_demote or not advertisement.demote)
    )


def _fits_packet(
    dialect: Dialect, advertisement: Advertisement, explanation: Explanation, remarks: set[Remark]
) -> bool:
    mac = explanation.source_mac
    is_multicast = explanation.destination is None or explanation.destination.is_multicast
    if mac is not None and is_multicast and mac != dialect.source_mac(advertisement.vhid):
        return False
    if explanation.family is Family.IPV6:
        # The traffic class is zero with some systems whatever their TOS is.
        return dialect.v6_checksum is (ChecksumForm.PSEUDO if _PSEUDO in remarks else ChecksumForm.PLAIN)
    # An identification of 0 is lawful for all, because none of these packets may be fragmented (RFC 6864).
    return explanation.tos == dialect.tos and (
        explanation.identification == 0 or dialect.identification in (None, explanation.identification)
    )
