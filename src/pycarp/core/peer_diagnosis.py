"""Diagnoses peers with a conflicting configuration: another passphrase, other addresses, another dialect."""

from collections.abc import Sequence
from typing import Protocol

from pycarp.auth.diagnosis import DiagnosisKind, counterfeit, diagnose
from pycarp.core.events import Mismatch
from pycarp.core.host.context import Context
from pycarp.core.host_config import HostConfig
from pycarp.core.statistics import DropReason
from pycarp.dialects.dialect import Claim, Verdict
from pycarp.vocabulary import Address, Datagram, Family
from pycarp.wire import advertisement as wire


class DiagnosePeer(Protocol):
    """The function by which an engine explains an advertisement that is not authentic; usually ``diagnose_peer``."""

    def __call__(
        self, config: HostConfig, advert: wire.Advertisement, *, seen_elsewhere: Sequence[Address]
    ) -> tuple[DropReason, str]:
        """Return the reason, and an explanation for people."""


def diagnose_peer(
    config: HostConfig, advert: wire.Advertisement, *, seen_elsewhere: Sequence[Address]
) -> tuple[DropReason, str]:
    """Return why an advertisement for our vhid is not authentic, and an explanation for people.

    ``seen_elsewhere`` are addresses that the sender may share as well. Takes up to 1.5 ms, so call it rarely.
    """
    diagnosis = diagnose(
        advert,
        passphrase=config.passphrase,
        addresses=[each.ip for each in config.addresses],
        extra=seen_elsewhere,
        lladdr=config.lladdr if config.dialect.signs_lladdr else None,
    )
    is_list = diagnosis.kind is DiagnosisKind.ADDRESS_LIST
    return DropReason.OTHER_ADDRESSES if is_list else DropReason.NOT_AUTHENTIC, diagnosis.words


def counterfeit_of(config: HostConfig, counter: int, words: str, *, seen_elsewhere: Sequence[Address]) -> bytes | None:
    """Return a digest that ``diagnose_peer`` explains in these words; None if none exists. Takes as long."""
    return counterfeit(
        words,
        counter=counter,
        vhid=config.vhid,
        passphrase=config.passphrase,
        addresses=[each.ip for each in config.addresses],
        extra=seen_elsewhere,
        lladdr=config.lladdr if config.dialect.signs_lladdr else None,
    )


def mismatches(
    ctx: Context, theirs: Claim, checksum: wire.ChecksumForm, datagram: Datagram, *, is_own_source: bool
) -> list[Mismatch]:
    """Return the conflicts that an authentic advertisement shows. Source: dialects.md, the pairs; carp.md 4.4, 5.1."""
    if is_own_source:
        return [Mismatch.OWN_ADDRESS]
    found: list[Mismatch] = []
    config, dialect = ctx.config, ctx.config.dialect
    # This runs for every packet: comparing the settings first rarely leaves anything to compute.
    is_equal = (theirs.advbase, theirs.advskew) == (config.advbase, config.advskew)
    if is_equal and dialect.compare(ctx.claim, theirs) is Verdict.TIE:
        found.append(Mismatch.EQUAL_CLAIM)
    if datagram.family is Family.IPV6 and checksum is not dialect.v6_checksum:
        found.append(Mismatch.CHECKSUM_FORM)
    if theirs.demote and not dialect.preempts_demoted and not (theirs.is_bow_out or theirs.is_last):
        found.append(Mismatch.DEMOTE_OCTET)
    return found
