"""``pycarp init`` as its user meets it: files that are right, nothing overwritten, one line for every mistake."""

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.system.files.new_files import NewFile, write_all
from pycarp.system.local_network import default_route_links, neighbour_ids
from tests.support.terminal import at_terminal

PAIR = ("--address", "192.0.2.10/24", "--hosts", "a,b", "--interface", "carp-nowhere0", "--no-scan")


def init(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["init", *map(str, words)])


def test_the_files_of_a_pair_pass_check(tmp_path: Path) -> None:
    done = init(*PAIR, "--output", tmp_path / "pair")

    checked = CliRunner().invoke(
        cli, ["check", "--strict", "--elsewhere", *map(str, (tmp_path / "pair").glob("*.toml"))]
    )
    assert done.exit_code == 0, done.output
    assert checked.stdout == "2 files, 2 virtual hosts, no errors, no warnings\n"


def test_the_password_is_in_a_file_of_its_own_that_only_its_owner_can_read(tmp_path: Path) -> None:
    done = init(*PAIR, "--output", tmp_path)

    file = tmp_path / "carp1.password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) == 20
    assert file.read_text().strip() not in done.output + (tmp_path / "a.toml").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_whoever_called_sudo_can_go_on_with_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setenv("SUDO_GID", "65534")

    init(*PAIR, "--output", tmp_path / "pair")

    owners = {each.name: each.stat().st_uid for each in (tmp_path / "pair", *(tmp_path / "pair").iterdir())}
    assert owners == dict.fromkeys(["pair", "a.toml", "b.toml", "carp1.password"], 65534)


def test_a_file_that_is_there_is_not_replaced_and_no_other_is_written(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("mine")

    done = init(*PAIR, "--output", tmp_path)

    assert done.exit_code == 2
    assert f"{tmp_path}/b.toml is there already, and nothing was written; --force replaces it" in done.stderr
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"b.toml": "mine"}


def test_force_replaces_files(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("mine")

    assert init(*PAIR, "--output", tmp_path, "--force").exit_code == 0
    assert "[[host]]" in (tmp_path / "b.toml").read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.toml", "b.toml", "carp1.password"]


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        if len(list(tmp_path.iterdir())) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space"):
        write_all(tmp_path, {"a": NewFile("1", 0o644), "b": NewFile("2", 0o644)}, replaces=False)
    assert list(tmp_path.iterdir()) == []


def test_printing_writes_nothing_and_makes_no_password(tmp_path: Path) -> None:
    done = init(*PAIR, "--print", "--output", tmp_path)

    assert done.stdout.count("[[host]]") == 2
    assert "umask 077; head -c 12 /dev/urandom | base64 >" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_script_gets_one_object(tmp_path: Path) -> None:
    found = json.loads(init(*PAIR, "--json", "--output", tmp_path, "--unicast", "a=192.0.2.1,b=192.0.2.2").stdout)

    assert (found["type"], found["vhid"], found["listened"], found["addresses"]) == (
        "init",
        1,
        False,
        ["192.0.2.10/24"],
    )
    assert [(each["name"], each["advskew"], each["peers"]) for each in found["hosts"]] == [
        ("a", 0, ["192.0.2.2"]),
        ("b", 100, ["192.0.2.1"]),
    ]
    assert [Path(each["file"]).read_text() for each in found["hosts"]] == [each["text"] for each in found["hosts"]]
    assert "sudo pycarp check /etc/pycarp/carp.toml" in found["next"]


def test_a_password_that_the_hosts_have_is_named_and_none_is_made(tmp_path: Path) -> None:
    init(*PAIR, "--password-file", "/etc/pycarp/web.password", "--output", tmp_path)

    assert 'password_file = "/etc/pycarp/web.password"' in (tmp_path / "a.toml").read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.toml", "b.toml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--address ADDRESS is missing, and there is no terminal to ask at"),
        (("--address", "192.0.2.10/24"), "--hosts A,B is missing, and there is no terminal to ask at"),
        ((*PAIR, "--interface", "c=eth0"), "--interface c=eth0: c is no host of the set; it has a, b"),
        ((*PAIR, "--unicast", "a"), "--unicast 'a' is not HOST=ADDRESS, as in a=192.0.2.1"),
        ((*PAIR, "--unicast", "a=b"), "--unicast 'a=b': 'b' is no IPv4 or IPv6 address"),
        ((*PAIR, "--unicast", "c=192.0.2.3"), "--unicast names c, which is no host of the set; it has a and b"),
        ((*PAIR, "--name", "a/b"), "'a/b' is not a name of a virtual host here"),
        ((*PAIR, "--vhid", "256"), "256 is not in the range 1<=x<=255"),
        (
            ("--address", "127.0.0.1/8", "--hosts", "a,b", "--interface", "lo"),
            "127.0.0.1 is an address of lo of this machine",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_way_out(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = init(*words, "--output", tmp_path)

    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_at_a_terminal_what_is_missing_is_asked_and_what_is_proposed_can_be_changed(tmp_path: Path) -> None:
    answers = {
        "Shared addresses": "192.0.2.10/24\n",
        "Hosts, the preferred one first": "left,right\n",
        "Id of the set": "300\n",
        "300 is not in the range": "9\n",
        "Shall left take the addresses back": "n\n",
    }

    done = at_terminal("init", "--interface", "nowhere0", "--output", str(tmp_path), answers=answers)

    assert done.status == 0, done.shown
    assert sorted(each.name for each in tmp_path.iterdir()) == ["carp9.password", "left.toml", "right.toml"]
    assert "preempt = false" in (tmp_path / "right.toml").read_text()
    assert "the segment was not looked at: there is no interface nowhere0 here" in " ".join(done.shown.split())


def test_the_interface_with_the_smallest_metric_is_the_first_of_the_default_routes(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "wlan0 00000000 0100000A 0003 0 0 600 00000000 0 0 0\n"
        "eth0 00000000 010000C0 0003 0 0 100 00000000 0 0 0\n"
        "eth1 000000C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
    )
    (tmp_path / "ipv6_route").write_text(
        f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003 eth2\n"
        f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200 lo\n"
    )

    assert default_route_links(tmp_path) == ("eth0", "wlan0", "eth2")
    assert default_route_links(tmp_path / "none") == ()


def test_ids_are_known_from_the_virtual_mac_addresses_of_neighbours(tmp_path: Path) -> None:
    (tmp_path / "arp").write_text(
        "IP address HW type Flags HW address Mask Device\n"
        "192.0.2.1 0x1 0x2 00:00:5e:00:01:33 * eth0\n"
        "192.0.2.2 0x1 0x2 02:00:5e:00:01:34 * eth0\n"
        "192.0.2.3 0x1 0x2 00:00:5e:00:01:35 * eth1\n"
    )

    assert neighbour_ids("eth0", tmp_path) == {0x33}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_link_of_somebody_else_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.lchown(tmp_path / "link", 65534, 65534)

    done = init(*PAIR, "--output", tmp_path / "link")

    assert done.exit_code == 2
    assert "symbolic link of another user" in done.stderr
