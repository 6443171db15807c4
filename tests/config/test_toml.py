"""pycarp's own grammar: every key, every mistake with its place."""

import contextlib
import json
import shlex
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import Passphrase
from pycarp.config import ConfigProblems, NodeConfig, service_tables, toml
from pycarp.config.model import HttpConfig
from pycarp.dialects import OPENBSD, UNIVERSAL
from pycarp.errors import ConfigError
from pycarp.failback import Damping, FailbackPolicy
from pycarp.health.kinds import OWN
from pycarp.hooks import On
from pycarp.vocabulary import HostKey, LinkFacts

TABLES = "node, host, check, hook, failback, sync_group, http"
SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "pycarp.schema.json"
GOOD = """\
[[host]]
interface = "em0"
vhid = 1
password = "secret"
addresses = ["192.0.2.10/24"]
"""
EVERYTHING = """\
[node]
hostname = "a.example.org"
transport = "raw"
actuator = "null"
sysctls = { preempt = 1, demotion = -3 }

[[host]]
interface = "em0"
vhid = 1
password = "secret"
addresses = ["192.0.2.10/24", "2001:db8::10/64"]
name = "gateway"
advbase = 2
advskew = 100
preempt = true
peers = ["192.0.2.4", "2001:db8::4"]
dead_ratio = 5
groups = ["carp", "web"]
neutral = true
ignores_link = true
broadcasts = true
multicast_group = "224.0.0.19"
peer_dialects = ["universal"]
"""


def complaints(text: str, file: str = "a.toml", *links: LinkFacts) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        toml.read(text, file=file, links=links)
    return [str(each).removeprefix(f"{file}:") for each in caught.value.problems]


def test_a_plain_host_has_the_defaults() -> None:
    (host,) = toml.read(GOOD, file="a.toml").hosts

    assert (host.name, host.advbase, host.advskew, host.dialect.name) == ("1@em0", 1, 0, "universal")
    assert host.passphrase == Passphrase("secret")


def test_every_key_is_taken() -> None:
    config = toml.read(EVERYTHING, file="a.toml")
    (host,) = config.hosts

    assert (config.hostname, config.transport, config.actuator) == ("a.example.org", "raw", "null")
    assert config.sysctls == (("net.inet.carp.preempt", 1), ("net.inet.carp.demotion", -3))
    assert (host.name, host.advbase, host.advskew, host.preempt, host.dead_ratio) == ("gateway", 2, 100, True, 5)
    assert (host.neutral, host.ignores_link, host.broadcasts) == (True, True, True)
    assert host.groups == ("carp", "web")
    assert (host.multicast_group, host.peer_dialects) == (IPv4Address("224.0.0.19"), (UNIVERSAL,))
    assert [str(each) for each in host.peers] == ["192.0.2.4", "2001:db8::4"]


def test_the_dialect_is_said_by_each_host() -> None:
    second = GOOD.replace("vhid = 1", 'vhid = 2\ndialect = "openbsd"').replace(".10", ".11")
    config = toml.read(GOOD + second, file="a.toml")

    assert config.hosts[1].dialect is OPENBSD


def test_the_password_may_stand_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("filed\nmore\n")
    text = GOOD.replace('password = "secret"', 'password_file = "pass"')

    (host,) = toml.read(text, file=str(tmp_path / "a.toml")).hosts

    assert host.passphrase == Passphrase("filed")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("vhid = 1", "vhid = 256", "3:1: vhid 256 is outside 1-255"),
        ("vhid = 1", 'vhid = "1"', "3:1: vhid: expected a whole number, got text (write vhid = 1)"),
        ("vhid = 1", "vihd = 1", "3:1: unknown key vihd (did you mean vhid?"),
        ("vhid = 1\n", "", "1:1: vhid is missing"),
        ("vhid = 1", 'vhid = 1\nadvbase = 0\ndialect = "freebsd"', "4:1: advbase 0 is outside 1-255"),
        ("vhid = 1", "vhid = 1\nadvbase = 0\nadvskew = 0", "1:1: advbase 0 with advskew 0 is an interval of 0/256 s"),
        ("vhid = 1", 'vhid = 1\nmac_mode = "mine"', "4:1: mac_mode: unknown; known are: virtual, interface, auto"),
        ("vhid = 1", 'vhid = 1\ndialect = "vrrp"', "4:1: unknown dialect 'vrrp'; known are:"),
        ("vhid = 1", 'vhid = 1\nlladdr = "x"', "4:1: lladdr is not a MAC address; write 00:00:5e:00:01:01"),
        ('password = "secret"\n', "", "1:1: write one of password, password_file, password_credential, password_env"),
        (
            '"secret"',
            '"secret"\npassword_file = "x"',
            "4:1: write one of password, password_file, password_credential, password_env",
        ),
        ('password = "secret"', 'password_file = "/none"', "4:1: cannot read /none: No such file or directory"),
        ('password = "secret"', 'password_file = "a\\u0000"', "4:1: cannot read"),
        ('"secret"', f'"{"y" * 20}"', "4:1: passphrase of 20 octets is too long"),
        ('["192.0.2.10/24"]', "[]", "5:1: addresses has no items; name at least 1"),
        ('["192.0.2.10/24"]', '["x"]', "5:14: shared address 'x' is not an IP address"),
        ("[[host]]", "[host]", "1:1: host is a list of tables (write [[host]] above each, instead of [host])"),
        ("[[host]]", "node = 1\n[[host]]", "1:1: node is not a table"),
        ("[[host]]", "[nodes]\n[[host]]", "1:1: unknown key nodes; there are: node, host"),
        (
            "[[host]]",
            "[node]\nsysctls.preempt = true\n[[host]]",
            "1:1: preempt: expected a whole number, got true or false",
        ),
        ("vhid = 1", "vhid = ", "3:8: this is not TOML: Invalid value"),
        ("vhid = 1", "vhid = 1\nvhid = 2", "4:9: this is not TOML: Cannot overwrite a value"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_way_out(old: str, new: str, expected: str) -> None:
    found = complaints(GOOD.replace(old, new, 1))

    assert any(each.startswith(expected) for each in found), found


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("vhid = 1", "vhid = 0\nadvskw = 1\nadvskew = 999") + GOOD.replace("em0", "")

    assert [each.split(" ")[0] for each in complaints(text)] == ["3:1:", "4:1:", "5:1:", "9:1:"]


PASSWORDS = "password, password_file, password_credential, password_env"
SEVERAL = """\
[[host]]
interface = "em0"
vhid = 1
addresses = [
  "300.1.1.1",
  "192.0.2.10/24", "224.0.0.9/24",
  'fe80::x', "255.255.255.0",
]
peers = ["192.0.2.3", "1.2.3"]
advskew = 255
dead_ratio = 0
"""


@pytest.mark.parametrize(("name", "first"), [("new file", ""), ("folder/file", "mkdir -p DIR/folder; ")])
def test_a_missing_password_file_says_how_to_make_it(tmp_path: Path, name: str, first: str) -> None:
    text = GOOD.replace('password = "secret"', f'password_file = "{name}"')

    (only,) = complaints(text, str(tmp_path / "a.toml"))

    folder = first.replace("DIR/folder", shlex.quote(f"{tmp_path}/folder"))
    hint = f"make it on every host: {folder}umask 077; echo SECRET > {shlex.quote(f'{tmp_path}/{name}')}"
    assert only == f"4:1: cannot read {name}: No such file or directory ({hint})"


def test_every_wrong_value_of_a_host_is_told_at_its_own_place() -> None:
    """Also without a password, and where other keys of the host are wrong."""
    no_address = "is not an IP address with an optional /prefix; write it as 192.0.2.10/24 or 2001:db8::10/64"

    assert [each.partition(" ")[::2] for each in complaints(SEVERAL)] == [
        ("1:1:", f"write one of {PASSWORDS} (without a password anybody could take the address)"),
        ("5:3:", f"shared address '300.1.1.1' {no_address}"),
        (
            "6:20:",
            "shared address 224.0.0.9/24 is not an address that a host can have; share one of the segment's subnet",
        ),
        ("7:3:", f"shared address 'fe80::x' {no_address}"),
        ("7:14:", '255.255.255.0 is a netmask, not an address (write "ADDRESS/LENGTH")'),
        ("9:23:", "peer '1.2.3' is not an IP address; names are not looked up"),
        ("10:1:", "advskew 255 is outside 0-254"),
        ("11:1:", "dead_ratio 0 is outside 1-255"),
    ]


def test_settings_that_do_not_fit_together_are_told_where_they_are() -> None:
    text = GOOD.replace("vhid = 1", 'vhid = 1\npeers = ["2001:db8::4"]')

    assert [each.partition(": no IPv6")[0] for each in complaints(text)] == ["4:10: peer 2001:db8::4"]


def test_a_vhid_and_an_address_have_one_owner_each() -> None:
    hint = "give each virtual host of an interface a vhid of its own, or one host all addresses"

    assert complaints(GOOD + GOOD) == [f"8:1: vhid 1 is used twice on em0 ({hint})"]
    assert complaints(GOOD + GOOD.replace("vhid = 1", "vhid = 2")) == ["10:1: 192.0.2.10 is shared by 1@em0 already"]


def test_an_interface_that_does_not_exist_is_told_with_the_way_out() -> None:
    there = LinkFacts(name="eth0", is_up=True)

    assert complaints(GOOD, "a.toml", there) == [
        "2:1: interface em0 does not exist; there are: eth0 (rename it: --map em0=eth0)"
    ]
    assert toml.read(GOOD, file="a.toml", links=[there], renames={"em0": "eth0"}).hosts[0].interface == "eth0"


def test_a_password_is_never_shown() -> None:
    words = 'password = ["hunter2"]\nadvbase = "hunter2"\nlladdr = "hunter2"\nvhid = "hunter2"\n'

    assert "hunter2" not in str(complaints("[[host]]\n" + words))


def test_the_schema_in_the_documentation_is_that_of_the_tables() -> None:
    """Renew it with ``pycarp convert --schema``."""
    assert json.loads(SCHEMA.read_text()) == toml.schema()


_KEYS = st.sampled_from([*EVERYTHING.splitlines(), "[[host]]", "[host]", "[node.sysctls]", "x = [", "vhid = 1e9"])


@given(st.text() | st.lists(_KEYS, max_size=12).map("\n".join))
def test_no_text_is_too_odd_to_be_answered(text: str) -> None:
    with contextlib.suppress(ConfigProblems):
        assert isinstance(toml.read(text, file="a.toml"), NodeConfig)


def test_a_rename_of_what_the_file_does_not_name_is_a_mistake() -> None:
    with pytest.raises(ConfigProblems, match=r"--map fxp0=eth0: nothing is about fxp0 .there are: em0."):
        toml.read(GOOD, file="a.toml", renames={"fxp0": "eth0"})


def test_tables_that_are_nested_without_end_are_refused() -> None:
    assert complaints("a = " + "[" * 50_000) == ["1:1: tables are nested too deeply"]


# Where the password is


def with_password_in(line: str) -> str:
    return f'[[host]]\ninterface = "eth0"\nvhid = 1\n{line}\naddresses = ["192.168.1.50/24"]\n'


def test_a_credential_of_systemd_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carp0").write_text("hunter2\nmore\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = toml.read(with_password_in('password_credential = "carp0"'), file="/etc/a.toml")

    assert config.hosts[0].passphrase == Passphrase("hunter2")
    assert list(config.secret_files.values()) == [tmp_path / "carp0"]


def test_a_variable_of_the_environment_holds_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARP0", "hunter2")
    config = toml.read(with_password_in('password_env = "CARP0"'), file="/etc/a.toml")

    assert config.hosts[0].passphrase == Passphrase("hunter2")
    assert list(config.secret_variables.values()) == ["CARP0"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            'password_credential = "carp0"',
            "CREDENTIALS_DIRECTORY is not set (systemd sets it for LoadCredential=carp0:",
        ),
        ('password_credential = "../carp0"', "a credential has a name, and no path"),
        ('password_env = "CARP0"', "the environment has no CARP0, or it is empty"),
        ('password_env = "EMPTY"', "the environment has no EMPTY, or it is empty"),
    ],
)
def test_a_password_that_is_not_there_says_where_it_should_be(
    line: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("CARP0", raising=False)
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(ConfigError) as caught:
        toml.read(with_password_in(line), file="/etc/a.toml")

    assert f"/etc/a.toml:4:1: {complaint}" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('password = "', 'pasword = "', ["unknown key pasword (did you mean password?)"]),
        ("vhid = 1", "vhdi = 1", ["unknown key vhdi (did you mean vhid?)"]),
        ("vhid = 1", 'vhid = 1\nmac = "interface"', ["unknown key mac (did you mean mac_mode?)"]),
        (
            "[[host]]",
            "[[hosts]]",
            [f"unknown key hosts; there are: {TABLES} (did you mean host?)"],
        ),
        (
            "advbase = 1",
            'mac_mode = "virtaul"',
            ["mac_mode: unknown; known are: virtual, interface, auto (did you mean virtual?)"],
        ),
        (
            '["192.168.1.50/24"]',
            '"192.168.1.50/24"',
            ['addresses: expected a list, got text (write addresses = ["192.168.1.50/24"])'],
        ),
        ('["192.168.1.50/24"]', '["192.168.1.50/24", 5]', ["addresses: item 2: expected text, got a whole number"]),
    ],
)
def test_a_slip_of_the_pen_is_one_problem(old: str, new: str, expected: list[str]) -> None:
    text = '[[host]]\ninterface = "eth0"\nvhid = 1\npassword = "x"\naddresses = ["192.168.1.50/24"]\nadvbase = 1\n'

    assert [each.split(": ", 1)[1] for each in complaints(text.replace(old, new))] == expected


def test_a_key_of_a_table_in_braces_is_told_at_that_table() -> None:
    text = '[node]\nsysctls = { preemt = 1 }\n[[host]]\ninterface = "eth0"\nvhid = 1\npassword = "x"\n'
    text += 'addresses = ["192.168.1.50/24"]\n'

    assert complaints(text) == ["2:1: unknown key preemt (did you mean preempt?)"]


def test_a_dialect_that_is_misspelt_is_guessed() -> None:
    text = (
        '[[host]]\ninterface = "eth0"\nvhid = 1\npassword = "x"\naddresses = ["192.168.1.50/24"]\ndialect = "openbds"\n'
    )

    assert complaints(text)[0].endswith("(did you mean openbsd?)")


@pytest.mark.parametrize("key", ["password", "password_file", "password_env"])
def test_a_password_without_quotes_is_not_shown(key: str) -> None:
    text = f'[[host]]\ninterface = "eth0"\nvhid = 1\n{key} = 1234567\naddresses = ["192.168.1.50/24"]\n'

    assert complaints(text) == [f"4:1: {key}: expected text, got a whole number"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('transport = "packett"', ("unknown transport 'packett'; known are: auto, packet, packet-real-mac, raw, udp "
         "(did you mean packet?)")),
        ('actuator = "netlnk"', "unknown actuator 'netlnk'; known are: auto, netlink, null (did you mean netlink?)"),
        ("sysctls = { preempt = 7 }", "preempt 7 is outside 0-1"),
        ("sysctls = { log = 9 }", "log 9 is outside 0-2"),
        ("sysctls = { demotion = 2147483648 }", "demotion 2147483648 is outside -2147483647-2147483647"),
        ("sysctls = { ifdown_demotion_factor = -1 }", "ifdown_demotion_factor -1 is outside 0-2147483647"),
    ],
)  # fmt: skip
def test_what_a_start_would_refuse_of_the_node_is_told(line: str, expected: str) -> None:
    text = f'[node]\n{line}\n[[host]]\ninterface = "eth0"\nvhid = 1\npassword = "x"\naddresses = ["192.168.1.50/24"]\n'

    assert complaints(text) == [f"2:1: {expected}"]


CHECKED = GOOD + '[[host.check]]\nname = "web"\ntcp = "127.0.0.1:80"\nevery = "250ms"\n'
HOOKED = GOOD + '[[host.hook]]\non = ["master"]\nrun = ["/bin/true"]\n'


def test_checks_and_hooks_belong_to_their_host_or_to_every_host() -> None:
    text = CHECKED + GOOD.replace("vhid = 1", "vhid = 2").replace(".10/", ".11/")
    text += HOOKED.removeprefix(GOOD) + HOOKED.removeprefix(GOOD).replace("host.hook]]", 'hook]]\nname = "every"')

    config = toml.read(text, file="a.toml")

    first, second = (host.key for host in config.hosts)
    assert [(each.host, each.item.name, each.item.every_s) for each in config.checks] == [(first, "web", 0.25)]
    assert [(each.host, each.item.name) for each in config.hooks] == [(second, "true"), (None, "every")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("every", "evry", ["9:1: unknown key evry (did you mean every?)"]),
        ("every", "interval", ["9:1: unknown key interval (did you mean every?)"]),
        ("host.check", "host.checks", ["6:1: unknown key checks (did you mean check?)"]),
        ('"250ms"', '"10ms"', ["9:1: every 10ms is below 50ms"]),
        ('tcp = "127.0.0.1:80"', "", [f"6:1: nothing is checked (add one of {', '.join(OWN)})"]),
        (
            "[[host.check]]",
            "[host.check]",
            ["6:1: host.check is a list of tables (write [[host.check]])"],
        ),
    ],
)
def test_what_is_wrong_with_a_check_is_told_at_its_place(old: str, new: str, expected: list[str]) -> None:
    assert complaints(CHECKED.replace(old, new)) == expected


EVENTS = ", ".join(On)
RUN_OR_SHELL = 'run is one of two; write either run = ["/path/of/program", "argument"] or shell = "a line"'


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"master"', '"mastr"', f"7:1: on: item 1: unknown; known are: {EVENTS} (did you mean master?)"),
        ('run = ["/bin/true"]', "", f"6:1: {RUN_OR_SHELL}"),
        ('["/bin/true"]', '"/bin/true"', '8:1: run: expected a list, got text (write run = ["/bin/true"])'),
        ('"/bin/true"]', '"/bin/true"]\nshell = "true"', f"8:1: {RUN_OR_SHELL}"),
        ('"/bin/true"]', '"/bin/true"]\ntimeout = "2h"', "9:1: timeout 2h is above 1h"),
        ('"/bin/true"]', '"/bin/true"]\nretries = 101', "9:1: retries 101 is outside 0-100"),
        (
            '"master"]\nrun = ["/bin/true"]',
            '"before-hold"]\nrun = ["/bin/true"]\nconfirm_for = "2s"',
            "9:1: confirm_for 2s would delay the hold; leave before-hold out of on",
        ),
        (
            '"master"]\nrun = ["/bin/true"]',
            '"before-drop"]\nrun = ["/bin/true"]\nconfirm_for = "2s"',
            "9:1: confirm_for 2s would delay the drop; leave before-drop out of on",
        ),
        (
            '"/bin/true"]',
            r'"/bin/true", "a\u0000b"]',
            r"8:1: run ['/bin/true', 'a\x00b'] has a NUL, which no program can be given; leave it out",
        ),
        (
            'run = ["/bin/true"]',
            r'shell = "a\u0000b"',
            r"8:1: shell 'a\x00b' has a NUL, which no program can be given; leave it out",
        ),
    ],
)
def test_what_is_wrong_with_a_hook_is_told_at_its_place(old: str, new: str, expected: str) -> None:
    assert complaints(HOOKED.replace(old, new)) == [expected]


def test_two_checks_of_a_host_with_one_name_are_told() -> None:
    assert complaints(CHECKED + CHECKED.removeprefix(GOOD)) == [
        '11:1: two are called web (give each a name = "..." of its own)'
    ]


def test_a_hook_of_every_host_with_the_name_of_one_of_a_host_is_told() -> None:
    assert complaints(HOOKED + HOOKED.removeprefix(GOOD).replace("host.hook", "hook")) == [
        '9:1: two are called true (give each a name = "..." of its own)'
    ]


def test_hooks_of_wrong_hosts_are_not_taken_for_those_of_every_host() -> None:
    text = HOOKED + HOOKED.replace("vhid = 1", "vhid = 999") * 2

    assert [each.partition(": ")[2] for each in complaints(text)] == ["vhid 999 is outside 1-255"] * 2


def test_failbacks_belong_to_their_host_or_to_every_host() -> None:
    text = (
        GOOD
        + '[host.failback]\nfailback_delay = "1min"\nfailback = "02:00-04:00"\n'
        + ('[failback]\nmin_dwell = "10min"\nstartup_hold = 40\n[failback.damping]\nhalf_life = "20min"\n')
    )

    own, every = toml.read(text, file="a.toml").failbacks

    assert (own.host, own.item) == (
        HostKey("em0", 1),
        FailbackPolicy(failback_delay_s=60, failback="02:00-04:00"),
    )
    assert (every.host, every.item) == (
        None,
        FailbackPolicy(min_dwell_s=600, startup_hold_s=40, damping=Damping(half_life_s=1200)),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[host.failback]\nfailback = "at night"', "7:1: failback 'at night' is none of"),
        ('[host.failback]\nmin_dwel = "1h"', "7:1: unknown key min_dwel (did you mean min_dwell?)"),
        ('[host.failback]\nmin_dwell = "1 fortnight"', '7:1: min_dwell "1 fortnight" is no duration'),
        ('[[host.failback]]\nmin_dwell = "1h"', "6:1: host.failback is one table (write [host.failback])"),
        ("[failback]\ndamping = { reuse = 3000 }", "7:1: damping: reuse 3000 is not below suppress 2000"),
    ],
)
def test_what_is_wrong_with_a_failback_is_told_at_its_place(text: str, expected: str) -> None:
    (only,) = complaints(GOOD + text + "\n")

    assert only.startswith(expected)


OTHER = GOOD.replace("vhid = 1", "vhid = 2").replace(".10/", ".11/") + 'name = "lan"\n'
WAN = GOOD + 'name = "wan"\n'


def test_a_sync_group_names_hosts_and_its_checks_and_hooks_are_those_of_the_first() -> None:
    text = (
        WAN
        + OTHER
        + (
            '[[sync_group]]\nname = "router"\nhosts = ["lan", "wan"]\n[[sync_group.check]]\nname = "web"\n'
            'tcp = "127.0.0.1:80"\n[[sync_group.hook]]\non = ["master"]\nrun = ["/bin/true"]\n'
        )
    )

    config = toml.read(text, file="a.toml")

    wan, lan = (host.key for host in config.hosts)
    (group,) = config.sync_groups
    assert (group.item.name, group.item.hosts) == ("router", (lan, wan))
    assert ([each.host for each in config.checks], [each.host for each in config.hooks]) == ([lan], [lan])


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([["wan", "lna"]], ["15:1: there is no host lna (there are: wan, lan)"]),
        ([["wan", "wan"]], ["15:1: wan is named twice"]),
        ([["wan"]], ["15:1: hosts has 1 item; name at least 2"]),
        ([["wan", "lan"], ["lan", "wan"]], [
            "18:1: wan is in another sync group already", "18:1: lan is in another sync group already",
        ]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_sync_group_is_told_at_its_place(groups: list[list[str]], expected: list[str]) -> None:
    text = WAN + OTHER
    for number, hosts in enumerate(groups):
        text += f'[[sync_group]]\nname = "g{number}"\nhosts = {json.dumps(hosts)}\n'

    assert complaints(text) == expected


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("[http]", ("127.0.0.1:9711",)),
        ('[http]\nlisten = ["[::1]:80", "unix:/run/x"]', ("[::1]:80", "unix:/run/x")),
    ],
)
def test_http_is_served_on_the_loopback_unless_the_file_says_otherwise(text: str, listen: tuple[str, ...]) -> None:
    assert toml.read(GOOD + text, file="a.toml").http == HttpConfig(listen=listen)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("127.0.0.1", "is no address with a port"),
        ("127.0.0.1:99999", "outside 1-65535"),
        ("localhost:80", "names no address"),
        ("unix:http.sock", "is no path from the root"),
        (f"unix:/{'x' * 107}", "has 108 octets, a socket's at most 107"),
        ('127.0.0.1:80", "127.0.0.1:80', 'listen "127.0.0.1:80" is there twice'),
    ],
)
def test_where_http_cannot_be_served_is_told(place: str, said: str) -> None:
    (only,) = complaints(f'{GOOD}[http]\nlisten = ["{place}"]\n')

    assert only.startswith("7:1: listen")
    assert said in only


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("carp.example.net:9711", "is no name of a machine; write one without port"),
        ("http://carp", "is no name of a machine"),
        ("192.0.2.1", "every address may be used anyway"),
        ("[2001:db8::1]", "every address may be used anyway"),
        ("*", "is no name of a machine"),
        ("x" * 64, "is no name of a machine"),
        ('carp", "CARP.', 'names "CARP." is there twice'),
    ],
)
def test_a_name_by_which_nobody_can_ask_is_told(name: str, said: str) -> None:
    (only,) = complaints(f'{GOOD}[http]\nnames = ["{name}"]\n')

    assert only.startswith("7:1: names")
    assert said in only


def test_names_are_compared_in_lower_case_and_without_the_dot_of_the_root() -> None:
    http = toml.read(GOOD + '[http]\nnames = ["Carp.Example.NET."]\n', file="a.toml").http

    assert http is not None
    assert http.names == ("carp.example.net",)


def test_a_token_is_read_from_the_first_line_of_its_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\nsomething else\n")
    http = toml.read(f'{GOOD}[http]\ntoken_file = "token"\n', file=str(tmp_path / "a.toml")).http

    assert http is not None
    assert http.token is not None
    assert http.token.matches("0123456789abcdef")
    assert http.token_file == tmp_path / "token"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no such file; make it with"), ("short\n", "has 5 octets, not 16 to 256; openssl rand")],
)
def test_a_token_that_cannot_be_used_is_told(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    (only,) = complaints(f'{GOOD}[http]\ntoken_file = "token"\n', file=str(tmp_path / "a.toml"))

    assert "6:1: token_file" in only or "7:1: token_file" in only
    assert said in only


def test_http_without_its_libraries_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_tables, "find_spec", lambda _name: None)

    assert complaints(GOOD + "[http]\n") == ["6:1: http needs aiohttp: pip install 'pycarp[http]'"]
