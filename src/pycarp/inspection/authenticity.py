"""Verifies digests with what the user knows, and says why one does not verify; work is bounded also for a flood."""

from collections import OrderedDict
from dataclasses import dataclass, field

from pycarp.auth.diagnosis import Diagnosis, DiagnosisKind, diagnose
from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire.advertisement import Advertisement

_LAYOUTS = (DigestLayout.ORIGINAL, DigestLayout.WITHOUT_LINK_LOCAL)
_TRIES = 3
"""So many advertisements of a sender are diagnosed before "unknown" is repeated."""

_MOST_SENDERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSecret:
    """What the hosts of a vhid share, as far as the user knows it; ``lladdr`` only where OpenBSD signs one."""

    passphrase: Passphrase
    addresses: tuple[Address, ...]
    lladdr: MacAddress | None = None


@dataclass(slots=True)
class _Suspect:
    tries: int = 0
    diagnosis: Diagnosis | None = None


@dataclass(slots=True)
class Authenticity:
    """Judges the digests of a capture; remembers a sender's diagnosis, for its next digest will be wrong likewise."""

    secret: SharedSecret
    _signers: dict[int, Signer] = field(default_factory=dict)
    _suspects: OrderedDict[tuple[int, Address], _Suspect] = field(default_factory=OrderedDict)

    def verifies(self, advertisement: Advertisement) -> bool:
        """Say whether the digest is right, with or without link-local addresses."""
        signer = self._signers.get(advertisement.vhid)
        if signer is None:
            signer = self._signers[advertisement.vhid] = Signer(
                passphrase=self.secret.passphrase,
                vhid=advertisement.vhid,
                addresses=self.secret.addresses,
                layouts=_LAYOUTS,
                lladdr=self.secret.lladdr,
            )
        return signer.verify(advertisement.counter, advertisement.digest)

    def diagnosis(self, advertisement: Advertisement, source: Address, source_mac: MacAddress | None) -> Diagnosis:
        """Return why a digest of ``source`` does not verify."""
        suspect = self._suspects.setdefault((advertisement.vhid, source), _Suspect())
        self._suspects.move_to_end((advertisement.vhid, source))
        if len(self._suspects) > _MOST_SENDERS:
            self._suspects.popitem(last=False)
        if suspect.diagnosis is not None and suspect.tries >= _TRIES:
            return suspect.diagnosis
        found = diagnose(
            advertisement,
            passphrase=self.secret.passphrase,
            addresses=self.secret.addresses,
            extra=(source,),
            lladdr=self.secret.lladdr,
            lladdrs=(source_mac,) if source_mac else (),
        )
        suspect.tries = suspect.tries + 1 if found.kind is DiagnosisKind.UNKNOWN else 0
        suspect.diagnosis = found
        return found
