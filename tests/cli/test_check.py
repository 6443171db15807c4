"""``pycarp check`` as its user meets it."""

import json
import shlex
from importlib import import_module
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.vocabulary import LinkFacts

TOML = """\
[[host]]
interface = "lo"
vhid = 1
password = "hunter2"
addresses = ["10.0.0.1/24"]
advskew = {}
preempt = true
"""
RC_CONF = 'ifconfig_lo_alias0="inet vhid 1 advskew 7 pass hunter2 10.0.0.1/24"\n'


def check(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ("check", *map(str, words)))


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def any_device_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loopback do, which is the only device that every machine has."""
    monkeypatch.setattr(import_module("pycarp.cli.check"), "obstacle", lambda _host: "")


pytestmark = pytest.mark.usefixtures("any_device_works")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.toml", TOML.format(0))


def test_a_good_file_is_well(good: Path) -> None:
    done = check("--strict", good)

    assert (done.exit_code, done.stdout) == (0, "1 file, 1 virtual host, no errors, no warnings\n")


def test_every_error_of_every_file_is_told_with_its_place(tmp_path: Path, good: Path) -> None:
    bad = write(tmp_path / "rc.conf", 'ifconfig_em0_alias0="inet vhid 300 advskw 1 pass hunter2 10.0.0.1/33"\n')
    also = write(tmp_path / "bad.toml", "[[host]]\nvhid = 1\nvihd = 2\n")

    done = check(bad, good, also)

    lines = done.stdout.splitlines()
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[:2] for line in lines[:-1]] == [
        ["rc.conf:1:32", "error"],
        ["rc.conf:1:36", "error"],
        ["rc.conf:1:58", "error"],
        ["bad.toml:1:1", "error"],
        ["bad.toml:1:1", "error"],
        ["bad.toml:1:1", "error"],
        ["bad.toml:3:1", "error"],
    ]
    assert "(did you mean advskew?)" in lines[1]
    assert (done.exit_code, lines[-1]) == (2, "3 files, 1 virtual host, 7 errors, no warnings")


@pytest.mark.parametrize(("words", "status"), [((), 0), (("--strict",), 1)])
def test_warnings_count_only_with_strict(tmp_path: Path, good: Path, words: tuple[str, ...], status: int) -> None:
    other = write(tmp_path / "other.toml", TOML.format(0))

    done = check(*words, good, other)
    assert (done.exit_code, "other.toml:3:1: warning: vhid 1 has the same advskew 0" in done.stdout) == (status, True)


def test_errors_count_more_than_warnings(tmp_path: Path) -> None:
    bad = write(tmp_path / "rc.conf", RC_CONF.replace("vhid 1", "vhid 0"), mode=0o644)

    assert check("--strict", bad).exit_code == 2


def test_files_of_different_grammars_are_compared(tmp_path: Path, good: Path) -> None:
    other = write(tmp_path / "rc.conf", RC_CONF.replace("hunter2", "hunter3").replace("10.0.0.1", "10.0.0.2"))

    done = check(good, other)

    assert "another password than in" in done.stdout
    assert "only here: 10.0.0.2; only there: 10.0.0.1" in done.stdout


def test_json_is_one_object(tmp_path: Path, good: Path) -> None:
    other = write(tmp_path / "rc.conf", RC_CONF.replace("vhid 1", "vhid 0"))

    said = json.loads(check("--json", good, other).stdout)

    assert (said["files"], said["errors"], said["warnings"]) == ([str(good), str(other)], 1, 0)
    assert said["problems"] == [
        {
            "severity": "error",
            "file": str(other),
            "line": 1,
            "column": 31,
            "text": "vhid 0 is outside 1-255",
            "hint": "",
        }
    ]
    assert said["hosts"][0] == {
        "file": str(good),
        "name": "1@lo",
        "interface": "lo",
        "vhid": 1,
        "advbase": 1,
        "advskew": 0,
        "addresses": ["10.0.0.1/24"],
    }


def test_a_missing_interface_is_a_warning_unless_the_file_is_for_another_machine(tmp_path: Path) -> None:
    path = write(tmp_path / "a.toml", TOML.format(0).replace('"lo"', '"nosuch0"'))

    assert (check("--strict", path).exit_code, check("--strict", "--elsewhere", path).exit_code) == (1, 0)
    assert "a.toml:2:1" not in check(path, "--map", "nosuch0=lo").stdout


@pytest.mark.parametrize(("mode", "expected"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_file_that_others_can_read_is_a_warning(tmp_path: Path, mode: int, expected: bool) -> None:
    path = write(tmp_path / "a.toml", TOML.format(0), mode=mode)

    assert ("everybody on this machine can read the password" in check(path).stdout) is expected


def test_a_password_file_that_others_can_read_is_a_warning_and_the_configuration_is_none(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "hunter2\n", mode=0o644)
    path = write(tmp_path / "a.toml", TOML.format(0).replace('password = "hunter2"', 'password_file = "secret"'), 0o644)

    lines = check(path).stdout.splitlines()
    assert lines[:-1] == [
        f"{secret}:1:1: warning: everybody on this machine can read the password (chmod o-rwx {secret})"
    ]


def test_a_password_file_of_ucarp_and_a_common_file_are_looked_at(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "hunter2\n", mode=0o644)
    script = write(
        tmp_path / "start.sh", f"ucarp -i lo -s 127.0.0.1 -v 1 -o {shlex.quote(str(secret))} -a 10.0.0.1\n", mode=0o755
    )
    common = write(tmp_path / "vip-common.conf", "PASSWORD=hunter2\nBIND_INTERFACE=lo\n", mode=0o644)
    vip = write(tmp_path / "vip-002.conf", "VIP_ADDRESS=10.0.0.2\n", mode=0o644)

    lines = check(script, vip).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if "can read" in line] == [str(secret), str(common)]


def test_a_password_over_19_octets_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    path = write(tmp_path / "rc.conf", RC_CONF.replace("hunter2", "hunter2" * 3))

    done = check(path)
    assert (done.exit_code, "write these alone" in done.stdout) == (2, True)


@pytest.mark.parametrize(
    "text",
    [
        RC_CONF.replace("hunter2", "hunter2 hunter2"),
        RC_CONF.replace("pass ", "passs "),
        RC_CONF.replace("vhid 1", "vhid hunter2"),
        RC_CONF.replace("hunter2", "hunter2" * 3),
        RC_CONF.replace('"', "'", 1),
        f"x=hunter2\n{RC_CONF}eval ifconfig_em0_alias0=$x\n",
    ],
)
def test_no_password_is_ever_printed(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "rc.conf", text)

    for words in ((), ("--json",)):
        assert "hunter2" not in check(*words, path).output


@pytest.mark.parametrize("name", ["nosuch", "folder"])
def test_a_file_that_cannot_be_read_is_an_error_beside_the_others(tmp_path: Path, good: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()

    done = check(tmp_path / name, good)
    assert (done.exit_code, f"error: cannot read {tmp_path}/{name}: " in done.stdout) == (2, True)


def test_a_file_without_end_is_an_error() -> None:
    done = check("--format", "rc.conf", "/dev/zero")

    assert (done.exit_code, "it has more than 8 MiB" in done.stdout) == (2, True)


@pytest.mark.parametrize("text", ["nothing\n", "for i in 1 2; do\n  :\ndone\n"])
def test_a_text_of_no_grammar_is_an_error_that_names_them(tmp_path: Path, text: str) -> None:
    done = check(write(tmp_path / "x", text))

    assert done.exit_code == 2
    assert (
        "is that of rc.conf, hostname.carp, toml, ucarp, interfaces, vip.conf, keepalived.conf, config.xml; "
        "name it: --format rc.conf" in done.stdout
    )


def test_an_address_in_no_subnet_of_the_file_is_looked_for_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = [LinkFacts(name="pct-none0", is_up=True, addresses=(IPv4Interface("10.77.0.1/24"),))]
    monkeypatch.setattr("pycarp.cli.check.own_interfaces", lambda: links)
    text = 'cloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass s 10.77.0.9/24"\n'

    assert check(write(tmp_path / "rc.conf", text)).exit_code == 0
    assert check("--elsewhere", tmp_path / "rc.conf").exit_code == 2


def test_without_a_file_there_is_nothing_to_check() -> None:
    assert check().exit_code == 2


def test_the_help_has_examples_and_exit_codes() -> None:
    help_text = check("--help").output

    assert "pycarp check --elsewhere fw1/rc.conf fw2/rc.conf" in help_text
    assert "1 is warnings with --strict, 2 is errors in a file." in help_text
