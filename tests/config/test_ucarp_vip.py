"""ucarp below /etc/ucarp: vip-001.conf and vip-common.conf."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import Passphrase
from pycarp.config import ConfigProblems, NodeConfig, grammars, ucarp_vip
from pycarp.config.grammars import Grammar

COMMON = 'PASSWORD="lo ve"\nBIND_INTERFACE="eth0"\nSOURCE_ADDRESS=10.0.0.2\nOPTIONS="--shutdown --preempt -k 5"\n'


def read(
    folder: Path, text: str, *, common: str | None = COMMON, name: str = "vip-010.conf", **renames: str
) -> NodeConfig:
    if common is not None:
        (folder / "vip-common.conf").write_text(common)
    return ucarp_vip.read(text, file=str(folder / name), renames=renames)


def complaints(folder: Path, text: str, *, common: str | None = COMMON, name: str = "vip-010.conf") -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read(folder, text, common=common, name=name)
    return [str(each).removeprefix(f"{folder}/") for each in caught.value.problems]


def test_the_common_file_and_the_number_of_the_name_count(tmp_path: Path) -> None:
    config = read(tmp_path, "VIP_ADDRESS=10.0.0.1\n")

    (host,) = config.hosts
    assert (host.interface, host.vhid, host.preempt, host.advskew) == ("eth0", 10, True, 5)
    assert (host.passphrase, str(host.addresses[0])) == (Passphrase("lo ve"), "10.0.0.1/32")
    assert [str(each) for each in config.own["eth0"]] == ["10.0.0.2/32"]


def test_the_files_own_settings_overrule_the_common_ones(tmp_path: Path) -> None:
    (host,) = read(tmp_path, 'VIP_ADDRESS=10.0.0.1\nBIND_INTERFACE=eth1\nPASSWORD=x\nID=7\nOPTIONS=""\n').hosts

    assert (host.interface, host.vhid, host.preempt, host.passphrase) == ("eth1", 7, False, Passphrase("x"))


def test_without_an_own_address_the_interface_is_enough(tmp_path: Path) -> None:
    config = read(tmp_path, "VIP_ADDRESS=10.0.0.1\nBIND_INTERFACE=eth0\nPASSWORD=x\n", common=None)

    assert ([host.interface for host in config.hosts], config.own) == (["eth0"], {})


@pytest.mark.parametrize("file", ["/etc/ucarp/vip-001.conf", "/etc/ucarp/vip-wan.conf", "x"])
def test_the_grammar_is_recognised(file: str) -> None:
    assert grammars.recognise(file, "# one\nVIP_ADDRESS=10.0.0.1\n") is Grammar.VIP_CONF


@pytest.mark.parametrize(
    ("text", "common", "expected"),
    [
        ("VIP_ADRESS=10.0.0.1", COMMON,
         ["vip-010.conf:1:1: unknown variable VIP_ADRESS (did you mean VIP_ADDRESS?)"]),
        ("", COMMON,
         ["vip-010.conf:1:1: VIP_ADDRESS is missing (add VIP_ADDRESS=\"...\" here or in vip-common.conf)"]),
        ("VIP_ADDRESS=10.0.0.1/24", COMMON,
         ["vip-010.conf:1:13: Invalid address for --addr: an IPv4 address without prefix is wanted"]),
        ("VIP_ADDRESS=10.0.0.1", COMMON.replace("10.0.0.2", "x"),
         ["vip-common.conf:3:16: Invalid address for --srcip: an IPv4 address without prefix is wanted"]),
        ("if a; then VIP_ADDRESS=10.0.0.1; fi", COMMON,
         ["vip-010.conf:1:12: VIP_ADDRESS depends on a condition of the shell in line 1 (write the value itself)"]),
        ("VIP_ADDRESS=10.0.0.1", "PASSWORD='x", ["vip-common.conf:1:10: quote ' is never closed"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_file_and_place(tmp_path: Path, text: str, common: str, expected: list[str]) -> None:
    found = complaints(tmp_path, text, common=common)

    assert found == expected


def test_a_name_without_a_number_needs_an_id(tmp_path: Path) -> None:
    assert complaints(tmp_path, "VIP_ADDRESS=10.0.0.1\n", name="vip-wan.conf") == [
        'vip-wan.conf:1:1: ID is missing (add ID="..." here or in vip-common.conf)'
    ]


def test_the_common_file_is_no_host(tmp_path: Path) -> None:
    assert complaints(tmp_path, COMMON, common=None, name="vip-common.conf") == [
        "vip-common.conf:1:1: vip-common.conf is no virtual host by itself (give vip-001.conf beside it)"
    ]


def test_no_complaint_shows_a_password(tmp_path: Path) -> None:
    found = complaints(tmp_path, "VIP_ADDRESS=x\nPASWORD=hunter2\n", common=f"PASSWORD={'hunter2' * 3}\nID=hunter2\n")

    assert "hunter2" not in str(found)
    assert "the BSDs use the first 19 octets only" in str(found)


@given(
    st.text()
    | st.lists(st.sampled_from([*COMMON.split("\n"), "VIP_ADDRESS=10.0.0.1", "'", "if a; then"])).map("\n".join)
)
def test_no_text_is_too_odd_to_be_answered(text: str) -> None:
    with contextlib.suppress(ConfigProblems):
        assert isinstance(ucarp_vip.read(text, file="/nowhere/vip-001.conf"), NodeConfig)
