"""The configuration of a virtual host: what it accepts, and the errors for what it refuses."""

from dataclasses import FrozenInstanceError
from ipaddress import IPv6Address, IPv6Interface, ip_address, ip_interface

import pytest

from pycarp.auth.key import Passphrase
from pycarp.core.host_config import HostConfig, interval_warning
from pycarp.dialects import ALL, FREEBSD, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.errors import ConfigError
from pycarp.vocabulary import HostKey
from tests.support.hosts import config

SECRET = "s3cr3t"


def on_link(name: str) -> HostConfig:
    return HostConfig(interface=name, vhid=1, passphrase=SECRET, addresses=("192.168.1.50/24",))


@pytest.mark.parametrize("vhid", [1, 255])
def test_a_vhid_is_1_to_255(vhid: int) -> None:
    assert config(vhid=vhid).vhid == vhid


@pytest.mark.parametrize("vhid", [-1, 0, 256])
def test_another_vhid_is_refused(vhid: int) -> None:
    with pytest.raises(ConfigError, match=f"^vhid {vhid} is outside 1-255$"):
        config(vhid=vhid)


@pytest.mark.parametrize("advbase", [0, 1, 255])
def test_an_advbase_is_0_to_255(advbase: int) -> None:
    assert config(advbase=advbase, advskew=1).advbase == advbase


@pytest.mark.parametrize("advbase", [-1, 256])
def test_another_advbase_is_refused(advbase: int) -> None:
    with pytest.raises(ConfigError, match=f"^advbase {advbase} is outside 0-255$"):
        config(advbase=advbase)


def test_advbase_0_is_refused_where_it_makes_hosts_flap() -> None:
    """Source: carp.md 5.2."""
    with pytest.raises(ConfigError, match=r"^advbase 0 is outside 1-255$"):
        config(advbase=0, dialect=FREEBSD)


@pytest.mark.parametrize(("dialect", "highest"), [(UNIVERSAL, 254), (FREEBSD, 254), (NETBSD, 254), (UCARP, 255)])
def test_the_highest_advskew_is_the_dialects(dialect: Dialect, highest: int) -> None:
    assert config(advskew=highest, dialect=dialect).advskew == highest
    with pytest.raises(ConfigError, match=f"^advskew {highest + 1} is outside 0-{highest}$"):
        config(advskew=highest + 1, dialect=dialect)


def test_a_negative_advskew_is_refused() -> None:
    with pytest.raises(ConfigError, match="advskew -1"):
        config(advskew=-1)


@pytest.mark.parametrize("name", ["e", "fxp0", "eth0.100", "a" * 15])
def test_a_link_name_has_1_to_15_octets(name: str) -> None:
    assert on_link(name).interface == name


@pytest.mark.parametrize("name", ["", "a" * 16, "ä" * 8, "eth 0", "eth\t0", "eth/0"])
def test_another_link_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not 1-15 octets"):
        on_link(name)


def test_addresses_may_be_text_or_objects() -> None:
    made = HostConfig(
        interface="fxp0", vhid=1, passphrase=SECRET, addresses=("192.168.1.50/24", ip_interface("10.0.0.1/8"))
    )

    assert made.addresses == (ip_interface("192.168.1.50/24"), ip_interface("10.0.0.1/8"))


def test_an_address_without_prefix_stands_for_itself_alone() -> None:
    assert config(addresses=["192.168.1.50"]).addresses == (ip_interface("192.168.1.50/32"),)


def test_addresses_are_kept_in_their_order() -> None:
    texts = ["192.168.1.50/24", "10.0.0.1/8", "172.16.0.1/12"]

    assert [str(each) for each in config(addresses=texts).addresses] == texts


def test_addresses_may_come_from_any_iterable() -> None:
    made = config(addresses=(f"10.0.0.{last}/24" for last in (1, 2)))

    assert len(made.addresses) == len(made.addresses) == 2


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_no_address_is_refused(dialect: Dialect) -> None:
    with pytest.raises(ConfigError, match="at least one shared address"):
        config(addresses=(), dialect=dialect)


def test_ucarp_takes_one_address_only() -> None:
    """Source: carp.md 3.2."""
    with pytest.raises(ConfigError, match="2 shared addresses are too many for dialect ucarp"):
        config(addresses=("10.0.0.1/24", "10.0.0.2/24"), dialect=UCARP)


@pytest.mark.parametrize("address", ["", "carp0", "192.168.1.256", "192.168.1.50/33", "192.168.1.50/"])
def test_text_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=f"shared address '{address}' is not an IP address"):
        config(addresses=(address,))


@pytest.mark.parametrize("address", ["2001:db8::1/64", "fe80::1/64"])
def test_ipv6_is_refused_where_the_dialect_knows_none(address: str) -> None:
    with pytest.raises(ConfigError, match="dialect ucarp knows IPv4 only"):
        config(addresses=(address,), dialect=UCARP)


@pytest.mark.parametrize("address", ["224.0.0.18/32", "0.0.0.0/0", "255.255.255.255/32"])
def test_an_address_that_no_host_can_have_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is not an address that a host can have"):
        config(addresses=(address,))


@pytest.mark.parametrize("dialect", [OPENBSD, UNIVERSAL], ids=lambda dialect: dialect.name)
def test_an_interval_of_nothing_is_refused_with_the_way_out(dialect: Dialect) -> None:
    with pytest.raises(ConfigError, match="0/256 s, and the shortest is 1/256 s; write advskew 13 or more, or advbase"):
        config(advbase=0, advskew=0, dialect=dialect)


@pytest.mark.parametrize(
    ("advbase", "advskew", "is_short"), [(0, 1, True), (0, 12, True), (0, 13, False), (1, 0, False)]
)
def test_a_short_interval_is_warned_of(advbase: int, advskew: int, *, is_short: bool) -> None:
    warning = interval_warning(config(advbase=advbase, advskew=advskew))

    assert bool(warning) == is_short
    if is_short:
        assert f"advskew {advskew} is an interval of {advskew * 1000 / 256:.0f} ms" in warning
        assert warning.endswith("use advskew 13 (50 ms) or more, or advbase 1")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.5/8", "is a loopback address, which stays in its machine; share one"),
        ("127.0.0.1", "is a loopback address"),
        ("::1", "is a loopback address"),
        ("1.2.3.4/0", "has prefix length 0, .*; write the length"),
        ("2001:db8::1/0", "has prefix length 0"),
        ("10.0.0.0/24", "is the address of the network 10.0.0.0/24 itself; .* or write /32"),
        ("10.0.0.4/30", "is the address of the network"),
        ("2001:db8::/64", "is the address of the network 2001:db8::/64 itself; .* or write /128"),
        ("10.0.0.255/24", "is the broadcast address of 10.0.0.0/24; .* or write /32"),
        ("10.0.0.7/30", "is the broadcast address"),
        ("::ffff:a00:1/128", "is an IPv4 address written as IPv6; share 10.0.0.1"),
        ("ff02::1/64", "is not an address that a host can have; share one"),
        ("::/64", "is not an address that a host can have"),
    ],
)
def test_an_address_that_hosts_cannot_share_is_refused_with_the_way_out(address: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"shared address {address}.* {why}"):
        config(addresses=(address,))


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.0/32",
        "10.0.0.255/32",
        "10.0.0.0/31",
        "10.0.0.1/31",
        "10.0.0.255/16",
        "10.0.1.0/16",
        "2001:db8::/128",
        "2001:db8::/127",
        "2001:db8::1/127",
        "2001:db8::ffff:ffff:ffff:ffff/64",
        "fe80::1/64",
    ],
)
def test_an_address_of_a_host_may_be_shared_whatever_it_looks_like(address: str) -> None:
    assert str(config(addresses=(address,)).addresses[0]) == address


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), Passphrase(SECRET)], ids=["str", "bytes", "Passphrase"])
def test_a_passphrase_is_wrapped(secret: Passphrase | str | bytes) -> None:
    made = HostConfig(interface="fxp0", vhid=1, passphrase=secret, addresses=("10.0.0.1/24",))

    assert made.passphrase == made.passphrase == Passphrase(SECRET)


def test_a_passphrase_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="too long"):
        config(passphrase="x" * 20)


def test_the_secret_is_not_shown() -> None:
    made = config(passphrase=SECRET)

    assert SECRET not in repr(made)
    assert SECRET not in str(made)


def test_the_name_defaults_to_the_key() -> None:
    assert config(vhid=7).name == "7@fxp0"


def test_another_name_is_kept() -> None:
    made = HostConfig(interface="fxp0", vhid=1, passphrase=SECRET, addresses=("10.0.0.1/24",), name="carp0")

    assert made.name == "carp0"


def test_the_key_is_link_and_vhid() -> None:
    assert config(vhid=7).key == HostKey("fxp0", 7)


def test_a_config_cannot_be_changed() -> None:
    made = config()

    with pytest.raises(FrozenInstanceError):
        made.advskew = 1  # type: ignore[misc]  # that it is refused is the point


def test_the_address_objects_of_the_config_hold_addresses() -> None:
    assert config().addresses[0].ip == ip_address("192.168.1.50")


def test_a_host_that_is_told_no_more_has_the_defaults_of_every_system() -> None:
    """Source: dialects.md, defaults common to all."""
    made = on_link("fxp0")

    assert (made.advbase, made.advskew, made.preempt, made.dialect) == (1, 0, False, UNIVERSAL)


@pytest.mark.parametrize("value", [1.5, True, "1"], ids=repr)
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"is not a whole number$"):
        HostConfig(
            interface="fxp0",
            vhid=1,
            passphrase=SECRET,
            addresses=("192.168.1.50/24",),
            # The mistake of somebody without a type checker.
            advskew=value,  # type: ignore[arg-type]
        )


def test_a_plain_address_is_one_with_its_whole_length_as_prefix() -> None:
    host = HostConfig(interface="fxp0", vhid=1, passphrase=SECRET, addresses=(ip_address("192.168.1.50"),))

    assert host.addresses == (ip_interface("192.168.1.50/32"),)


def test_the_scope_of_a_link_local_address_is_the_interface_and_not_kept() -> None:
    made = config(addresses=("fe80::50%fxp0/64",), peers=("fe80::5%fxp0",))

    assert (made.addresses, made.peers) == ((IPv6Interface("fe80::50/64"),), (IPv6Address("fe80::5"),))


MISTAKES = [
    ("mac_mode", "foo", "mac_mode 'foo' is none of virtual, interface, auto"),
    ("dialect", "openbsd", "dialect 'openbsd' is not a Dialect"),
    ("peer_dialects", ("openbsd",), "dialect 'openbsd' is not a Dialect"),
    ("groups", "web", r"groups 'web' is not a list; pass \['web'\]"),
    ("groups", (1, 2), "group 1 is not text of one line"),
    ("interface", None, "interface None is not the name of an interface"),
    ("passphrase", None, "passphrase is neither text nor octets"),
    ("preempt", "no", "preempt 'no' is neither True nor False"),
    ("neutral", 1, "neutral 1 is neither True nor False"),
    ("addresses", "192.0.2.1/24", r"addresses '192.0.2.1/24' is not a list; pass \['192.0.2.1/24'\]"),
    ("peers", "192.0.2.9", r"peers '192.0.2.9' is not a list"),
    ("name", "a\nb", r"name 'a\\nb' is not text of one line"),
    ("lladdr", "02:00:00:00:00:01", "lladdr '02:00:00:00:00:01' is no MacAddress"),
]


@pytest.mark.parametrize(("name", "value", "said"), MISTAKES, ids=lambda each: str(each)[:20])
def test_a_mistake_of_somebody_without_a_type_checker_is_named(name: str, value: object, said: str) -> None:
    settings = {"interface": "fxp0", "vhid": 1, "passphrase": SECRET, "addresses": ("192.168.1.50/24",)}

    with pytest.raises(ConfigError, match=said):
        HostConfig(**{**settings, name: value})  # type: ignore[arg-type]
