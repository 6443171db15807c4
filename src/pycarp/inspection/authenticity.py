"""Verifies digests with the settings that the user names, and diagnoses wrong ones; the work is bounded in a flood."""

from collections import OrderedDict
from dataclasses import dataclass, field

from pycarp.auth.diagnosis import Diagnosis, DiagnosisKind, diagnose
from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire.advertisement import Advertisement

_LAYOUTS = (DigestLayout.ORIGINAL, DigestLayout.WITHOUT_LINK_LOCAL)
_TRIES = 3
"""How many advertisements of a sender are diagnosed; later ones count as unknown."""

_MOST_SENDERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSecret:
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
    """Verifies the digests of a capture; keeps the diagnosis of a sender, whose next digest has the same fault."""

    secret: SharedSecret
    _signers: dict[int, Signer] = field(default_factory=dict)
    _suspects: OrderedDict[tuple[int, Address], _Suspect] = field(default_factory=OrderedDict)

    def verifies(self, advertisement: Advertisement) -> bool:
        """Return whether the digest verifies, with or without link-local addresses."""
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
        """Return the diagnosis of a wrong digest of ``source``."""
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
