"""``pycarp convert`` as its user meets it."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.config import grammars, keepalived, toml
from pycarp.config.grammars import Grammar
from pycarp.errors import ConfigError

RC_CONF = (
    'hostname="a.example.org"\nifconfig_fxp0="inet 192.168.1.3/24"\ncloned_interfaces="carp0"\n'
    'ifconfig_carp0="vhid 1 advskew 100 pass hunter2 192.168.1.50/24"\n'
)


def convert(*words: str) -> Result:
    return CliRunner().invoke(cli, ("convert", *words))


@pytest.fixture
def rc_conf(tmp_path: Path) -> Path:
    path = tmp_path / "rc.conf"
    path.write_text(RC_CONF)
    return path


def test_an_rc_conf_becomes_toml_on_standard_output(rc_conf: Path) -> None:
    done = convert(str(rc_conf), "--to", "toml", "--show-secrets")

    config = toml.read(done.stdout, file="a.toml")
    assert (config.hostname, config.hosts[0].name, config.hosts[0].advskew) == ("a.example.org", "carp0", 100)
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("target", grammars.TARGETS)
def test_passwords_are_printed_only_when_that_is_asked_for(rc_conf: Path, target: str) -> None:
    """In their place is a word with which nobody can run by mistake."""
    words = [str(rc_conf), "--to", target, "--srcip", "192.168.1.3"]
    hidden, shown = convert(*words), convert(*words, "--show-secrets")

    assert ("hunter2" in hidden.output, "hunter2" in shown.stdout) == (False, True)
    assert hidden.stdout == shown.stdout.replace("hunter2", "PASSWORD-IS-NOT-SHOWN")
    assert hidden.stderr == "pycarp: passwords are not shown; print them with --show-secrets, or use --output\n"
    own = 'ifconfig_fxp0="inet 192.168.1.3/24"\n' if target == "rc.conf9" else ""
    with pytest.raises(ConfigError, match="too long"):
        grammars.read(own + hidden.stdout, Grammar(target.removesuffix("9")), file="x")


@pytest.mark.parametrize("target", grammars.TARGETS)
def test_every_target_is_written_and_can_be_read_again(rc_conf: Path, tmp_path: Path, target: str) -> None:
    output = tmp_path / "out"
    output.mkdir()
    done = convert(str(rc_conf), "--to", target, "--output", str(output), "--srcip", "192.168.1.3")
    (file,) = output.iterdir()
    text = grammars.load(file)
    if target == "rc.conf9":
        text += 'ifconfig_fxp0="inet 192.168.1.3/24"\n'
    back = grammars.read(text, grammars.recognise(str(file), text), file=str(file))

    assert done.exit_code == 0
    assert [(host.interface, host.vhid, host.advskew) for host in back.hosts] == [("fxp0", 1, 100)]
    assert Grammar(target.removesuffix("9")) is grammars.recognise(str(file), text)


def test_files_can_be_read_by_their_owner_only(rc_conf: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.toml"
    output.write_text("")
    output.chmod(0o644)
    convert(str(rc_conf), "--to", "toml", "--output", str(output))

    assert output.stat().st_mode & 0o777 == 0o600
    assert "hunter2" in output.read_text()


def test_what_has_no_words_is_an_error_that_names_it(rc_conf: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(convert(str(rc_conf), "--to", "toml", "--show-secrets").stdout + "preempt = true\ndead_ratio = 5\n")

    done = convert(str(file), "--to", "hostname.carp")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "pycarp: hostname.carp has no words for this; --lossy leaves it out:\n"
        "carp0: preempt true\ncarp0: dead_ratio 5\n"
    )  # fmt: skip


def test_lossy_leaves_it_out_and_names_it_in_a_comment(rc_conf: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(convert(str(rc_conf), "--to", "toml", "--show-secrets").stdout + "preempt = true\n")

    done = convert(str(file), "--to", "ucarp", "--srcip", "192.168.1.3", "--lossy", "--show-secrets")
    lossy = convert(str(file), "--to", "hostname.carp", "--lossy", "--show-secrets")

    assert done.stdout.startswith("#!/bin/sh\nucarp --interface=fxp0 --srcip=192.168.1.3 --vhid=1 --pass=hunter2")
    assert "# not expressed: carp0: preempt true" in lossy.stdout
    assert lossy.stderr == "pycarp: not expressed: carp0: preempt true\n"


def test_problems_of_the_file_are_told_without_the_password(rc_conf: Path) -> None:
    rc_conf.write_text(RC_CONF.replace("vhid 1", "vhid 0"))

    done = convert(str(rc_conf), "--to", "toml")

    assert (done.exit_code, "vhid 0 is outside 1-255" in done.stderr, "hunter2" in done.output) == (2, True, False)


def test_the_schema_is_json(tmp_path: Path) -> None:
    assert json.loads(convert("--schema").stdout) == toml.schema()


def test_two_hosts_of_openbsd_are_two_files(rc_conf: Path, tmp_path: Path) -> None:
    rc_conf.write_text(
        RC_CONF.replace('"carp0"', '"carp0 carp1"') + 'ifconfig_carp1="vhid 2 pass hunter2 192.168.1.51/24"\n'
    )
    convert(str(rc_conf), "--to", "hostname.carp", "--output", str(tmp_path / "etc"))

    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["hostname.carp0", "hostname.carp1"]


PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "from-keepalived.md").read_text()
BLOCKS = dict(re.findall(r"<!-- (\S+) -->\n```\w*\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def keepalived_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("keepalived.conf")
    path.write_text(BLOCKS["keepalived.conf"])
    return path


def test_the_steps_of_the_page_about_keepalived_are_true(keepalived_conf: Path) -> None:
    done = convert(str(keepalived_conf), "--to", "toml", "--output", "pycarp.toml")

    assert (done.exit_code, done.stderr) == (0, BLOCKS["notes"])
    assert Path("pycarp.toml").read_text() == BLOCKS["toml"]


def test_every_keyword_of_keepalived_that_has_an_equal_is_in_the_table() -> None:
    table = PAGE.partition("## What becomes of it")[2]
    named = set(re.findall(r"`([a-z_0-9]+)", table))

    assert set(keepalived.KNOWN) - named <= {"preempt", "group", "global_defs", "process"}


def test_a_password_file_is_for_instances_without_a_password(keepalived_conf: Path) -> None:
    keepalived_conf.write_text(re.sub(r"authentication \{.*?\}", "", keepalived_conf.read_text(), flags=re.DOTALL))
    Path("secret").write_text("hunter2\n")

    refused = convert(str(keepalived_conf), "--to", "toml")
    done = convert(str(keepalived_conf), "--to", "toml", "--password-file", "secret", "--show-secrets")

    assert "web has no auth_pass" in refused.stderr
    assert 'password = "hunter2"' in done.stdout


def test_a_password_file_is_refused_where_the_file_has_its_own(rc_conf: Path) -> None:
    done = convert(str(rc_conf), "--to", "toml", "--password-file", "secret")

    assert "--password-file is for keepalived.conf only" in done.stderr


def test_a_password_file_that_cannot_be_used_is_named(keepalived_conf: Path) -> None:
    Path("latin").write_bytes(b"\xff\n")

    for name, why in (("nowhere", "No such file"), ("latin", "is not UTF-8")):
        done = convert(str(keepalived_conf), "--to", "toml", "--password-file", name)
        assert why in done.stderr
