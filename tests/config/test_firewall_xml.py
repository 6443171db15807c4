"""config.xml of OPNsense and pfSense: virtual IPs become hosts, what has no equal is named with its line."""

from ipaddress import IPv4Address, ip_interface

import pytest

from pycarp.auth.key import Passphrase
from pycarp.config import ConfigProblems, NodeConfig, grammars
from pycarp.config.grammars import Grammar
from pycarp.vocabulary import LinkFacts

VIP = """\
    <vip>
      <mode>carp</mode>
      <interface>lan</interface>
      <vhid>3</vhid>
      <advskew>100</advskew>
      <advbase>1</advbase>
      <password>opnsense</password>
      <descr>VIP LAN</descr>
      <type>single</type>
      <subnet_bits>24</subnet_bits>
      <subnet>192.0.2.1</subnet>
    </vip>
"""
TEXT = f"""\
<?xml version="1.0"?>
<opnsense>
  <system><hostname>fw1</hostname></system>
  <interfaces>
    <wan><if>em1</if><ipaddr>dhcp</ipaddr></wan>
    <lan><if>em0</if><ipaddr>192.0.2.10</ipaddr><subnet>24</subnet></lan>
  </interfaces>
  <filter><rule><interface>lan</interface></rule></filter>
  <virtualip>
{VIP}  </virtualip>
</opnsense>
"""


def read(text: str, *links: str, **renames: str) -> NodeConfig:
    there = [LinkFacts(name=each, is_up=True) for each in links]
    return grammars.read(text, Grammar.CONFIG_XML, file="config.xml", renames=renames, links=there)


def with_vip(more: str) -> str:
    return TEXT.replace("  </virtualip>", f"{more}  </virtualip>")


def complaints(text: str, *links: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read(text, *links)
    return [str(each).removeprefix("config.xml:") for each in caught.value.problems]


def test_a_virtual_ip_is_a_host() -> None:
    config = read(TEXT)

    (host,) = config.hosts
    assert (host.interface, host.vhid, host.advbase, host.advskew, host.name) == ("em0", 3, 1, 100, "VIP LAN")
    assert (host.passphrase, host.addresses, host.preempt) == (
        Passphrase("opnsense"),
        (ip_interface("192.0.2.1/24"),),
        True,
    )
    assert (config.hostname, config.own) == ("fw1", {"em0": (ip_interface("192.0.2.10/24"),)})
    assert config.places == {host.key: (10, 5)}


@pytest.mark.parametrize("file", ["config.xml", "config-fw1.localdomain-20260101.xml", "backup"])
def test_the_grammar_is_recognised(file: str) -> None:
    assert grammars.recognise(file, TEXT) is Grammar.CONFIG_XML
    assert grammars.recognise(file, TEXT.replace("opnsense>", "pfsense>")) is Grammar.CONFIG_XML


@pytest.mark.parametrize("old", ["lan", "em0"])
def test_an_interface_is_renamed_by_either_of_its_names(old: str) -> None:
    assert read(TEXT, "eth1", **{old: "eth1"}).hosts[0].interface == "eth1"


def test_an_interface_that_is_not_here_is_refused_with_its_name_in_the_firewall() -> None:
    assert complaints(TEXT, "lo", "eth0") == [
        "12:7: interface em0 does not exist; there are: lo, eth0 (rename it: --map lan=eth0)"
    ]


@pytest.mark.parametrize(
    "alias",
    [
        "<vip><mode>ipalias</mode><interface>lan</interface><vhid>3</vhid><subnet>192.0.2.2</subnet></vip>",
        "<vip><mode>ipalias</mode><interface>_vip5f</interface><subnet>192.0.2.2</subnet></vip>",
    ],
)
def test_an_alias_of_a_virtual_ip_is_one_more_address_of_it(alias: str) -> None:
    text = with_vip(alias).replace("<type>single", "<uniqid>5f</uniqid><type>single")

    assert [str(each) for each in read(text).hosts[0].addresses] == ["192.0.2.1/24", "192.0.2.2/32"]


def test_disablepreempt_leaves_the_addresses_where_they_are() -> None:
    text = TEXT.replace("  <virtualip>", "<hasync><disablepreempt>1</disablepreempt></hasync><virtualip>")

    assert not read(text).hosts[0].preempt
    assert read(text.replace("<disablepreempt>1", "<disablepreempt>0")).hosts[0].preempt


def test_switches_of_carp_are_taken() -> None:
    item = "<item><tunable>net.inet.carp.{}</tunable><value>{}</value></item>"
    items = "".join(item.format(*each) for each in [("log", 2), ("preempt", 0), ("ifdown_demotion_factor", "default")])
    config = read(TEXT.replace("  <virtualip>", f"<sysctl>{items}</sysctl><virtualip>"))

    assert (config.sysctls, config.hosts[0].preempt) == ((("net.inet.carp.log", 2),), False)


def test_peers_are_those_of_unicast() -> None:
    host = read(TEXT.replace("<vhid>3", "<peer>192.0.2.11</peer><vhid>3")).hosts[0]
    plus = read(TEXT.replace("<vhid>3", "<carp_mode>ucast</carp_mode><carp_peer>192.0.2.11</carp_peer><vhid>3")).hosts[
        0
    ]
    group = read(TEXT.replace("<vhid>3", "<peer>224.0.0.18</peer><vhid>3")).hosts[0]

    assert (host.peers, plus.peers, group.peers) == ((IPv4Address("192.0.2.11"),), (IPv4Address("192.0.2.11"),), ())


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("<vip><mode>proxyarp</mode><subnet>192.0.2.9</subnet></vip>", "22: proxyarp 192.0.2.9: pycarp answers for no"),
        ("<vip><mode>ipalias</mode><subnet>192.0.2.9</subnet></vip>", "22: ipalias 192.0.2.9: it is not shared; give"),
        ("</virtualip><hasync><pfsyncenabled>on</pfsyncenabled></hasync><virtualip>", "22: pfsync: pycarp moves addr"),
        ("</virtualip><hasync><synchronizetoip>x</synchronizetoip></hasync><virtualip>", "22: synchronizetoip: pycarp"),
        ("</virtualip><virtualip_carp_maintenancemode/><virtualip>", "22: maintenance mode: left out; pycarp drain"),
    ],
)
def test_what_has_no_equal_is_named_with_its_line(more: str, expected: str) -> None:
    assert any(each.startswith(f"config.xml:{expected}") for each in read(with_vip(more)).notes)


def test_a_password_that_freebsd_cuts_is_cut_with_a_note() -> None:
    config = read(TEXT.replace("<password>opnsense", f"<password>{'0123456789' * 3}"))

    assert config.hosts[0].passphrase == Passphrase("0123456789012345678")
    assert config.notes == ("config.xml:16: password: FreeBSD uses its first 19 octets, and so does this",)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("<vhid>3</vhid>", ""), "10:5: vhid is missing (add <vhid>; every host of the set has one)"),
        (("<password>opnsense", "<password>"), "10:5: password is missing"),
        (("<vhid>3", "<vhid>300"), "13:7: vhid 300 is outside 1-255"),
        (("<advskew>100", "<advskew>x"), "14:7: advskew 'x' is no whole number"),
        (("192.0.2.1</", "192.0.2.300</"), "20:7: 192.0.2.300/24 is no address with a prefix length"),
        (("<mode>carp", "<mode>ipalias"), "10:5: 192.0.2.1 belongs to a virtual IP that is not here"),
        (("<opnsense>", "<netscreen>"), "23:3: this is not XML"),
        ((VIP, ""), "2:1: no virtual IP of mode carp is here"),
        ((VIP, VIP + VIP), "22:5: vhid 3 stands twice on em0"),
        (("<vhid>3", "<peer>x</peer><vhid>3"), "10:5: peer x is no address"),
    ],
)
def test_what_cannot_work_is_complained_about_at_its_place(change: tuple[str, str], expected: str) -> None:
    found = complaints(TEXT.replace(*change))

    assert any(each.startswith(expected) for each in found), found


def test_another_kind_of_xml_is_refused() -> None:
    assert complaints("<html/>") == ["1:1: this is <html>, and not the config.xml of OPNsense or pfSense"]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]>\n<opnsense><virtualip>&c;</virtualip></opnsense>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><opnsense/>',
    ],
)
def test_a_text_that_would_grow_or_read_other_files_is_refused(text: str) -> None:
    (complaint,) = complaints(text)

    assert complaint.startswith("1:")
    assert complaint.endswith("declares a document type or an entity (a config.xml has none; remove it)")


def test_a_text_that_is_nested_without_end_is_refused() -> None:
    assert complaints("<opnsense>" + "<virtualip>" * 10_000)[0].endswith(
        "elements are nested more than 50 deep (a config.xml is not)"
    )


def test_a_text_with_too_many_elements_is_refused() -> None:
    text = f"<opnsense><system/><virtualip>{'<a/>' * 100_001}</virtualip></opnsense>"

    assert complaints(text)[0].endswith("more than 100,000 elements (a config.xml has fewer)")


def test_no_message_shows_a_password() -> None:
    text = TEXT.replace("<password>opnsense", "<password>s3cret s3cret s3cret").replace("<vhid>3", "<vhid>300")

    assert "s3cret" not in "\n".join(complaints(text))
