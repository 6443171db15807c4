"""Every grammar says again what was read from it, as far as it has words for it."""

import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import Passphrase
from pycarp.config import NodeConfig, dump, grammars, toml
from pycarp.config.carp_words import FAMILIES
from pycarp.config.grammars import TARGETS, Grammar
from pycarp.core.host_config import HostConfig
from pycarp.dialects import FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP, UNIVERSAL
from pycarp.errors import ConfigError
from pycarp.vocabulary import LinkFacts, MacAddress

OWN = {"em0": IPv4Address("10.0.0.1")}
LINKS = [LinkFacts(name="em0", is_up=True, addresses=(ip_interface("10.0.0.1/16"), ip_interface("fd00::1/64")))]
GRAMMARS = {"rc.conf9": Grammar.RC_CONF}

_SIGNS = st.characters(codec="utf-8", exclude_categories=("Z", "C"))
SPECIAL = ("'", '"', "`", "$x", "\\", "#", "'\"", "'$`\\\"", "$(x)", "a;b", "\\'", "!x")
"""Passwords in which shells see more than meets the eye."""

passwords = st.text(_SIGNS | st.sampled_from("'\"`$\\#;&|~*!"), min_size=1, max_size=19).filter(
    lambda text: len(text.encode()) < 20 and text not in FAMILIES
)
with_blanks = st.text(_SIGNS | st.sampled_from(" '\"`$\\#;&|"), min_size=1, max_size=9).filter(
    lambda text: len(text.encode()) < 20
)
ipv4 = st.integers(0x0A000100, 0x0A00FFFE).map(lambda number: f"{IPv4Address(number)}/16")
ipv6 = st.integers(2, 0xFFFF).map(lambda number: f"fd00::{number:x}/64")
octets = st.integers(1, 255)


def hosts(*, number: int, **settings: st.SearchStrategy[Any]) -> st.SearchStrategy[HostConfig]:
    addresses = st.lists(ipv4 | ipv6, min_size=1, max_size=3, unique=True)
    strategies = {"passphrase": passwords, "addresses": addresses, "advbase": octets, "advskew": st.integers(0, 254)}
    strategies |= {"interface": st.just("em0"), "vhid": st.just(number)}
    return st.builds(HostConfig, **(strategies | settings))


def nodes(**settings: st.SearchStrategy[Any]) -> st.SearchStrategy[NodeConfig]:
    """Return nodes of one or two hosts without a common address."""
    two = st.tuples(hosts(number=1, **settings), hosts(number=2, **settings))
    apart = two.filter(lambda pair: not set(pair[0].addresses) & set(pair[1].addresses))
    return (apart | st.tuples(hosts(number=1, **settings))).map(lambda them: NodeConfig(hosts=them))


def again(config: NodeConfig, target: str, **options: Any) -> NodeConfig:
    """Write and read."""
    read: list[HostConfig] = []
    for document in grammars.write(config, target, sources=OWN):
        assert document.lost == ()
        grammar = GRAMMARS.get(target) or Grammar(target)
        read += grammars.read(document.text, grammar, file=document.name, links=LINKS, **options).hosts
    return NodeConfig(hosts=tuple(read), hostname=config.hostname)


def nameless(config: NodeConfig) -> NodeConfig:
    return replace(config, hosts=tuple(replace(host, name="") for host in config.hosts))


@given(nodes(dialect=st.just(FREEBSD)))
def test_rc_conf_says_it_again(config: NodeConfig) -> None:
    assert again(config, "rc.conf", dialect=FREEBSD) == config


@given(nodes(dialect=st.just(FREEBSD9)))
def test_rc_conf_of_freebsd_9_says_it_again(config: NodeConfig) -> None:
    found = again(config, "rc.conf9", dialect=FREEBSD9)

    assert nameless(found) == config
    assert [host.name for host in found.hosts] == [f"carp{index}" for index in range(len(found.hosts))]


@given(
    nodes(
        dialect=st.just(OPENBSD),
        advbase=st.integers(0, 255),
        advskew=octets,
        lladdr=st.none() | st.binary(min_size=6, max_size=6).map(MacAddress),
        groups=st.sampled_from([("carp",), ("web",), (), ("carp", "web")]),
        passphrase=with_blanks.filter(lambda text: "  " not in text),
    )
)
def test_hostname_carp_says_it_again(config: NodeConfig) -> None:
    assert nameless(again(config, "hostname.carp")) == config


@given(
    hosts(
        number=1,
        dialect=st.just(UCARP),
        advskew=st.integers(0, 255),
        preempt=st.booleans(),
        neutral=st.booleans(),
        broadcasts=st.booleans(),
        ignores_link=st.booleans(),
        dead_ratio=octets,
        multicast_group=st.sampled_from([None, IPv4Address("224.0.0.19")]),
        addresses=st.tuples(ipv4.map(lambda text: text.removesuffix("/16"))),
        passphrase=with_blanks,
    )
)
def test_ucarp_says_it_again(host: HostConfig) -> None:
    config = NodeConfig(hosts=(host,))

    assert again(config, "ucarp") == config


@given(
    nodes(
        dialect=st.just(UNIVERSAL),
        preempt=st.booleans(),
        neutral=st.booleans(),
        broadcasts=st.booleans(),
        ignores_link=st.booleans(),
        dead_ratio=octets,
        multicast_group=st.sampled_from([None, IPv4Address("224.0.0.19")]),
        peer_dialects=st.sampled_from([(), (UNIVERSAL,)]),
        groups=st.sampled_from([("carp",), ("web", "a b"), ()]),
        passphrase=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4),
        name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=5),
    )
)
def test_toml_says_everything_again(config: NodeConfig) -> None:
    assert again(config, "toml") == config


def test_toml_says_a_link_layer_address_again() -> None:
    config = NodeConfig(hosts=(host(dialect=OPENBSD, lladdr=MacAddress.parse("02:00:00:00:00:01")),))

    assert again(config, "toml") == config


def test_toml_says_what_is_about_the_machine_again() -> None:
    config = NodeConfig(
        hosts=(host(),),
        hostname="a.example.org",
        transport="raw",
        actuator="null",
        sysctls=(("net.inet.carp.preempt", 1), ("net.inet.carp.demotion", -3)),
    )
    (document,) = grammars.write(config, "toml", sources={})

    assert grammars.read(document.text, Grammar.TOML, file="a.toml") == config


def host(**settings: Any) -> HostConfig:
    plain: dict[str, Any] = {"interface": "em0", "vhid": 1, "passphrase": "s", "addresses": ["10.0.1.1/16"]}
    return HostConfig(**(plain | settings))


@pytest.mark.parametrize("target", ["rc.conf", "rc.conf9", "hostname.carp"])
def test_peers_of_freebsd_and_openbsd_are_said_or_lost(target: str) -> None:
    config = NodeConfig(hosts=(host(peers=["10.0.0.4"]),))
    (document,) = grammars.write(config, target, sources=OWN)

    assert document.lost == (("1@em0: peers 10.0.0.4",) if target == "rc.conf9" else ())


def test_what_has_no_words_is_named() -> None:
    config = NodeConfig(
        hosts=(host(preempt=True, dead_ratio=5, groups=("web",), dialect=UNIVERSAL), host(vhid=2, dialect=NETBSD)),
        sysctls=(("net.inet.carp.log", 2),),
        transport="raw",
    )

    assert dump.rc_conf(config)[0].lost == (
        "sysctls net.inet.carp.log=2",
        "transport raw",
        "1@em0: preempt true",
        "1@em0: dead_ratio 5",
        "1@em0: groups web",
        "2@em0: dialect netbsd",
    )


@pytest.mark.parametrize(
    ("target", "settings", "text"),
    [
        ("rc.conf", {"passphrase": "a b"}, "has a blank"),
        ("rc.conf", {"passphrase": ""}, "the password is empty"),
        ("rc.conf", {"passphrase": "link"}, "the password is one of ether, inet, inet6, link, which end an alias"),
        ("rc.conf", {"passphrase": b"\xff"}, "not UTF-8"),
        ("rc.conf", {"interface": "eth0-5"}, "interface 'eth0-5' cannot be written in rc.conf"),
        ("rc.conf9", {"dialect": OPENBSD, "advbase": 0, "advskew": 1}, "advbase 1-255"),
        ("hostname.carp", {"passphrase": "a  b"}, "two blanks in a row"),
        ("hostname.carp", {"passphrase": "a\tb"}, "tabs"),
        ("hostname.carp", {"peers": ["10.0.0.4", "10.0.0.5"]}, "one carppeer"),
        ("ucarp", {"addresses": ["10.0.0.4", "10.0.0.5"]}, "exactly one IPv4 address"),
        ("ucarp", {"interface": "em1"}, "add --srcip ADDRESS"),
        ("toml", {"passphrase": b"\xff"}, "not UTF-8"),
    ],
)
def test_what_cannot_be_written_at_all_is_an_error(target: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        grammars.write(NodeConfig(hosts=(host(**settings),)), target, sources=OWN)

    assert "'$" not in str(caught.value)


def test_an_unknown_target_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown grammar 'vrrp'"):
        grammars.write(NodeConfig(hosts=(host(),)), "vrrp", sources={})


@pytest.mark.parametrize("target", TARGETS)
def test_a_plain_host_survives_the_way_through_every_grammar(target: str) -> None:
    plain = NodeConfig(hosts=(host(addresses=["10.0.1.1/32"]),))
    dialects: dict[str, Any] = {"hostname.carp": {"dialect": UNIVERSAL}}
    found = again(plain, target, **dialects.get(target, {}))

    assert [replace(each, dialect=UNIVERSAL, name="") for each in found.hosts] == list(plain.hosts)
    assert found.hosts[0].passphrase == Passphrase("s")


@pytest.mark.parametrize(
    ("file", "text", "grammar"),
    [
        ("/etc/rc.conf", "", "rc.conf"),
        ("hosta.rc.conf", "", "rc.conf"),
        ("/etc/hostname.carp0", "", "hostname.carp"),
        ("pycarp.toml", "", "toml"),
        ("x", "[[host]]\ninterface = 'a'", "toml"),
        ("x", '# rc\nifconfig_em0="inet 10.0.0.1"', "rc.conf"),
        ("x", "exec /usr/sbin/ucarp -i eth0", "ucarp"),
        ("x", "vhid 1 carpdev em0", "hostname.carp"),
    ],
)
def test_a_grammar_is_recognised_by_name_or_text(file: str, text: str, grammar: str) -> None:
    assert grammars.recognise(file, text) == grammar


def test_a_file_that_could_be_anything_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        ConfigError, match=r"cannot tell the grammar of x: neither .* is that of rc.conf, hostname.carp"
    ):
        grammars.recognise("x", "hello")


@given(nodes(dialect=st.just(FREEBSD), interface=st.sampled_from(["em0", "em0.5", "vlan7"])))
def test_a_vlan_is_named_so_that_rc_finds_it(config: NodeConfig) -> None:
    (document,) = grammars.write(config, "rc.conf", sources=OWN)

    assert grammars.read(document.text, Grammar.RC_CONF, file="rc.conf", dialect=FREEBSD) == config


def test_a_peer_is_named_in_every_line_of_its_vhid() -> None:
    """FreeBSD 14 goes back to multicast at a line without one."""
    host = HostConfig(
        interface="em0", vhid=1, passphrase="s", addresses=["10.0.0.1", "10.0.0.2"], peers=["10.0.0.9"], dialect=FREEBSD
    )

    (document,) = grammars.write(NodeConfig(hosts=(host,)), "rc.conf", sources=OWN)
    assert [line.count("peer 10.0.0.9") for line in document.text.splitlines()] == [1, 1]


@pytest.mark.parametrize("password", SPECIAL)
@pytest.mark.parametrize("target", TARGETS)
def test_a_password_survives_every_grammar(password: str, target: str) -> None:
    host = HostConfig(interface="em0", vhid=1, passphrase=password, addresses=["10.0.0.9/16"])
    documents = grammars.write(NodeConfig(hosts=(host,)), target, sources=OWN)

    grammar = GRAMMARS.get(target) or Grammar(target)
    (back,) = grammars.read(documents[0].text, grammar, file=documents[0].name, links=LINKS).hosts
    assert back.passphrase == Passphrase(password)


NETSTART = """\
while IFS= read -- line; do
    set -f; set -- $line
    case $1 in pass) eval "printf %s $2${3+ $3}";; esac
done
"""


@pytest.mark.parametrize("password", SPECIAL)
def test_a_shell_reads_from_hostname_carp_what_was_written(password: str) -> None:
    host = HostConfig(interface="em0", vhid=1, passphrase=password, addresses=["10.0.0.9/16"])
    (document,) = grammars.write(NodeConfig(hosts=(host,)), "hostname.carp", sources=OWN)

    done = subprocess.run(["sh", "-c", NETSTART], input=document.text, capture_output=True, text=True, check=True)
    assert done.stdout == password


@pytest.mark.parametrize("password", SPECIAL)
def test_a_shell_reads_from_rc_conf_what_was_written(password: str) -> None:
    host = HostConfig(interface="em0", vhid=1, passphrase=password, addresses=["10.0.0.9/16"])
    (document,) = grammars.write(NodeConfig(hosts=(host,)), "rc.conf", sources=OWN)
    script = f'{document.text}\nprintf %s "$ifconfig_em0_alias0"'

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert f" pass {password} " in done.stdout


def test_toml_keeps_checks_and_hooks_and_other_grammars_name_them_as_lost() -> None:
    text = (
        '[[host]]\ninterface = "em0"\nvhid = 1\npassword = "secret"\naddresses = ["192.0.2.10/24"]\nname = "web"\n'
        '[[host.check]]\nname = "own"\ntcp = "127.0.0.1:80"\n[[hook]]\non = ["master"]\nrun = ["/bin/true"]\n'
    )
    config = toml.read(text, file="a.toml")

    (written,) = dump.toml(config)
    (lossy,) = dump.rc_conf(config)

    assert toml.read(written.text, file="b.toml") == config
    assert lossy.lost == ("web: check own", "hook true")
