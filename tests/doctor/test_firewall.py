"""Rules of nftables are followed with an advertisement: what surely drops it is found, and nothing else."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.doctor.firewall import Direction, Drop, Followed, Kind, Ruleset
from pycarp.doctor.firewall_findings import judged, of_senders
from pycarp.doctor.subject import ExaminedHost, Subject
from pycarp.vocabulary import Family

OWN = (ip_interface("192.168.1.3/24"), ip_interface("fe80::3/64"))
IN4 = Followed("eth0", Family.IPV4, Direction.IN, OWN)
IN6 = Followed("eth0", Family.IPV6, Direction.IN, OWN)
OUT4 = Followed("eth0", Family.IPV4, Direction.OUT, OWN)
ACCEPT, DROP, RETURN = {"accept": None}, {"drop": None}, {"return": None}
REJECT = {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}
CARP = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "vrrp"}}


def payload(protocol: str, name: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": name}}, "right": right}}


def meta(key: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}}


def listing(
    *rules: Sequence[dict[str, Any]],
    policy: str = "accept",
    hook: str = "input",
    family: str = "inet",
    others: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A table with one base chain, whose rules have the handles 1, 2, 3."""
    place = {"family": family, "table": "filter"}
    chain = place | {"name": hook, "type": "filter", "hook": hook, "prio": 0, "policy": policy, "dev": "eth0"}
    made = [
        {"rule": place | {"chain": hook, "handle": handle, "expr": list(rule)}} for handle, rule in enumerate(rules, 1)
    ]
    return {"nftables": [{"metainfo": {}}, {"chain": chain}, *others, *made]}


def subchain(name: str, *rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    place = {"family": "inet", "table": "filter"}
    return [
        {"chain": place | {"name": name}},
        *({"rule": place | {"chain": name, "handle": 90 + at, "expr": list(rule)}} for at, rule in enumerate(rules)),
    ]


def named(kind: str, name: str, elements: list[Any]) -> dict[str, Any]:
    return {kind: {"family": "inet", "table": "filter", "name": name, "elem": elements}}


def dropping(found: object, advertised: Followed = IN4) -> list[int | None]:
    """The handles of the rules that drop it; None is the policy."""
    return [each.handle for each in Ruleset.of(found).drops(advertised)]


def test_an_empty_listing_drops_nothing() -> None:
    assert dropping({"nftables": []}) == []


@pytest.mark.parametrize("verdict", [DROP, REJECT])
def test_a_rule_about_the_protocol_is_found(verdict: dict[str, Any]) -> None:
    assert dropping(listing([CARP, verdict])) == [1]


def test_the_policy_drops_what_no_rule_accepts() -> None:
    ssh = [payload("tcp", "dport", 22), ACCEPT]

    assert dropping(listing(ssh, policy="drop")) == [None]
    assert dropping(listing(ssh, [CARP, ACCEPT], policy="drop")) == []


@pytest.mark.parametrize(
    "match",
    [
        meta("l4proto", 112),
        meta("l4proto", {"set": ["tcp", "vrrp"]}),
        meta("l4proto", {"set": [{"elem": {"val": "vrrp", "counter": {}}}]}),
        meta("l4proto", "tcp", op="!="),
        meta("l4proto", {"range": [100, 120]}),
        payload("ip", "protocol", "vrrp"),
        payload("ip", "daddr", "224.0.0.18"),
        payload("ip", "daddr", {"prefix": {"addr": "224.0.0.0", "len": 4}}),
        payload("ip", "daddr", {"range": ["224.0.0.1", "224.0.0.255"]}),
        payload("ip", "saddr", {"prefix": {"addr": "192.168.0.0", "len": 16}}),
        payload("ip", "saddr", {"prefix": {"addr": "10.0.0.0", "len": 8}}, op="!="),
        payload("ip", "ttl", 255),
        meta("iifname", "eth0"),
        meta("iifname", "eth*"),
        meta("pkttype", "multicast"),
        meta("nfproto", "ipv4"),
        {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["new", "untracked"]}},
        {"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "multicast"}},
    ],
    ids=str,
)
def test_whatever_says_that_it_is_an_advertisement_matches(match: dict[str, Any]) -> None:
    assert dropping(listing([match, DROP])) == [1]
    assert dropping(listing([match, ACCEPT], policy="drop")) == []


@pytest.mark.parametrize(
    "match",
    [
        meta("l4proto", "tcp"),
        meta("l4proto", 112, op="!="),
        payload("tcp", "dport", 80),
        payload("ip6", "nexthdr", "vrrp"),
        payload("ip", "daddr", "192.168.1.3"),
        payload("ip", "saddr", {"prefix": {"addr": "10.0.0.0", "len": 8}}),
        meta("iifname", "eth1"),
        meta("iifname", "lo"),
        meta("nfproto", "ipv6"),
        {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
    ],
    ids=str,
)
def test_whatever_says_that_it_is_another_packet_does_not_match(match: dict[str, Any]) -> None:
    assert dropping(listing([match, DROP])) == []
    assert dropping(listing([match, ACCEPT], policy="drop")) == [None]


@pytest.mark.parametrize(
    "condition",
    [
        meta("mark", 7),
        payload("ip", "saddr", "192.168.1.4"),
        payload("ip", "length", 56),
        {"limit": {"rate": 5, "per": "second"}},
        {"xt": {"type": "match", "name": "u32"}},
    ],
    ids=str,
)
def test_what_may_match_or_not_is_not_reported(condition: dict[str, Any]) -> None:
    assert dropping(listing([condition, DROP])) == []
    assert dropping(listing([condition, ACCEPT], policy="drop")) == []


def test_an_accept_ends_its_chain_and_no_other() -> None:
    first, second = listing([CARP, ACCEPT]), listing([CARP, DROP], family="ip")

    assert dropping({"nftables": first["nftables"] + second["nftables"]}) == [1]


def test_jumps_are_followed_and_returned_from() -> None:
    jump = [{"jump": {"target": "sub"}}]

    assert dropping(listing(jump, others=subchain("sub", [CARP, DROP]))) == [90]
    assert dropping(listing(jump, [DROP], others=subchain("sub", [RETURN], [DROP]))) == [2]
    assert dropping(listing(jump, [DROP], others=subchain("sub", [ACCEPT]))) == []
    assert dropping(listing([{"goto": {"target": "sub"}}], [ACCEPT], policy="drop", others=subchain("sub"))) == [None]


def test_a_jump_in_a_circle_ends() -> None:
    assert dropping(listing([{"jump": {"target": "a"}}], others=subchain("a", [{"jump": {"target": "a"}}]))) == []


def test_named_sets_and_maps_are_looked_up() -> None:
    by_name = {"vmap": {"key": {"meta": {"key": "l4proto"}}, "data": "@verdicts"}}
    pairs = [["tcp", ACCEPT], [{"elem": {"val": "vrrp"}}, DROP]]

    assert dropping(listing([meta("l4proto", "@bad"), DROP], others=[named("set", "bad", ["vrrp"])])) == [1]
    assert dropping(listing([by_name], others=[named("map", "verdicts", pairs)])) == [1]
    assert dropping(listing([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["eth1", DROP]]}}}])) == []


def test_the_way_out_has_its_own_hooks_and_interface() -> None:
    out = listing([meta("oifname", "eth0"), CARP, DROP], hook="output")

    assert (dropping(out, OUT4), dropping(out, IN4)) == ([1], [])


def test_ipv6_is_followed_by_itself() -> None:
    found = listing([payload("ip6", "nexthdr", "vrrp"), DROP])

    assert (dropping(found, IN6), dropping(found, IN4)) == ([1], [])


def test_the_hook_of_a_device_is_that_of_the_device() -> None:
    found = listing([CARP, DROP], hook="ingress", family="netdev")

    assert dropping(found, IN4) == [1]
    assert dropping(found, IN4._replace(interface="eth1")) == []


def test_the_hook_of_a_device_that_nft_does_not_print_may_be_that_of_any() -> None:
    found = listing([CARP, DROP], hook="ingress", family="netdev")
    del found["nftables"][1]["chain"]["dev"]

    assert dropping(found, IN4._replace(interface="eth1")) == [1]


def test_a_drop_names_its_place_and_what_mends_it() -> None:
    rule, policy = Drop("inet", "filter", "input", "input", 7), Drop("ip", "f", "in", "input", None)

    assert rule.words == "rule 7 of chain input in table inet filter"
    assert policy.words == "the policy of chain in in table ip f"
    assert rule.mending(Kind.CARP) == "nft insert rule inet filter input meta l4proto 112 accept"


ARP = Followed("eth0", Family.IPV4, Direction.IN, OWN, Kind.ARP)
DISCOVERY = Followed("eth0", Family.IPV6, Direction.IN, OWN, Kind.DISCOVERY)


def test_arp_passes_its_own_tables_and_those_of_the_device() -> None:
    request = [payload("arp", "operation", "request"), DROP]

    assert dropping(listing(request, family="arp"), ARP) == [1]
    assert dropping(listing(request, policy="drop"), ARP) == []
    assert dropping(listing([payload("ether", "type", "arp"), DROP], family="netdev", hook="ingress"), ARP) == [1]
    assert dropping(listing([payload("arp", "daddr ip", "192.168.1.50"), DROP], family="arp"), ARP) == []


def test_neighbour_discovery_needs_a_rule_of_its_own_where_the_policy_drops() -> None:
    discovery = payload("icmpv6", "type", {"set": ["nd-neighbor-solicit", "nd-neighbor-advert"]})
    tracked = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}

    assert dropping(listing([tracked, ACCEPT], [CARP, ACCEPT], policy="drop"), DISCOVERY) == [None]
    assert dropping(listing([discovery, ACCEPT], policy="drop"), DISCOVERY) == []
    assert dropping(listing([meta("l4proto", "ipv6-icmp"), ACCEPT], policy="drop"), DISCOVERY) == []
    assert dropping(listing([payload("icmpv6", "type", "echo-request"), ACCEPT], policy="drop"), DISCOVERY) == [None]


def test_what_clients_ask_matters_where_there_are_hosts() -> None:
    host = ExaminedHost(name="carp0", interface="eth0", vhid=7, addresses=(ip_interface("fd00::50/64"),))
    rules = listing([CARP, ACCEPT], policy="drop")

    found, groups, *_more = judged(rules, (Subject(interface="eth0", hosts=(host,), own=OWN),), bridges=frozenset())
    assert (found.severity.value, found.words.startswith("the firewall drops neighbour discovery")) == ("problem", True)
    assert "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept" in found.command
    assert (groups.severity.value, groups.words.startswith("the firewall drops MLD")) == ("warning", True)
    assert list(judged(rules, (Subject(interface="eth0", own=OWN),), bridges=frozenset())) == []


def test_each_place_is_one_finding_whatever_the_family() -> None:
    found = list(judged(listing([CARP, DROP]), (Subject(interface="eth0", own=OWN),), bridges=frozenset()))

    assert [(each.kind, each.subject, each.severity.value) for each in found] == [("firewall", "eth0", "warning")]


def test_rules_are_a_problem_of_hosts_that_read_at_the_ip_layer() -> None:
    subject = Subject(interface="eth0", own=OWN)
    found = judged(listing([CARP, DROP]), (subject,), bridges=frozenset(), is_at_ip_layer=True)

    assert [each.severity.value for each in found] == ["problem"]


def test_what_a_bridge_drops_between_its_ports_is_a_problem() -> None:
    rules = listing([CARP, DROP], hook="forward", family="bridge")
    subject = Subject(interface="br0", own=OWN)

    assert [each.severity.value for each in judged(rules, (subject,), bridges=frozenset({"br0"}))] == ["problem"]
    assert list(judged(rules, (subject,), bridges=frozenset())) == []


KEYS = (
    "match op left right meta key payload protocol field set prefix addr len range elem val vmap data jump target "
    "drop accept ct fib flags result"
)
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(["eth0", "vrrp", "@bad", "accept", "==", "::", ""])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.lists(JSON, max_size=3), max_size=3), JSON)
def test_no_rule_is_stumbled_over(rules: list[list[Any]], anything: object) -> None:
    made = listing(*rules, policy="drop", others=[named("set", "bad", [anything])])

    for followed in (IN4, IN6, OUT4, ARP, DISCOVERY):
        assert all(isinstance(each, Drop) for each in Ruleset.of(made).drops(followed))
    assert list(Ruleset.of(anything).drops(IN4)) == []


def test_a_rule_about_one_sender_counts_once_that_sender_was_heard() -> None:
    one = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.168.1.9"}}
    rules = listing([one, DROP])
    subject, heard = Subject(interface="eth0", own=OWN), [ip_address("192.168.1.9"), ip_address("192.168.1.8")]

    assert list(judged(rules, (subject,), bridges=frozenset())) == []
    (found,) = of_senders(rules, subject, heard, found=())
    assert found.words.endswith("for one that is from 192.168.1.9")


def test_what_arptables_asks_of_every_arp_packet_is_known() -> None:
    asked = [
        {"match": {"op": "==", "left": {"payload": {"protocol": "arp", "field": field}}, "right": value}}
        for field, value in (("htype", 1), ("hlen", 6), ("plen", 4))
    ]

    assert dropping(listing([*asked, DROP], family="arp"), ARP) != []
