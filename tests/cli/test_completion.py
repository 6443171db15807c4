"""The Tab key: what is offered is what the commands take, it is there at once, and shells understand it."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.cli.completion_index import completion_index
from pycarp.daemon.control_client import default_path
from pycarp.daemon.control_paths import ucarp_paths
from pycarp.tab_completion import running_hosts
from pycarp.tab_completion.candidates import INDEX, VARIABLE, Candidate, candidates
from pycarp.tab_completion.completion_scripts import SCRIPTS
from tests.support.control import host_of, scripted_daemon, status_of
from tests.support.system import require

COMMANDS = completion_index(cli)
LIMIT_S = 0.06
HEAVY = {"click", "rich", "asyncio", "msgspec", "cryptography", "pyroute2", "pathlib", "pycarp.core", "pycarp.cli"}


def offered(line: str) -> list[str]:
    """Return what is offered at the end of a line behind ``pycarp``; files and folders by their kinds."""
    words = line.split(" ")
    return [each.value or each.kind for each in found(words[:-1], words[-1])]


def found(words: list[str], unfinished: str) -> list[Candidate]:
    return candidates(COMMANDS, words, unfinished)


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command that click parses."""
    for name, entry in COMMANDS["commands"].items():
        if name != "ucarp":
            yield (name,)
        yield from ((name, each) for each in entry.get("commands", ()))


def by_click(words: list[str], unfinished: str) -> list[tuple[str, str]]:
    completing = ShellComplete(cli, {}, "pycarp", "_PYCARP_COMPLETE")
    return [(each.type, each.value) for each in completing.get_completions(words, unfinished)]


def test_the_table_of_the_commands_is_that_of_the_commands(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-transcripts"):
        Path(INDEX).write_text(json.dumps(COMMANDS, indent=1) + "\n")
        return

    assert json.loads(Path(INDEX).read_text()) == COMMANDS, "renew it: pytest tests/cli --update-transcripts"


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_the_options_that_are_offered_are_those_that_click_offers(words: tuple[str, ...]) -> None:
    if words == ("service", "install"):
        words = ("run",)  # Its options are handed on, which click does not know.
    ours = [each.value for each in found([*words], "--")]

    assert sorted(ours) == sorted({value for _kind, value in by_click([*words], "--") if value.startswith("--")})


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_the_values_that_are_offered_are_those_that_click_offers(words: tuple[str, ...]) -> None:
    context = click.Context(cli)
    command: click.Command | None = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.get_command(context, word)
    assert command is not None
    for option in (each for each in command.params if isinstance(each, click.Option) and not each.is_flag):
        if isinstance(option.type, click.Choice | click.Path):
            theirs = by_click([*words, option.opts[-1]], "")
            expected = [value if kind == "plain" else kind for kind, value in theirs]
            assert offered(f"{' '.join(words)} {option.opts[-1]} ") == expected, option.opts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("st", ["status"]),
        ("service ", ["install", "uninstall"]),
        ("statsu ", []),
        ("run --dialect op", ["openbsd"]),
        ("run --dialect=op", ["openbsd"]),
        ("run --json --dia", ["--dialect"]),
        ("run --dialect openbsd --dia", []),
        ("run --map a=b --map", ["--map"]),
        ("check a.toml ", ["file"]),
        ("release --state ", ["dir"]),
        ("ifconfig carp0 st", ["state"]),
        ("while-master carp0 -- --co", ["file"]),
        ("ucarp --pre", ["--preempt"]),
        ("ucarp --upscript ", ["file"]),
        ("demo ", []),
        ("completion f", ["fish"]),
        ("sysctl net.inet.carp.pre", ["net.inet.carp.preempt"]),
        ("man stat", ["status"]),
    ],
)
def test_what_is_offered(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_the_hosts_that_run_are_offered_with_their_states(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    hosts = [host_of("web"), host_of("wan", state="BACKUP"), host_of("$(reboot)")]
    with scripted_daemon(path, lambda _request: status_of(*hosts)):
        words = ["why", "--control", str(path)]

        assert found(words, "w") == [("plain", "web", "MASTER"), ("plain", "wan", "BACKUP")]
        assert found(["drain", f"--control={path}"], "we") == [("plain", "web", "MASTER")]


def test_where_nobody_answers_no_host_is_offered(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert found(["why", "--control", str(tmp_path / "nothing")], "") == []
    assert found(["why", "--control", str(tmp_path / "file")], "") == []


def test_the_daemons_that_are_asked_are_those_that_the_commands_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUNTIME_DIRECTORY", "PYCARP_CONTROL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "pycarp.sock").touch()
    (tmp_path / f"ucarp-eth0-1{running_hosts.namespace()}.sock").touch()

    asked = running_hosts.control_paths()

    assert str(default_path()) in asked
    assert {str(each) for each in ucarp_paths()} <= set(asked)


def test_it_imports_nothing_that_takes_time() -> None:
    code = "import sys; from pycarp.__main__ import main; main(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, "why", ""],
        env={**os.environ, VARIABLE: "bash"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert HEAVY & set(done.stderr.split()) == set()


def test_it_takes_less_than_sixty_milliseconds() -> None:
    took_s = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        argv = [sys.executable, "-m", "pycarp", "status", "--"]
        subprocess.run(argv, env={**os.environ, VARIABLE: "bash"}, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(took_s) < LIMIT_S


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    assert CliRunner().invoke(cli, ["completion", shell]).stdout == SCRIPTS[shell]


BASH = """\
eval "$("$1" -m pycarp completion bash)"
pycarp() { "$PYTHON" -m pycarp "$@"; }
export PYTHON=$1
COMP_LINE=$2 COMP_POINT=${#2}
_pycarp_completion pycarp "$3"
echo "${COMPREPLY[*]}"
"""


@pytest.mark.parametrize(
    ("line", "last", "expected"),
    [
        ("pycarp sta", "sta", "status"),
        ("pycarp run --dialect=open", "open", "openbsd"),
        ("pycarp service ", "", "install uninstall"),
    ],
)
def test_bash_completes(line: str, last: str, expected: str) -> None:
    argv = ["bash", "--norc", "-c", BASH, "bash", sys.executable, line, last]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == (expected, "")


@pytest.mark.system
def test_fish_completes() -> None:
    require("fish", root=False)
    code = (
        f"function pycarp; {sys.executable} -m pycarp $argv; end; {sys.executable} -m pycarp completion fish | source;"
        "complete -C 'pycarp run --dialect=op'; complete -C 'pycarp sta'"
    )

    done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=False)

    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == ["--dialect=openbsd", "status"]


@pytest.mark.system
def test_zsh_completes(tmp_path: Path) -> None:
    """In a zsh of its own at a terminal of zsh's, because zsh completes nowhere else."""
    require("zsh", root=False)
    (tmp_path / "pycarp").write_text(f'#!/bin/sh\nexec {sys.executable} -m pycarp "$@"\n')
    (tmp_path / "pycarp").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}
    script = (
        "zmodload zsh/zpty; zpty -b asked zsh -f;"
        "zpty -w asked 'autoload -Uz compinit; compinit -u -D; source <(pycarp completion zsh); print begun';"
        "until [[ $got == *$'begun\\r'* ]]; do zpty -r asked line; got+=$line; done;"
        "zpty -n -w asked $'pycarp run --dialect=openb\\t'; got=;"
        "until [[ $got == *openbsd* ]]; do zpty -r asked line && got+=$line; done; print found; zpty -d asked"
    )

    done = subprocess.run(
        ["zsh", "-f", "-c", script], capture_output=True, text=True, check=False, timeout=20, env=environment
    )

    assert done.stdout.split() == ["found"]
    assert not re.search("error|not found", done.stderr)
