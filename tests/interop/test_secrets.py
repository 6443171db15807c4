"""A password that is put in everywhere comes out nowhere: not in output, logs, recordings, states, or refusals."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.lab.lab_network import Segment
from tests.support.daemons import Pycarp, new_segment, wait_until
from tests.support.system import require

MARKER = "Xyzzy-7Plugh"
"""Also what a part of it would be: no word of ours has it inside."""

PARTS = ("Xyzzy", "Plugh")
OTHER = "Xyzzy-8Plover"
STARTED_S = 20.0

TOML = """[[host]]
name = "carp0"
interface = "fxp0"
vhid = 1
password = "{}"
addresses = ["192.168.1.50/24"]
"""
RC_CONF = 'ifconfig_fxp0="inet 192.168.1.3/24"\ncloned_interfaces="carp0"\n'
RC_CONF += 'ifconfig_carp0="vhid 1 pass {} 192.168.1.50/24"\n'

WRONG = {
    "a.toml": [
        TOML.format(MARKER * 2),
        TOML.format(MARKER).replace("password", "pasword"),
        TOML.format(MARKER).replace('password = "', 'password = ["').replace(f'{MARKER}"', f'{MARKER}"]'),
        TOML.format(MARKER).replace(f'"{MARKER}"', MARKER),
        TOML.format(MARKER).replace("vhid = 1", f'vhid = "{MARKER}"'),
        TOML.format(MARKER + "\\u0000"),
        TOML.format(MARKER) + f'password_file = "x"\npassword = "{MARKER}"\n',
        TOML.format(MARKER).replace("vhid = 1", "vhid = 0"),
        TOML.format(MARKER).replace('"carp0"', f'"carp0"\ndialect = "{MARKER}"').replace("[[host]]", "[[hots]]"),
    ],
    "rc.conf": [
        RC_CONF.format(MARKER * 2),
        RC_CONF.format(MARKER).replace("pass", "passs"),
        RC_CONF.format(MARKER).replace("pass ", ""),
        RC_CONF.format(MARKER).replace("vhid 1", "vhid 0"),
        RC_CONF.format(MARKER).replace("192.168.1.50/24", MARKER),
        RC_CONF.format(MARKER).removesuffix('"\n'),
        RC_CONF.format(f"$({MARKER})"),
    ],
    "hostname.carp0": [
        f"inet 192.168.1.50 255.255.255.0 NONE vhid 1 carpdev fxp0 pass {MARKER * 2}\n",
        f"inet 192.168.1.50 255.255.255.0 NONE vhid 1 carpdev fxp0 passs {MARKER}\n",
        f"inet 192.168.1.50 255.255.255.0 NONE vhid 0 carpdev fxp0 pass {MARKER}\n",
        f"inet 192.168.1.50 255.255.255.0 NONE vhid 1 carpdev fxp0 pass '{MARKER}\n",
    ],
    "start.sh": [
        f"ucarp --interface=fxp0 --srcip=192.168.1.3 --vhid=0 --pass={MARKER} --addr=192.168.1.50\n",
        f"ucarp --interface=fxp0 --srcip=192.168.1.3 --vhid=1 --pass={MARKER * 2} --addr=192.168.1.50\n",
        f"ucarp --interface=fxp0 --srcip=192.168.1.3 --vhid=1 --passs={MARKER} --addr=192.168.1.50\n",
        f"ucarp --interface=fxp0 --srcip=192.168.1.3 --vhid={MARKER} --pass={MARKER} --addr=192.168.1.50\n",
    ],
}


def told(text: str) -> list[str]:
    """Return the lines in which something of a password is."""
    return [line for line in text.splitlines() if any(part in line for part in PARTS)]


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts], ids=lambda each: each[-60:]
)
def test_no_problem_of_a_file_shows_its_password(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    words = [
        ["run", str(file)],
        ["check", str(file)],
        ["check", "--json", str(file)],
        ["convert", str(file), "--to", "toml"],
        ["simulate", str(file), "--seeds", "1", "--keep", str(tmp_path / "plan.json")],
        ["service", "install", str(file), "--dry-run"],
    ]
    for each in words:
        result = CliRunner().invoke(cli, each)
        assert told(result.output) == [], each
        assert result.exit_code != 0, each
        assert "Traceback" not in result.output
        assert isinstance(result.exception, SystemExit)


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ip", "ucarp", "tcpdump")
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


@pytest.mark.system
def test_no_command_shows_the_password_of_a_running_daemon(segment: Segment, tmp_path: Path) -> None:
    """Its peer has another password, which is logged and diagnosed."""
    record, state, capture = tmp_path / "r.jsonl", tmp_path / "state", tmp_path / "x.pcap"
    options = ("--record", str(record), "--state", str(state), "--log-level", "debug", "--log-format", "json")
    dumping = ["tcpdump", "-i", "br0", "-U", "-c", "4", "-w", str(capture), "ip proto 112"]
    with (
        Pycarp(segment, "a", tmp_path, password=MARKER, options=(*options, "--sysctl", "net.inet.carp.log=2")) as a,
        Pycarp(segment, "b", tmp_path, password=OTHER, options=("--state", str(state))) as b,
    ):
        dump = segment.popen("switch", dumping, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: a.is_in("MASTER") and bool(a.lines("not authentic")), STARTED_S)
        dump.communicate(timeout=STARTED_S)
        tried = [*_all_commands(a, tmp_path, capture), ["replay", str(record)], ["release", "--state", str(state)]]
        for words in tried:
            done = _run(segment, words)
            assert told(done) == [], words
        wait_until(lambda: bool(a.lines("IfconfigRequest")), STARTED_S)
        logs = a.log.read_text() + b.log.read_text()
    assert {each[0] for each in tried} >= set(cli.list_commands(click.Context(cli))) - {
        "demo",
        "lab",
        "run",
        "ucarp",
        "service",
    }
    assert told(logs) == []
    for file in (record, *state.rglob("*")):
        assert told(file.read_text(errors="replace")) == [], file


@pytest.mark.system
def test_ucarp_warns_of_a_password_that_others_can_read(segment: Segment, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pycarp", "ucarp", "-i", "fxp0", "-s", "192.168.1.3", "-v", "1", "-a", "192.168.1.50"]
    (tmp_path / "secret").write_text(MARKER + "\n")
    said = []
    for password in (["-p", MARKER], [f"--passfile={tmp_path / 'secret'}"]):
        process = segment.popen("a", [*argv, *password, "-z"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        lines = []
        with process.stdout:
            for line in process.stdout:
                lines.append(line)
                if "Switching to state" in line:
                    process.terminate()
        process.wait(10)
        said.append("".join(lines))

    assert ["use --passfile=FILE" in each for each in said] == [True, False]
    assert told("".join(said)) == []


def _all_commands(daemon: Pycarp, folder: Path, capture: Path) -> list[list[str]]:
    other, bad, secret = folder / "other.toml", folder / "bad.toml", folder / "secret"
    other.write_text(TOML.format(OTHER))
    bad.write_text(TOML.format(MARKER * 2))
    secret.write_text(MARKER)
    file, control = str(folder / "a.rc.conf"), ["--control", str(daemon.control)]
    return [
        ["status", *control],
        ["status", "--json", *control],
        ["netstat", *control],
        ["sysctl", *control],
        ["sysctl", "net.inet.carp.log=2", *control],
        ["ifconfig", *control],
        ["ifconfig", "carp0", "pass", *control],
        ["ifconfig", "carp0", "advskew", "3", *control],
        ["plan", *control],
        ["plan", file, *control],
        ["plan", str(other), *control],
        ["plan", str(bad), *control],
        ["reload", *control],
        ["while-master", "carp0", "--once", *control, "--", "env"],
        ["why", "carp0", *control],
        ["why", "carp0", "--last", *control],
        ["why", "carp0", "--at", "1s ago", *control],
        ["top", *control],
        ["init", "--address", "192.168.1.60/24", "--hosts", "a,b", "--print", "--no-scan"],
        ["completion", "bash"],
        ["man", "run"],
        ["why", "carp0", "--json", *control],
        ["events", *control],
        ["events", "--json", *control],
        ["doctor", "--for", "1s", *control],
        ["demote", "carp0", "--by", "5", "--cause", "test", *control],
        ["restore", "carp0", "--cause", "test", *control],
        ["drain", "carp0", "--timeout", "1", *control],
        ["undrain", "carp0", *control],
        ["failback", "carp0", *control],
        ["handover", "carp0", "--timeout", "1", *control],
        ["scan", "fxp0", "--for", "1s"],
        ["who", "192.168.1.50", "--interface", "fxp0", "--for", "1s"],
        ["check", file, str(other)],
        ["check", "--json", "--strict", file, str(other)],
        ["convert", file, "--to", "toml"],
        ["convert", file, "--to", "ucarp", "--lossy"],
        ["decode", str(capture), "--password-file", str(secret), "-a", "192.168.1.50"],
        ["decode", "--json", str(capture), "--password-file", str(secret), "-a", "192.168.1.50"],
        ["simulate", file, str(other), "--seeds", "1", "--keep", str(folder / "plan.json")],
    ]


def _run(segment: Segment, words: list[str]) -> str:
    argv = [sys.executable, "-m", "pycarp", *words]
    process = segment.popen("a", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _nothing = process.communicate(f"{OTHER}\n", timeout=120)
    assert "Traceback" not in said, words
    return str(said)
