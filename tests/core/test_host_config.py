"""The configuration of a virtual host: what it accepts, and the errors for what it refuses."""

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from ipaddress import IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Any

import pytest

from pycarp.auth.key import Passphrase
from pycarp.core.host_config import HostConfig, interval_warning
from pycarp.dialects import ALL, FREEBSD, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.errors import ConfigError, SettingProblems
from pycarp.vocabulary import HostKey, MacAddress, MacMode
from tests.support.hosts import config

SECRET = "s3cr3t"
LLADDR = MacAddress.parse("02:00:00:00:00:01")


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
    ("passphrase", None, "passphrase is a NoneType; pass text, octets or a Passphrase"),
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


def problems_of(**settings: Any) -> list[tuple[str, int | None, str]]:
    """Return the setting, the index and the text of each problem."""
    with pytest.raises(SettingProblems) as caught:
        config(**settings)
    assert str(caught.value) == "\n".join(str(each) for each in caught.value.problems)
    return [(each.setting, each.index, each.text) for each in caught.value.problems]


def test_all_problems_are_told_at_once() -> None:
    assert problems_of(vhid=0, advskew=300, passphrase="x" * 30) == [
        ("vhid", None, "vhid 0 is outside 1-255"),
        ("advskew", None, "advskew 300 is outside 0-254"),
        ("passphrase", None, "passphrase of 30 octets is too long: CARP hosts share at most 19"),
    ]


def test_the_items_of_lists_are_told_one_by_one() -> None:
    found = problems_of(addresses=["192.168.1.50/24", "x", "10.0.0.0/8"], peers=["y"])

    assert [(setting, index) for setting, index, _text in found] == [("addresses", 1), ("addresses", 2), ("peers", 0)]


def test_what_settings_say_together_is_told_beside_what_is_wrong_by_itself() -> None:
    found = problems_of(vhid=0, peers=["192.168.1.50", "2001:db8::9"], lladdr=LLADDR, dialect=FREEBSD)

    assert [(setting, index) for setting, index, _text in found] == [
        ("vhid", None),
        ("peers", 0),
        ("peers", 1),
        ("lladdr", None),
    ]


def test_settings_that_depend_on_a_wrong_one_are_not_judged() -> None:
    found = problems_of(addresses=["x"], peers=["2001:db8::9"])

    assert [(setting, index) for setting, index, _text in found] == [("addresses", 0)]


def test_all_that_cannot_work_with_the_peers_dialects_is_told_with_the_name_of_the_host() -> None:
    found = problems_of(
        addresses=["192.168.1.50", "192.168.1.51"], peer_dialects=[UCARP, FREEBSD], multicast_group="224.0.0.19",
        peers=["192.168.1.9"],
    )  # fmt: skip

    assert [text.partition(":")[0] for _setting, _index, text in found] == [
        "1@fxp0 cannot share its addresses with ucarp",
        "1@fxp0 cannot share its addresses with ucarp",
        "1@fxp0 cannot share its addresses with freebsd",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("password", "did you mean passphrase?"),
        ("pasword", "did you mean passphrase?"),
        ("adress", "did you mean addresses?"),
        ("mac", "did you mean mac_mode?"),
        ("colour", "there are: interface, vhid, "),
    ],
)
@pytest.mark.parametrize("make", [HostConfig, HostConfig.parse])
def test_a_setting_that_there_is_not_is_told_beside_the_others(
    make: Callable[..., HostConfig], name: str, hint: str
) -> None:
    with pytest.raises(SettingProblems) as caught:
        make(interface="fxp0", vhid=0, passphrase=SECRET, addresses=["192.168.1.50/24"], **{name: "x"})
    unknown, vhid = caught.value.problems

    assert (unknown.setting, unknown.text, vhid.setting) == (name, f"there is no setting {name}", "vhid")
    assert unknown.hint.startswith(hint)


def test_no_problem_shows_the_passphrase() -> None:
    with pytest.raises(SettingProblems) as caught:
        HostConfig.parse(interface="", vhid="x", passphrase=f"{SECRET}\udc80", addresses="", advskew="y")

    assert "passphrase is not UTF-8; pass its octets" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_lists_become_tuples() -> None:
    made = config(groups=["carp", "web"], peer_dialects=[UNIVERSAL])

    assert (made.groups, made.peer_dialects) == (("carp", "web"), (UNIVERSAL,))


# Text


def test_every_setting_may_be_text() -> None:
    made = HostConfig.parse(
        interface="fxp0",
        vhid="7",
        passphrase=SECRET,
        addresses="192.168.1.50/24, 2001:db8::1/64",
        advbase="1s",
        advskew=" 100 ",
        preempt="yes",
        dialect="universal",
        name="web",
        peers="192.168.1.9 2001:db8::9",
        multicast_group="224.0.0.19",
        broadcasts="on",
        dead_ratio="5",
        groups="carp web",
        neutral="1",
        ignores_link="False",
        mac_mode="VIRTUAL",
        announce_every_s="2min",
        peer_dialects="universal",
    )

    assert made == HostConfig(
        interface="fxp0",
        vhid=7,
        passphrase=Passphrase(SECRET),
        addresses=[ip_interface("192.168.1.50/24"), ip_interface("2001:db8::1/64")],
        advbase=1,
        advskew=100,
        preempt=True,
        dialect=UNIVERSAL,
        name="web",
        peers=[ip_address("192.168.1.9"), ip_address("2001:db8::9")],
        multicast_group=ip_address("224.0.0.19"),
        broadcasts=True,
        dead_ratio=5,
        groups=["carp", "web"],
        neutral=True,
        ignores_link=False,
        mac_mode=MacMode.VIRTUAL,
        announce_every_s=120,
        peer_dialects=[UNIVERSAL],
    )


def test_the_mac_address_of_peers_may_be_text() -> None:
    made = HostConfig.parse(
        interface="fxp0", vhid=1, passphrase="", addresses="10.0.0.1/24", dialect="openbsd", lladdr="02:00:00:00:00:01"
    )

    assert (made.dialect, made.lladdr) == (OPENBSD, LLADDR)


def test_empty_text_leaves_an_optional_setting_out() -> None:
    made = HostConfig.parse(
        interface="fxp0", vhid="1", passphrase="", addresses="10.0.0.1/24", lladdr="", mac_mode="", multicast_group="",
        peers="", peer_dialects="",
    )  # fmt: skip

    assert made == config(passphrase="", addresses=["10.0.0.1/24"])


def test_what_is_no_text_is_parsed_as_by_the_constructor() -> None:
    settings: dict[str, Any] = {
        "interface": "fxp0", "vhid": 1, "passphrase": SECRET.encode(), "addresses": [ip_interface("10.0.0.1/24")],
        "preempt": True, "dialect": OPENBSD, "lladdr": LLADDR, "mac_mode": MacMode.AUTO, "peer_dialects": [OPENBSD],
    }  # fmt: skip

    assert HostConfig.parse(**settings) == HostConfig(**settings)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("vhid", "one", "vhid 'one' is not a whole number"),
        ("vhid", "1" * 5000, "is not a whole number"),
        ("vhid", "-1", "vhid -1 is outside 1-255"),
        ("advbase", "1.5s", "advbase '1.5s' is not a whole number of seconds"),
        ("announce_every_s", "soon", 'announce_every_s "soon" is no duration; write "500ms", "2s", "5min"'),
        ("announce_every_s", "2d", "announce_every_s 172800 is outside 0-86400"),
        ("preempt", "perhaps", "preempt 'perhaps' is neither yes nor no; write one of yes, no, true"),
        ("dialect", "openbds", "unknown dialect 'openbds'; known are: universal, "),
        ("peer_dialects", "universal openbds", "unknown dialect 'openbds'"),
        ("lladdr", "02:00", "lladdr '02:00' is not a MAC address; write 00:00:5e:00:01:01"),
        ("mac_mode", "real", "mac_mode 'real' is none of virtual, interface, auto"),
        ("addresses", "10.0.0.1/24;10.0.0.2/24", "shared address '10.0.0.1/24;10.0.0.2/24' is not an IP address"),
        ("addresses", "", "at least one shared address"),
    ],
)
def test_text_that_says_nothing_known_is_refused(name: str, text: str, said: str) -> None:
    settings: dict[str, Any] = {"interface": "fxp0", "vhid": 1, "passphrase": SECRET, "addresses": "192.168.1.50/24"}

    with pytest.raises(SettingProblems, match=re.escape(said)) as caught:
        HostConfig.parse(**{**settings, name: text})
    assert [each.setting for each in caught.value.problems] == [name]
