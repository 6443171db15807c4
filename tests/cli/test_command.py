"""The command as its user meets it: help, versions, and one clear line for every mistake."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pycarp import __version__
from pycarp.cli import EXIT_STATUS, GROUPS, cli
from pycarp.cli.run import source_of
from pycarp.config.grammars import Grammar
from pycarp.daemon.config_source import ConfigSource
from pycarp.vocabulary import MacMode

COMMANDS = cli.list_commands(click.Context(cli))


def pycarp(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_the_version_is_told() -> None:
    assert pycarp("--version").output.strip().endswith(__version__)


@pytest.mark.parametrize(
    "command",
    COMMANDS,
)
def test_the_help_of_every_command_has_examples(command: str) -> None:
    result = pycarp(command, "--help")

    assert result.exit_code == 0
    assert "Example" in result.output


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"ucarp"}))
def test_every_command_says_in_the_same_words_what_its_exit_status_means(command: str) -> None:
    assert pycarp(command, "--help").output.count(textwrap.indent(EXIT_STATUS, "  ")) == 1


def test_the_help_has_every_command_in_one_group_with_its_whole_first_sentence() -> None:
    text = pycarp("--help").output

    assert sorted(name for group in GROUPS.values() for name in group) == COMMANDS
    assert [line for line in text.splitlines() if line.endswith("...") and "Usage" not in line] == []
    assert [title for title in GROUPS if f"\n{title}:\n" not in text] == []
    assert text.count(textwrap.indent(EXIT_STATUS, "  ")) == 1


def test_ucarp_says_that_its_exit_status_is_ucarps() -> None:
    assert "Exit status, ucarp's and not that of the other commands: 0" in pycarp("ucarp", "--help").output


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"ucarp"}))
def test_every_command_calls_a_misspelt_option_wrong_usage(command: str) -> None:
    result = pycarp(command, "--colour")

    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    result = pycarp("run", "--rc-conf", str(tmp_path / "nothing"))

    assert (result.exit_code, result.stderr) == (
        2,
        f"pycarp: cannot read {tmp_path}/nothing: No such file or directory\n",
    )


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_bytes(b"\xff\xfe")

    result = pycarp("run", "--rc-conf", str(tmp_path / "rc.conf"))

    assert (result.exit_code, result.stderr) == (2, f"pycarp: cannot read {tmp_path}/rc.conf: it is not text\n")


def test_an_address_in_no_local_subnet_is_named(tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_text('cloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass s 203.0.113.50/24"\n')

    result = pycarp("run", "--rc-conf", str(tmp_path / "rc.conf"))

    assert result.exit_code == 2
    assert "203.0.113.50 is in the subnet of no interface" in result.stderr


def test_the_password_is_in_no_complaint(tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_text(
        'cloned_interfaces="carp0"\nifconfig_carp0="vhid 999 advskw 3 pas hunter2 203.0.113.50/24"\n'
    )

    result = pycarp("run", "--rc-conf", str(tmp_path / "rc.conf"))

    assert result.exit_code == 2
    assert "hunter2" not in result.output


@pytest.mark.parametrize("value", ["fxp0", "=eth0", "fxp0="])
def test_a_map_that_maps_nothing_is_wrong_usage(value: str) -> None:
    result = pycarp("run", "--rc-conf", "x", "--map", value)

    assert result.exit_code == 2
    assert "is not OLD=NEW" in result.stderr


def test_a_misspelt_sysctl_is_wrong_usage() -> None:
    result = pycarp("run", "--rc-conf", "x", "--sysctl", "net.inet.carp.premept=1")

    assert result.exit_code == 2
    assert "unknown sysctl 'net.inet.carp.premept'" in result.stderr


def test_a_sysctl_without_a_value_is_wrong_usage() -> None:
    result = pycarp("run", "--rc-conf", "x", "--sysctl", "net.inet.carp.preempt")

    assert result.exit_code == 2
    assert "has no value" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "--json"),
        ("ifconfig",),
        ("ifconfig", "carp0", "down"),
        ("sysctl",),
        ("netstat",),
        ("handover", "carp0"),
        ("why", "carp0"),
        ("events",),
        ("events", "carp0", "--follow"),
        ("drain", "carp0"),
        ("drain", "--all", "--json"),
        ("undrain", "--all"),
        ("demote", "carp0", "--by", "10", "--cause", "x"),
        ("restore", "carp0", "--cause", "x"),
    ],
    ids=str,
)
def test_without_a_daemon_the_state_is_unknown(words: tuple[str, ...], tmp_path: Path) -> None:
    result = pycarp(*words, "--control", str(tmp_path / "nothing"))

    assert result.exit_code == 1
    assert result.stderr.startswith(f"pycarp: no pycarp answers at {tmp_path}/nothing (No such file or directory)")
    assert "its state is unknown" in result.stderr
    assert result.stderr.count("\n") == 1


def test_ucarp_shows_its_usage_with_success_for_no_and_for_unknown_options() -> None:
    assert [pycarp("ucarp", *words).exit_code for words in ((), ("--bogus",), ("-h",))] == [0, 0, 0]
    assert pycarp("ucarp", "--bogus").stderr == "ucarp: option --bogus not recognized\n"


@pytest.mark.parametrize("words", [("dmeo",), ("demo", "now"), ("lab", "--fast"), ("netstat", "-I")], ids=str)
def test_wrong_words_are_wrong_usage(words: tuple[str, ...]) -> None:
    result = pycarp(*words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("pycarp: ")


def test_under_the_name_of_ucarp_the_program_is_ucarp(tmp_path: Path) -> None:
    program = tmp_path / "ucarp"
    program.write_text("from pycarp.__main__ import main\nmain()\n")
    done = subprocess.run([sys.executable, program, "-v", "0"], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "[ERROR] vhid must be between 1 and 255, not 0" in done.stderr


@pytest.mark.parametrize("words", [(), ("a.toml", "--rc-conf", "rc.conf"), ("a.toml", "--config", "b.toml")])
def test_run_wants_exactly_one_configuration(words: tuple[str, ...]) -> None:
    result = pycarp("run", *words)

    assert result.exit_code == 2
    assert "name one configuration: pycarp run FILE" in result.stderr


@pytest.mark.parametrize(
    ("file", "text", "words", "complaint"),
    [
        ("a.toml", "vhid = 1", (), "a.toml:1:1: unknown key vhid"),
        ("hostname.carp0", "inet 203.0.113.1/24 vhid 1 pass s", (), "203.0.113.1 is in the subnet of no interface"),
        ("x", "vhid = 1", ("--format", "toml"), "x:1:1: unknown key vhid"),
        ("x", "hello", (), "cannot tell the grammar of"),
        ("a.toml", "", ("--dialect", "ucarp"), "a dialect is given by the file itself in grammar toml"),
        ("a.toml", '[node]\ntransport="x"\n[[host]]\ninterface="lo"\nvhid=1\npassword="s"\naddresses=["10.9.9.9"]', (),
         "unknown transport 'x'"),
    ],
)  # fmt: skip
def test_run_reads_every_grammar(tmp_path: Path, file: str, text: str, words: tuple[str, ...], complaint: str) -> None:
    (tmp_path / file).write_text(text)
    result = pycarp("run", str(tmp_path / file), *words)

    assert result.exit_code == 2
    assert complaint in result.stderr


def test_too_few_open_files_are_refused_before_anything_is_touched(tmp_path: Path) -> None:
    hosts = [
        f'[[host]]\ninterface = "x"\nvhid = {n}\npassword = "s"\naddresses = ["192.0.2.{n}"]\n' for n in range(1, 41)
    ]
    (tmp_path / "a.toml").write_text("".join(hosts))
    argv = [sys.executable, "-m", "pycarp", "run", "a.toml", "--control", "a.sock", "--state", "state"]
    shell = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *argv]

    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == "pycarp: 40 virtual hosts need 89 open files and may have 64: raise 'ulimit -n'\n"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("word", "hint"),
    [("chek", "; did you mean 'check'?"), ("relaod", "; did you mean 'reload'?"), ("xyzzy", "")],
)
def test_a_command_that_is_misspelt_is_guessed(word: str, hint: str) -> None:
    result = CliRunner().invoke(cli, [word])

    assert result.exit_code == 2
    assert result.stderr == f"pycarp: no such command '{word}'{hint}\nsee: pycarp --help\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--colour",), "no such option '--colour'"),
        (("run", "--dialet", "x"), "no such option '--dialet'; did you mean '--dialect'?"),
        (("run", "--dialect", "opnbsd"), "did you mean 'openbsd'?"),
        (
            ("run", "--transport", "pakcet"),
            "--transport: 'pakcet' is not one of auto, packet, packet-real-mac, raw, udp",
        ),
        (("service", "instal"), "no such command 'instal'; did you mean 'install'"),
        (("convert", "--to", "tmol", "x"), "did you mean 'toml'?"),
        (("sysctl", "net.inet.carp.premept=1"), "did you mean net.inet.carp.preempt?"),
        (("simulate", "x", "--faults", "pwoer"), "did you mean power?"),
        (("completion", "bsah"), "did you mean 'bash'?"),
        (("man", "stauts"), "did you mean status?"),
        (("check",), "missing argument 'FILE...'"),
        (("events", "--since", "yesterday"), "--since: 'yesterday' is no whole number"),
    ],
)
def test_wrong_usage_is_one_sentence_of_one_style_with_a_guess(words: tuple[str, ...], said: str) -> None:
    result = pycarp(*words)
    first, *rest = result.stderr.splitlines()

    assert result.exit_code == 2
    assert first.startswith("pycarp: ")
    assert said in first
    assert [line for line in rest if not re.fullmatch(r"see: pycarp[\w -]* --help", line)] == []


@pytest.mark.parametrize("words", [(), ("service",)])
def test_a_group_without_a_sub_command_shows_its_help(words: tuple[str, ...]) -> None:
    result = pycarp(*words)

    assert "Usage: pycarp" in result.output
    assert "Examples:" in result.output


def test_run_hands_on_what_it_is_told_about_the_source(tmp_path: Path) -> None:
    said = {
        "file": tmp_path,
        "config_file": None,
        "rc_conf": None,
        "grammar": "toml",
        "renames": {"em0": "eth0"},
        "dialect": None,
        "mac_mode": "interface",
        "transport": "udp",
        "actuator": "null",
    }

    assert source_of(said) == ConfigSource(
        file=tmp_path,
        grammar=Grammar.TOML,
        renames={"em0": "eth0"},
        mac_mode=MacMode.INTERFACE,
        transport="udp",
        actuator="null",
    )
