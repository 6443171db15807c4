"""Forged advertisements: as a peer of a host would send them, but for the fields that are given."""

from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address, ip_interface
from typing import Any

import msgspec

from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.core.host_config import HostConfig
from pycarp.errors import ConfigError
from pycarp.sim.scenario.scenario_line import WordError
from pycarp.vocabulary import CARP_GROUPS, CARP_TTL, Address, Datagram, MacAddress, family_of
from pycarp.wire import advertisement as wire

SOURCE = ip_address("192.0.2.99")
"""The source of a forged advertisement that names no other."""

COUNTER = 7

_CHECKSUM = slice(6, 8)
_WRONG = "wrong"


def _address(text: str) -> Address:
    return ip_address(text)


def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(ip_interface(each).ip for each in text.split(","))


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text, 0)
        if not 0 <= value <= most:
            raise WordError(f"a number from 0 to {most} is needed")
        return value

    return number


def _own_or_address(text: str) -> Address | str:
    return text if text == "own" else ip_address(text)


def _checksum(text: str) -> wire.ChecksumForm | str:
    return text if text == _WRONG else wire.ChecksumForm(text)


FIELDS: Mapping[str, Callable[[str], object]] = {
    "vhid": _up_to(255),
    "advbase": _up_to(255),
    "advskew": _up_to(255),
    "demote": _up_to(255),
    "counter": _up_to((1 << 64) - 1),
    "version": _up_to(15),
    "type": _up_to(15),
    "authlen": _up_to(255),
    "ttl": _up_to(255),
    "source": _address,
    "destination": _own_or_address,
    "password": str,
    "addresses": _addresses,
    "layout": DigestLayout,
    "lladdr": MacAddress.parse,
    "checksum": _checksum,
    "length": _up_to(65_535),
    "raw": bytes.fromhex,
}
"""What can be forged. destination may be ``own``, the first address of the link; checksum ``plain``, ``pseudo`` or
``wrong``; layout ``orig`` or ``nov6ll``; length cuts the packet or fills it up with zeros; raw is all of it, in hex."""


class Forgery(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a forged advertisement; ``own`` are the addresses of the link at which it arrives."""

    link: str
    own: tuple[Address, ...]
    fields: Mapping[str, Any]

    def datagram(self, *, like: HostConfig | None) -> Datagram:
        """Return the datagram; it has the vhid, the password and the addresses of ``like`` if no others are given."""
        source: Address = self.fields.get("source", SOURCE)
        family = family_of(source)
        destination: Address | str = self.fields.get("destination", CARP_GROUPS[family])
        if isinstance(destination, str):
            own = [each for each in self.own if family_of(each) is family]
            if not own:
                raise ConfigError(f"destination=own: {self.link} has no IPv{family} address")
            destination = own[0]
        payload = self.fields.get("raw")
        if payload is None:
            payload = self._payload(like, source, destination)
        length = self.fields.get("length", len(payload))
        return Datagram(
            link=self.link,
            family=family,
            source=source,
            destination=destination,
            ttl=self.fields.get("ttl", CARP_TTL),
            payload=payload[:length].ljust(length, b"\x00"),
        )

    def _payload(self, like: HostConfig | None, source: Address, destination: Address) -> bytes:
        form = self.fields.get("checksum", wire.ChecksumForm.PLAIN)
        summed = b""
        if (
            form is wire.ChecksumForm.PSEUDO
            and isinstance(source, IPv6Address)
            and isinstance(destination, IPv6Address)
        ):
            summed = wire.pseudo_header_of(source, destination)
        octets = wire.encode(self._advertisement(like), pseudo_header=summed)
        if form == _WRONG:
            octets = octets[: _CHECKSUM.start] + bytes(b ^ 0xFF for b in octets[_CHECKSUM]) + octets[_CHECKSUM.stop :]
        return octets

    def _advertisement(self, like: HostConfig | None) -> wire.Advertisement:
        vhid = self.fields.get("vhid", like.vhid if like else 1)
        counter = self.fields.get("counter", COUNTER)
        return wire.Advertisement(
            vhid=vhid,
            advbase=self.fields.get("advbase", 1),
            advskew=self.fields.get("advskew", 0),
            demote=self.fields.get("demote", 0),
            counter=counter,
            digest=self._signer(like, vhid).sign(counter),
            version=self.fields.get("version", wire.VERSION),
            type=self.fields.get("type", wire.TYPE_ADVERTISEMENT),
            authlen=self.fields.get("authlen", wire.AUTHLEN),
        )

    def _signer(self, like: HostConfig | None, vhid: int) -> Signer:
        known = like.passphrase if like else Passphrase(b"")
        passphrase = Passphrase(self.fields["password"]) if "password" in self.fields else known
        addresses = self.fields.get("addresses", tuple(each.ip for each in like.addresses) if like else ())
        layouts = like.dialect.layouts if like else (DigestLayout.ORIGINAL,)
        return Signer(
            passphrase=passphrase,
            vhid=vhid,
            addresses=addresses,
            layouts=(self.fields.get("layout", layouts[0]),),
            lladdr=self.fields.get("lladdr"),
        )
