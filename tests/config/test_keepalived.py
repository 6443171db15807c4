"""keepalived.conf: what becomes of VRRP in CARP."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import Passphrase
from pycarp.config import ConfigProblems, NodeConfig, grammars, keepalived, keepalived_keywords
from pycarp.config.grammars import Grammar
from pycarp.daemon.config_source import ConfigSource
from pycarp.errors import ConfigError
from pycarp.vocabulary import MacMode

INSTANCE = """\
vrrp_instance web {
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 2
    authentication {
        auth_type PASS
        auth_pass s3cret
    }
    virtual_ipaddress {
        192.0.2.100/24
    }
    # more
}
"""
SCRIPT = 'vrrp_script nginx {\n    script "killall -0 nginx"\n    interval 2\n    fall 3\n}\n'
OTHER = INSTANCE.replace("web", "lan").replace("51", "52").replace("192.0.2.100", "198.51.100.1")


def read(text: str, password: str | None = None, **renames: str) -> NodeConfig:
    return keepalived.read(text, file="keepalived.conf", renames=renames, password=password)


def with_lines(*lines: str, text: str = INSTANCE) -> str:
    return text.replace("# more", "\n".join(lines))


def tables(text: str, kind: str) -> list[dict[str, object]]:
    return [dict(each.table) for each in getattr(read(text), kind)]


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read(text)
    return [str(each).removeprefix("keepalived.conf:") for each in caught.value.problems]


def notes(text: str) -> str:
    return "\n".join(read(text).notes)


def test_an_instance_is_a_host() -> None:
    config = read(INSTANCE)

    (host,) = config.hosts
    assert (host.name, host.interface, host.vhid, host.advbase, host.advskew) == ("web", "eth0", 51, 2, 104)
    assert (host.preempt, host.passphrase, [str(each) for each in host.addresses]) == (
        True,
        Passphrase("s3cret"),
        ["192.0.2.100/24"],
    )
    assert config.places[host.key] == (3, 23)


@pytest.mark.parametrize("file", ["/etc/keepalived/keepalived.conf", "keepalived.conf.old", "my-keepalived.conf", "x"])
def test_the_grammar_is_recognised(file: str) -> None:
    assert grammars.recognise(file, INSTANCE) is Grammar.KEEPALIVED


def test_that_carp_is_another_protocol_is_said_once() -> None:
    said = [each for each in read(INSTANCE + OTHER).notes if "CARP is another protocol" in each]

    assert said == [f"keepalived.conf:1: {keepalived.ANOTHER_PROTOCOL}"]


@pytest.mark.parametrize(("priority", "advskew"), [("255", 0), ("254", 0), ("100", 154), ("1", 253)])
def test_the_higher_priority_is_the_lower_advskew(priority: str, advskew: int) -> None:
    assert read(INSTANCE.replace("150", priority)).hosts[0].advskew == advskew


def test_without_a_priority_it_is_keepalived_s_own() -> None:
    assert read(INSTANCE.replace("priority 150", "")).hosts[0].advskew == 154


@pytest.mark.parametrize(("line", "preempts"), [("nopreempt", False), ("preempt", True), ("nopreempt off", True)])
def test_nopreempt_is_preempt_the_other_way_round(line: str, preempts: bool) -> None:
    assert read(with_lines(line)).hosts[0].preempt is preempts


def test_what_else_has_an_equal_is_taken() -> None:
    lines = ["use_vmac", "dont_track_primary", "down_timer_adverts 5", "garp_master_refresh 30"]
    host = read(with_lines(*lines, "unicast_peer {\n192.0.2.3\n}")).hosts[0]

    assert (host.mac_mode, host.ignores_link, host.dead_ratio) == (MacMode.VIRTUAL, True, 5)
    assert (host.announce_every_s, [str(each) for each in host.peers]) == (30, ["192.0.2.3"])


def test_what_holds_for_every_instance_is_that_of_each_that_says_nothing_else() -> None:
    text = "global_defs {\nvrrp_garp_master_refresh 30\nvrrp_down_timer_adverts 5\n}\n"

    (one, other) = read(text + with_lines("garp_master_refresh 7", "mcast_dst_ip 224.0.0.98") + OTHER).hosts
    assert (one.announce_every_s, one.dead_ratio, str(one.multicast_group)) == (7, 5, "224.0.0.98")
    assert (other.announce_every_s, other.dead_ratio, other.multicast_group) == (30, 5, None)


def test_what_keepalived_leaves_out_beside_state_master_is_left_out_with_a_note() -> None:
    text = with_lines("nopreempt", "preempt_delay 5", "state MASTER")

    assert (read(text).hosts[0].preempt, read(text).failbacks) == (True, ())
    assert all(f"{line}: keepalived leaves it out" in notes(text) for line in ("13: nopreempt", "14: preempt_delay"))


def test_a_state_that_keepalived_does_not_know_is_named() -> None:
    text = with_lines("state SLAVE")

    assert read(text).hosts[0].preempt
    assert "state SLAVE: there is none of that name" in notes(text)


def test_no_weight_counts_for_the_owner_of_the_addresses() -> None:
    text = SCRIPT + with_lines("track_script {\nnginx weight -20\n}").replace("150", "255")

    assert (read(text).checks, "nginx changes nothing, with keepalived neither" in notes(text)) == ((), True)


def test_a_weight_in_a_sync_group_is_noted() -> None:
    text = SCRIPT + with_lines("track_script {\nnginx weight -20\n}") + OTHER
    group = "vrrp_sync_group both {\ngroup {\nweb\nlan\n}\n}\n"

    assert ":19: nginx: keepalived ignores a weight in a vrrp_sync_group" in notes(text + group)
    assert "ignores a weight" not in notes(text + group.replace("both {", "both {\nsync_group_tracking_weight"))


def test_a_delay_is_that_of_the_failback() -> None:
    text = "global_defs {\nvrrp_startup_delay 5.5\n}\n" + with_lines("preempt_delay 90")

    assert tables(text, "failbacks") == [{"startup_hold": "5.5s", "failback_delay": "1min30s"}]


def test_another_group_is_that_of_every_host() -> None:
    text = "global_defs {\nvrrp_mcast_group4 224.0.0.99\n}\n" + INSTANCE

    assert str(read(text).hosts[0].multicast_group) == "224.0.0.99"


def test_excluded_addresses_are_shared_like_the_others_with_a_note() -> None:
    text = with_lines("virtual_ipaddress_excluded {\n 2001:db8::1/64\n}")

    assert [str(each) for each in read(text).hosts[0].addresses] == ["192.0.2.100/24", "2001:db8::1/64"]
    assert ":13: virtual_ipaddress_excluded: these addresses are shared" in notes(text)


def test_an_address_may_have_options_that_are_noted() -> None:
    text = INSTANCE.replace("192.0.2.100/24", "192.0.2.100/24 brd 192.0.2.255 dev eth0 label eth0:1 noprefixroute")

    assert [str(each) for each in read(text).hosts[0].addresses] == ["192.0.2.100/24"]
    assert all(f":11: {each}: pycarp sets" in notes(text) for each in ("brd 192.0.2.255", "label eth0:1"))


@pytest.mark.parametrize(
    ("weight", "advskew", "by"), [("-20", 104, 20), ("20", 84, 20), ("0", 104, None), ("110", 0, 104)]
)
def test_a_weight_is_what_a_failure_adds(weight: str, advskew: int, by: int | None) -> None:
    """One above 0 counts while the script passes; priorities end at 254."""
    text = SCRIPT.replace("}", f"weight {weight}\n}}") + with_lines("track_script {\nnginx\n}")

    (check,) = tables(text, "checks")
    assert (read(text).hosts[0].advskew, check.get("by")) == (advskew, by)


def test_a_script_is_a_check() -> None:
    (check,) = tables(SCRIPT + with_lines("track_script {\nnginx weight -7\n}"), "checks")

    times = {"every": "2s", "timeout": "2s", "rise": 1, "fall": 3}
    assert check == {"name": "nginx", "exec": ["killall", "-0", "nginx"], **times, "by": 7}


@pytest.mark.parametrize(
    ("script", "argv"),
    [
        ("\"/bin/sh -c 'test -f /a && true'\"", ["/bin/sh", "-c", "test -f /a && true"]),
        (r'"/bin/sh -c \"exit 1\""', ["/bin/sh", "-c", "exit 1"]),
        ('"ss -ltn | grep :80"', ["/bin/sh", "-c", "ss -ltn | grep :80"]),
        ('"</dev/tcp/127.0.0.1/80"', ["/bin/bash", "-c", "</dev/tcp/127.0.0.1/80"]),
        ("/usr/bin/pgrep nginx", ["/usr/bin/pgrep", "nginx"]),
    ],
)
def test_a_shell_runs_what_only_a_shell_understands(script: str, argv: list[str]) -> None:
    text = SCRIPT.replace('"killall -0 nginx"', script) + with_lines("track_script {\nnginx\n}")

    assert tables(text, "checks")[0]["exec"] == argv


def test_an_interface_and_a_process_are_checks() -> None:
    text = "vrrp_track_process db {\nprocess /usr/bin/postgres\n}\n" + with_lines(
        "track_interface {\neth1 weight -30\neth0\n}", "track_process {\ndb\n}"
    )

    assert tables(text, "checks") == [
        {"name": "interface eth1", "interface": "eth1", "by": 30},
        {"name": "db", "process": "postgres", "rise": 1, "fall": 1},
    ]


def test_scripts_of_a_state_are_hooks() -> None:
    text = with_lines('notify_master "/m a b"', "notify_backup /b", "notify_fault /f", "notify_master_rx_lower_pri /r")

    assert [(each["on"], each["run"]) for each in tables(text, "hooks")] == [
        (["master"], ["/m", "a", "b"]),
        (["backup"], ["/b"]),
        (["fault"], ["/f"]),
        (["conflict-won"], ["/r"]),
    ]


def test_a_script_for_every_state_gets_the_arguments_that_it_had() -> None:
    runs = [each["run"] for each in tables(with_lines("notify /n"), "hooks")]

    assert runs == [["/n", "INSTANCE", "web", state, "150"] for state in ("MASTER", "BACKUP", "FAULT")]


def test_what_an_instance_says_counts_wherever_it_stands() -> None:
    lines = ["notify /n", "track_interface {\neth0\n}"]
    last = with_lines(*lines)
    first = with_lines(text=INSTANCE).replace("    interface", "\n".join(lines) + "\n    interface")

    assert (tables(first, "hooks"), tables(first, "checks")) == (tables(last, "hooks"), tables(last, "checks"))


def test_what_keepalived_calls_when_it_ends_is_noted_with_the_way_out() -> None:
    assert ":13: notify_stop: pycarp calls nothing when it ends; write it as ExecStopPost=" in notes(
        with_lines("notify_stop /s")
    )


def test_a_sync_group_is_one_with_the_hooks_of_its_first_host() -> None:
    text = INSTANCE + OTHER + "vrrp_sync_group both {\ngroup {\nweb\nlan\n}\nnotify_master /m\n}\n"

    (hook,) = read(text).hooks
    assert tables(text, "sync_groups") == [{"name": "both", "hosts": ["web", "lan"]}]
    assert (hook.name, hook.host) == ("both notify_master", read(text).hosts[0].key)


def test_a_group_of_one_is_none() -> None:
    text = INSTANCE + "vrrp_sync_group one {\ngroup {\nweb\n}\n}\n"

    assert (read(text).sync_groups, "15: vrrp_sync_group one has one member only" in notes(text)) == ((), True)


@pytest.mark.parametrize(
    "text",
    [
        INSTANCE.replace("web {", "web{").replace("authentication {", "authentication\n{"),
        re.sub(r"\{\n\s*(\S+)\n\s*\}", r"{ \1 }", INSTANCE).replace("s3cret\n    }", "s3cret }"),
        INSTANCE.replace("priority 150", "priority 150 ! not 100").replace("s3cret", '"s3cret" # secret'),
        "$P=150\n$NET=192.0.2\n" + INSTANCE.replace("150", "$P").replace("192.0.2", "${NET}"),
        "$LINES=interface eth0 \\\nvirtual_router_id 51\n"
        + INSTANCE.replace("interface eth0\n", "$LINES\n").replace("    virtual_router_id 51\n", ""),
        "\ufeff" + INSTANCE.replace("\n", "\r\n"),
    ],
)
def test_the_same_may_be_written_in_other_ways(text: str) -> None:
    assert read(text) == read(INSTANCE)


@pytest.mark.parametrize(
    ("block", "keyword"),
    [
        *(("vrrp_instance web", keyword) for keyword in keepalived_keywords.INSTANCE),
        *(("global_defs", keyword) for keyword in keepalived_keywords.GLOBAL),
        *(("", keyword) for keyword in keepalived_keywords.TOP),
    ],
)
def test_a_keyword_without_an_equal_is_noted_with_its_line(block: str, keyword: str) -> None:
    line = f"{keyword} x {{\n}}"
    text = with_lines(line) if block.startswith("vrrp") else f"{block} {{\n{line}\n}}\n" if block else f"\n{line}\n"
    text = text if block.startswith("vrrp") else text + INSTANCE

    assert f"keepalived.conf:{13 if block.startswith('vrrp') else 2}: {keyword}: " in notes(text)


@pytest.mark.parametrize(
    ("line", "why"),
    [("virtual_route {\n}", "a hook on master and one on lost"), ("frobnicate", "pycarp does not know it")],
)
def test_an_unknown_keyword_is_noted_unless_it_may_be_one_with_an_equal(line: str, why: str) -> None:
    assert re.search(rf":13: {line.split(maxsplit=1)[0]}: .*{why}", notes(with_lines(line)))


def test_a_value_that_is_not_there_is_the_only_problem() -> None:
    assert complaints(INSTANCE.replace("51", "$ID")) == ["3:23: $ID has no value in this file (write the value)"]


@pytest.mark.parametrize("word", ["include", "includea", "includer"])
def test_an_included_file_is_named(word: str) -> None:
    assert ":13: /etc/more.conf is read by keepalived here, but not by pycarp" in notes(
        with_lines(f"{word} /etc/more.conf")
    )


def test_a_file_that_only_includes_another_one_names_it() -> None:
    assert complaints("include /etc/more.conf\n") == [
        "1:9: /etc/more.conf is read by keepalived here (give pycarp that file)"
    ]


def test_words_behind_a_value_are_named() -> None:
    assert ":2: interface: eth0 counts, and goes here behind it is passed over" in notes(
        INSTANCE.replace("interface eth0", "interface eth0 goes here")
    )


def test_a_long_password_is_cut_with_a_note() -> None:
    text = INSTANCE.replace("s3cret", "0123456789" * 3)

    assert read(text).hosts[0].passphrase == Passphrase("0123456789012345678")
    assert ":8: auth_pass: a password of CARP has at most 19 octets" in notes(text)
    assert "0123456789" not in notes(text)


def test_a_password_from_elsewhere_is_that_of_instances_without() -> None:
    text = re.sub(r"authentication \{.*?\}", "", INSTANCE, flags=re.DOTALL)

    assert read(text + OTHER, password="other").hosts[0].passphrase == Passphrase("other")
    assert read(text + OTHER, password="other").hosts[1].passphrase == Passphrase("s3cret")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("auth_pass s3cret", ""), "1:1: web has no auth_pass, and CARP always needs a password"),
        (("interface eth0", ""), "1:1: web has no interface"),
        (("virtual_router_id 51", ""), "1:1: web has no virtual_router_id"),
        (("192.0.2.100/24", ""), "1:1: web has no virtual_ipaddress"),
        (("51", "256"), "3:23: virtual_router_id 256 is outside 1-255"),
        (("51", "x"), "3:23: virtual_router_id x is no whole number"),
        (("priority 150", "priority"), "4:5: priority has no value"),
        (("interface eth0", "interface {\n}"), "2:5: interface has no value"),
        (("priority", "prioritty"), "4:5: unknown keyword prioritty (did you mean priority?)"),
        (("advert_int 2", "advert_int 300"), "5:16: advert_int 300 is outside 1-255"),
        (("advert_int 2", "advert_int x"), "5:16: advert_int x is no number of seconds"),
        (("192.0.2.100/24", "web.example.org"), "11:9: web.example.org is no address"),
        (("192.0.2.100/24", "192.0.2.100/24 192.0.2.101"), "11:24: unknown option 192.0.2.101 of an address"),
        (("192.0.2.100/24", "192.0.2.100/24 dev eth1"), "11:9: 192.0.2.100 is to be on eth1, and this instance runs"),
        (("192.0.2.100/24", "$VIP"), "11:9: $VIP has no value in this file"),
        (("192.0.2.100/24", "{{ vip }}"), "11:9: this is a template, not a configuration"),
        (("    priority", "@a  priority"), "4:1: this line depends on the machine: keepalived --config-id a"),
        (("    # more\n}", ""), "1:1: the block of vrrp_instance is never closed"),
        (("# more", "}"), "14:1: } closes no block"),
        (("# more", 'notify "x'), '13:12: quote " is never closed'),
        (("# more", "track_interface {\neth1 reverse\n}"), "14:6: reverse: no check of pycarp counts the other way"),
        (("# more", "track_interface {\neth1 weight x\n}"), "14:13: weight is no whole number"),
        (("# more", "unicast_peer {\nx\n}"), "14:1: x is no address"),
        (("# more", "notify /a\nnotify /b"), "14:1: notify stands twice"),
        (
            ("# more", "track_interface eth0"),
            "13:5: track_interface has no block, and keepalived takes the lines below",
        ),
        (("# more", "<<<<<<< HEAD"), "13:5: a conflict of a merge that nobody resolved (keep one side of it)"),
        (("web {", "{"), "1:1: vrrp_instance has no name"),
        (("interface eth0", "interface eth0:1"), "2:15: eth0:1 is the label of an address"),
    ],
)
def test_what_cannot_work_is_complained_about_at_its_place(change: tuple[str, str], expected: str) -> None:
    assert any(each.startswith(expected) for each in complaints(INSTANCE.replace(*change)))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (OTHER.replace("52", "51"), "17:23: virtual_router_id 51 is used twice on eth0, by web as well"),
        (OTHER.replace("198.51.100.1/", "192.0.2.100/"), "25:9: 192.0.2.100 is shared by web already"),
        (OTHER.replace("lan", "web"), "15:15: two instances are called web"),
        ("vrrp_sync_group g {\ngroup {\nwan\n}\n}\n", "17:1: there is no vrrp_instance wan (there are: web)"),
        ("virtual_router_id 3\n", "15:1: virtual_router_id stands outside of every vrrp_instance"),
        ("vrrp_script x {\n}\n", "15:1: x has no script"),
        ('vrrp_script x {\nscript ""\n}\n', "16:1: script names no program"),
        ("{\n}\n", "15:1: { has no keyword before it"),
    ],
)
def test_what_does_not_fit_together_is_complained_about(more: str, expected: str) -> None:
    assert any(each.startswith(expected) for each in complaints(INSTANCE + more))


def test_a_file_for_load_balancing_only_is_refused() -> None:
    (complaint,) = complaints("virtual_server 192.0.2.1 80 {\n}\n")

    assert complaint.startswith("1:1: no vrrp_instance is here")


def test_a_script_that_is_not_there_is_noted() -> None:
    assert "there is no nginx, for keepalived neither" in notes(with_lines("track_script {\nnginx\n}"))
    assert "nothing tracks nginx, so it becomes no check" in notes(SCRIPT + INSTANCE)


def test_no_message_shows_a_password() -> None:
    text = INSTANCE.replace("51", "999").replace("s3cret", "s3cret extra")

    assert "s3cret" not in "\n".join(complaints(text))


@pytest.mark.parametrize(
    ("written", "password"),
    [("s3$cret", "s3$cret"), ('"s3c}ret#!"', "s3c}ret#!"), (r'"a\"b\\"', 'a"b\\'), ("'a\"b'", 'a"b')],
)
def test_a_password_may_have_signs_of_the_grammar(written: str, password: str) -> None:
    assert read(INSTANCE.replace("s3cret", written)).hosts[0].passphrase == Passphrase(password)


def test_a_password_that_is_a_variable_without_a_value_is_refused_without_showing_it() -> None:
    (complaint,) = complaints(INSTANCE.replace("s3cret", "$s3cret"))

    assert complaint.startswith("8:19: auth_pass is a variable that has no value in this file")
    assert "s3cret" not in complaint


def test_interfaces_are_renamed() -> None:
    config = read(with_lines("track_interface {\neth1\n}"), eth0="ens3", eth1="ens4")

    assert (config.hosts[0].interface, config.checks[0].table["interface"]) == ("ens3", "ens4")


def test_run_refuses_it_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "keepalived.conf"
    path.write_text(INSTANCE)

    with pytest.raises(ConfigError, match=r"pycarp convert \S+keepalived\.conf --to toml --output /etc/pycarp\.toml"):
        ConfigSource(file=path).read()


def test_toml_says_the_same() -> None:
    text = SCRIPT + with_lines("track_script {\nnginx weight -20\n}", "notify /n", "preempt_delay 3") + OTHER
    config = read(text + "vrrp_sync_group both {\ngroup {\nweb\nlan\n}\n}\n")

    (document,) = grammars.write(config, "toml", sources={})
    assert grammars.read(document.text, Grammar.TOML, file="a.toml") == config


@given(st.lists(st.sampled_from([*INSTANCE.split(), *SCRIPT.split(), "\n", "{", "}", "$A=", "@a", '"'])))
def test_nothing_but_problems_with_places_comes_of_a_text_that_does_not_end(words: list[str]) -> None:
    with pytest.raises(ConfigProblems) as caught:
        read(" ".join([*words, "{"]))

    assert all(each.line >= 1 and each.column >= 1 for each in caught.value.problems)
