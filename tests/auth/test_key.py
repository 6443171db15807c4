"""Passphrases: how long they may be, what key they give, and that they stay secret."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import KEY_LENGTH, Passphrase
from pycarp.errors import ConfigError

SECRET = "s3cr3t-w0rd"

SECRETS = st.binary(max_size=19).filter(lambda octets: b"\x00" not in octets)


@given(SECRETS)
def test_the_key_is_the_passphrase_and_then_zeros(secret: bytes) -> None:
    assert Passphrase(secret).key == secret + bytes(KEY_LENGTH - len(secret))


def test_text_is_taken_as_utf_8() -> None:
    assert Passphrase("geheimä") == Passphrase("geheimä".encode())


def test_19_octets_are_allowed() -> None:
    """Source: carp.md 3.5."""
    assert Passphrase("x" * 19).key == b"x" * 19 + b"\x00"


@pytest.mark.parametrize("secret", ["x" * 20, "ä" * 10, b"x" * 20, "x" * 1000])
def test_more_than_19_octets_are_refused(secret: str | bytes) -> None:
    with pytest.raises(ConfigError, match="too long"):
        Passphrase(secret)


@pytest.mark.parametrize("secret", [b"\x00", b"ab\x00cd", b"abcd\x00"])
def test_a_zero_octet_is_refused(secret: bytes) -> None:
    with pytest.raises(ConfigError, match="zero octet"):
        Passphrase(secret)


def test_an_empty_passphrase_is_a_key_of_zeros() -> None:
    """Source: vector bsd-6-emptykey."""
    assert Passphrase("").key == bytes(20)


@pytest.mark.parametrize("key", [b"", b"k" * 20, b"a\x00b", bytes(20)])
def test_a_raw_key_is_padded_but_otherwise_kept(key: bytes) -> None:
    """Source: carp.md 3.5, FreeBSD's netlink can set all 20 octets."""
    assert Passphrase.from_key(key).key == key.ljust(20, b"\x00")


def test_a_raw_key_of_more_than_20_octets_is_refused() -> None:
    with pytest.raises(ConfigError, match="key of 21 octets is too long"):
        Passphrase.from_key(b"k" * 21)


@given(SECRETS)
def test_a_passphrase_equals_the_raw_key_that_it_gives(secret: bytes) -> None:
    assert Passphrase(secret) == Passphrase.from_key(Passphrase(secret).key)


@given(SECRETS, SECRETS)
def test_passphrases_are_equal_exactly_when_their_keys_are(one: bytes, other: bytes) -> None:
    assert (Passphrase(one) == Passphrase(other)) == (Passphrase(one).key == Passphrase(other).key)


def test_equal_passphrases_hash_alike() -> None:
    assert len({Passphrase(SECRET), Passphrase(SECRET.encode())}) == 1


def test_a_passphrase_is_not_equal_to_its_text() -> None:
    assert Passphrase(SECRET) != SECRET


@pytest.mark.parametrize(
    "show", [repr, str, format, lambda secret: f"{secret!r} {secret}", lambda secret: f"{[secret]}"]
)
def test_no_way_of_printing_shows_the_secret(show: Callable[[Passphrase], str]) -> None:
    assert SECRET not in show(Passphrase(SECRET))


@pytest.mark.parametrize("secret", [SECRET * 2, SECRET + "\x00"])
def test_no_refusal_shows_the_secret(secret: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Passphrase(secret)

    assert SECRET not in str(refusal.value)
    assert SECRET not in repr(refusal.value)
