"""The table of docs/reference/dialects.md says what the dialects are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pycarp.dialects import ALL, Dialect
from pycarp.vocabulary import Family
from pycarp.wire import ethernet

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "dialects.md"
BEGIN = "<!-- the table is checked, and written anew with --update-transcripts -->\n"
END = "<!-- the table ends here -->"


def yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def number(count: int | None) -> str:
    return "any" if count is None else str(count)


def families(of: tuple[Family, ...]) -> str:
    return " ".join(f"v{family}" for family in of) or "none"


def mac(dialect: Dialect) -> str:
    return "virtual" if dialect.source_mac(1) == ethernet.virtual_mac(1) else "00:00:5e:00:00:VHID"


def down(dialect: Dialect) -> str:
    skewed_once = dialect.master_down_ns(1, 1, 3) - dialect.master_down_ns(1, 0, 3) == 3_906_250
    return ("r*b + s" if dialect.limits.has_dead_ratio else "3b + s") if skewed_once else "r(b + s)"


def destinations(dialect: Dialect) -> str:
    peers = f"{number(dialect.limits.peers)} {families(dialect.limits.peer_families)}"
    group = "any group" if dialect.limits.has_own_group else "the group"
    return f"{group}, {peers} peers" if dialect.limits.peer_families else group


def arp(dialect: Dialect) -> str:
    form = dialect.arp
    target = "own" if form.own_target_mac else "zero"
    return f"target {target}, from {'link' if form.link_source else 'owner'}" + ", and reply" * form.with_reply


def again(dialect: Dialect) -> str:
    after = dialect.announce_again_after
    repeated = "no" if after is None else f"+{after} adverts"
    return repeated + ", on a worse MASTER" * dialect.reasserts


ROWS: dict[str, tuple[str, Callable[[Dialect], str]]] = {
    "1": ("`hash_order`", lambda each: each.hash_order.value),
    "2": ("`layouts[0]`", lambda each: each.layouts[0].value),
    "3": ("`layouts`", lambda each: " ".join(sorted(layout.value for layout in each.layouts))),
    "4": ("`signs_lladdr`", lambda each: yes(each.signs_lladdr)),
    "5": ("`limits`", lambda each: f"{number(each.limits.addresses)}, {families(each.limits.families)}"),
    "6": ("`limits.key_octets`", lambda each: str(each.limits.key_octets)),
    "7": ("`counter`", lambda each: each.counter.value),
    "8": ("`v6_checksum`", lambda each: each.v6_checksum.value if each.v6_checksum else "none"),
    "9": ("`claim`: octet of 300", lambda each: str(each.claim(1, 0, 300).demote)),
    "10": ("`claim`: skew 10 + 50", lambda each: str(each.claim(1, 10, 50).advskew)),
    "11": ("`compare`, `keeps_on_tie`", lambda each: each.keeps_on_tie.__name__.replace("_", " ")),
    "12": ("`preempts_demoted`", lambda each: yes(each.preempts_demoted)),
    "13": ("`master_down_ns`", down),
    "14": ("`bow_out`, `farewell`", lambda each: f"{yes(bool(each.bow_out))}, {each.farewell.value}"),
    "15": ("`source_mac`", mac),
    "16": ("`limits`", destinations),
    "17": ("`ttl`", lambda each: each.ttl.value),
    "18": ("`destination`", lambda each: each.destination.value),
    "19": ("`tos`", lambda each: f"0x{each.tos:02x}"),
    "20": ("`identification`", lambda each: "any" if each.identification is None else str(each.identification)),
    "21": ("`address_mac`", lambda each: each.address_mac.value),
    "22": ("`arp`", arp),
    "23": ("`announce_again_after`, `reasserts`", again),
    "24": ("`unknown_link_is_up`", lambda each: yes(each.unknown_link_is_up)),
    "25": ("`limits.families`", lambda each: families(each.limits.families)),
    "26": ("`drops_at_start`", lambda each: yes(each.drops_at_start)),
    "27": ("`vrrp3`", lambda each: yes(each.vrrp3)),
    "28": ("`needs_allow`", lambda each: yes(each.needs_allow)),
    "": ("`send_errors`", lambda each: f"{each.send_errors.failures} → +{each.send_errors.demotion}"),
    " ": ("`link_down_demotion`", lambda each: f"+{each.link_down_demotion}"),
}


def table() -> str:
    head = ["#", "field", *(f"`{dialect.name}`" for dialect in ALL)]
    rows = [[key.strip(), field, *map(tell, ALL)] for key, (field, tell) in ROWS.items()]
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join("| " + " | ".join(cells) + " |\n" for cells in lines) + "\n"


def test_the_table_is_what_the_dialects_say(request: pytest.FixtureRequest) -> None:
    before, _begin, rest = REFERENCE.read_text().partition(BEGIN)
    documented, end, after = rest.partition(END)
    if request.config.getoption("--update-transcripts"):
        REFERENCE.write_text(before + BEGIN + table() + end + after)
        return

    assert documented == table()


def test_every_knob_has_its_row() -> None:
    assert [key for key in ROWS if key.strip()] == [str(knob) for knob in range(1, 29)]
