"""From a passphrase to the 20-octet HMAC key."""

from pycarp.errors import ConfigError

KEY_LENGTH = 20
PASSPHRASE_MAX = 19
"""The octets that every tool can set: their buffers of 20 hold a terminator. Source: carp.md 3.5."""


class Passphrase:
    """A shared secret of at most 19 octets; its ``repr`` and ``str`` never show it.

    Text is encoded as UTF-8. Raises ConfigError when it is longer than 19 octets: BSD tools would cut it silently and
    ucarp would refuse it, so the hosts would not accept each other's advertisements.
    """

    __slots__ = ("_octets",)

    def __init__(self, secret: str | bytes) -> None:
        octets = secret.encode() if isinstance(secret, str) else secret
        if len(octets) > PASSPHRASE_MAX:
            raise ConfigError(
                f"passphrase of {len(octets)} octets is too long: CARP hosts share at most {PASSPHRASE_MAX}"
            )
        if b"\x00" in octets:
            raise ConfigError("passphrase contains a zero octet, where every other system would end it")
        self._octets = octets

    @classmethod
    def from_key(cls, key: bytes) -> "Passphrase":
        """Return the secret of a raw key of at most 20 octets, as netlink can set it; ConfigError if longer."""
        if len(key) > KEY_LENGTH:
            raise ConfigError(f"key of {len(key)} octets is too long: the field has {KEY_LENGTH}")
        made = cls(b"")
        made._octets = key.rstrip(b"\x00")
        return made

    @property
    def key(self) -> bytes:
        """The 20-octet key: the passphrase, then zeros."""
        return self._octets.ljust(KEY_LENGTH, b"\x00")

    def __len__(self) -> int:
        return len(self._octets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passphrase) and self._octets == other._octets

    def __hash__(self) -> int:
        return hash(self._octets)

    def __repr__(self) -> str:
        return "Passphrase(***)"
