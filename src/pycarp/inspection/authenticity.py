"""Verifies digests with the settings that the user names, and diagnoses wrong ones; the work is bounded in a flood."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from pycarp.auth.diagnosis import UNKNOWN_WORDS, Diagnosis, DiagnosisKind, diagnose
from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire.advertisement import Advertisement

_LAYOUTS = (DigestLayout.ORIGINAL, DigestLayout.WITHOUT_LINK_LOCAL)
_TRIES = 3
"""How many advertisements of a sender are diagnosed; later ones count as unknown."""

_MOST_SENDERS = 1024


class SharedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that the hosts of a vhid share, as the user names them; ``lladdr`` only where OpenBSD signs one."""

    passphrase: Passphrase
    addresses: tuple[Address, ...]
    lladdr: MacAddress | None = None


@dataclass(slots=True)
class _Suspect:
    tries: int = 0
    diagnosis: Diagnosis | None = None


@dataclass(slots=True)
class Authenticity:
    """Verifies the digests of a capture; keeps the diagnosis of a sender, whose next digest has the same fault.

    ``secret`` is that of every vhid that is not in ``secrets``; None if those are all that is known.
    """

    secret: SharedSecret | None
    secrets: Mapping[int, Sequence[SharedSecret]] = field(default_factory=dict)
    _signers: dict[int, tuple[Signer, ...]] = field(default_factory=dict)
    _suspects: OrderedDict[tuple[int, Address], _Suspect] = field(default_factory=OrderedDict)

    def knows(self, vhid: int) -> bool:
        """Return whether there is something to verify a vhid with."""
        return bool(self._secrets_of(vhid))

    def verifies(self, advertisement: Advertisement) -> bool:
        """Return whether the digest verifies, with or without link-local addresses; False for an unknown vhid."""
        signers = self._signers.get(advertisement.vhid)
        if signers is None:
            signers = self._signers[advertisement.vhid] = tuple(
                Signer(
                    passphrase=secret.passphrase,
                    vhid=advertisement.vhid,
                    addresses=secret.addresses,
                    layouts=_LAYOUTS,
                    lladdr=secret.lladdr,
                )
                for secret in self._secrets_of(advertisement.vhid)
            )
        return any(each.verify(advertisement.counter, advertisement.digest) for each in signers)

    def diagnosis(self, advertisement: Advertisement, source: Address, source_mac: MacAddress | None) -> Diagnosis:
        """Return the diagnosis of a wrong digest of ``source``; the vhid is one that is known."""
        suspect = self._suspects.setdefault((advertisement.vhid, source), _Suspect())
        self._suspects.move_to_end((advertisement.vhid, source))
        if len(self._suspects) > _MOST_SENDERS:
            self._suspects.popitem(last=False)
        if suspect.diagnosis is not None and suspect.tries >= _TRIES:
            return suspect.diagnosis
        found = self._diagnosis(advertisement, source, source_mac)
        suspect.tries = suspect.tries + 1 if found.kind is DiagnosisKind.UNKNOWN else 0
        suspect.diagnosis = found
        return found

    def _diagnosis(self, advertisement: Advertisement, source: Address, source_mac: MacAddress | None) -> Diagnosis:
        """Return the first diagnosis that explains something, else that nothing does."""
        found = Diagnosis(kind=DiagnosisKind.UNKNOWN, words=UNKNOWN_WORDS)
        for secret in self._secrets_of(advertisement.vhid):
            found = diagnose(
                advertisement,
                passphrase=secret.passphrase,
                addresses=secret.addresses,
                extra=(source,),
                lladdr=secret.lladdr,
                lladdrs=(source_mac,) if source_mac else (),
            )
            if found.kind is not DiagnosisKind.UNKNOWN:
                break
        return found

    def _secrets_of(self, vhid: int) -> Sequence[SharedSecret]:
        return self.secrets.get(vhid) or ((self.secret,) if self.secret else ())
