"""Every block of code on every page is one that runs, parses or is read; one that no test knows is an error."""

import ast
import configparser
import importlib.util
import re
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pycarp
from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from tests.support.command_lines import commands_in, complaint_about
from tests.support.pages import DOCS

TESTS = Path(__file__).parents[1]
GENERATED = DOCS / "reference" / "commands"
PAGES = sorted(page for page in DOCS.rglob("*.md") if GENERATED not in page.parents)
BLOCK = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^( *)```([\w{}-]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OTHERS_FILES = re.compile(r'"(/etc/[\w./-]*(?:secret|password|token|\.pass)|/etc/pycarp[\w.-]*)"')

HOST = """\
[[host]]
name = "web"
interface = "eth0"
vhid = 1
password = "testpass"
addresses = ["192.0.2.9/24"]
"""

OUTPUT = {"", "text"}
"""What a program prints, and layouts."""

OF_SPHINX = {"{toctree}", "{eval-rst}", "{include}"}
"""What Sphinx itself reads, with warnings as errors."""

TESTED_ELSEWHERE = {"nginx", "sql", "xml", "mermaid"}
"""What only its own program can read: it has a mark, or a test reads it by its kind."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its page, its mark, its language and its text."""

    page: Path
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        first = self.text.partition("\n")[0][:40]
        return f"{self.page.relative_to(DOCS)}: {first}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for mark, _indent, language, text in BLOCK.findall(page.read_text()):
            yield Block(page, mark, language, text)


BLOCKS = list(blocks())


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def is_configuration(block: Block) -> bool:
    return bool(re.search(r"^(ifconfig_|cloned_interfaces|ucarp_enable|VIP_ADDRESS|vhid \d|inet \d)", block.text, re.M))


SHELL = [block for block in of("sh", "console") if not is_configuration(block)]


def lines_of(block: Block) -> list[str]:
    """Return the commands in a block: all lines, or those behind the prompt of a console."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if block.language == "sh" or line.startswith("$ ")]


def spans(page: Path) -> list[str]:
    """Return what is written as code within the sentences of a page."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", page.read_text()))


OF_MISTAKES = {"errors.md"}
"""Commands that are wrong on purpose; a test of its own makes each mistake."""

COMMANDS = [
    pytest.param(command, is_mention, id=f"{page.relative_to(DOCS)}: {command}")
    for page in PAGES
    if page.name not in OF_MISTAKES
    for is_mention, lines in (
        (True, spans(page)),
        (False, [line for block in SHELL if block.page == page for line in lines_of(block)]),
    )
    for command in commands_in(lines)
]
"""What stands in blocks, and what is mentioned in sentences."""


def test_every_block_has_a_language_that_a_test_knows() -> None:
    known = {*OUTPUT, *OF_SPHINX, *TESTED_ELSEWHERE, "toml", "sh", "console", "python", "ini", "json"}

    assert [f"{block}: {block.language}" for block in BLOCKS if block.language not in known] == []
    assert len(BLOCKS) > 150


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_every_toml_is_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = block.text
    if text.startswith("[project"):
        assert tomllib.loads(text)
        return
    for number, path in enumerate(sorted(set(OTHERS_FILES.findall(text)))):
        secret = tmp_path / f"secret{number}"
        secret.write_text("0123456789abcdef" * 2 if "token" in path else "testpass\n")
        secret.chmod(0o600)
        text = text.replace(f'"{path}"', f'"{secret}"')
    (tmp_path / "carp0").write_text("testpass\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    if "[[host]]" not in text:
        # A part of a file, which is for every host or for the one above it.
        text = HOST + text

    assert grammars.read(text, Grammar.TOML, file="carp.toml").hosts


@pytest.mark.parametrize("block", [each for each in of("sh") if is_configuration(each)], ids=str)
def test_every_configuration_of_another_system_is_read(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text("testpass\n")
    text = block.text.replace("/usr/local/etc/ucarp.pass", "secret")
    named = {"vhid": "hostname.carp0", "inet": "hostname.carp0", "VIP_ADDRESS": "vip-001.conf"}
    name = next((file for word, file in named.items() if re.search(rf"^{word}\b", text, re.M)), "rc.conf")
    if "cloned_interfaces" in text and "ifconfig_carp0" in text and text.count("inet 192") < 2:
        # A part of a file, whose comment says what else is in it.
        text = 'ifconfig_em0="inet 192.168.1.3/24"\n' + text

    assert grammars.read(text, grammars.recognise(name, text), file=name).hosts


@pytest.mark.parametrize("block", [each for each in SHELL if lines_of(each)], ids=str)
def test_every_shell_block_is_one_that_a_shell_parses(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input="\n".join(lines_of(block)), capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("command", "is_mention"), COMMANDS)
def test_every_command_is_one(command: str, is_mention: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # The machine of the pages has them; this one need not.
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0"), (3, "br0"), (4, "em0")])
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")

    complaint = complaint_about(command)

    # A mention may leave out values, or have words for them: --transport, or --to GRAMMAR.
    if not (is_mention and re.search(r"Missing argument|requires an argument|'[A-Z]+' is not", complaint)):
        assert complaint == ""


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 100


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_the_names_of_pycarp_in_every_python_exist(block: Block) -> None:
    """Those with a mark are run by the test that names the mark; of the others, parts of programs, this is all."""
    tree = compile(block.text, block.page.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)

    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("pycarp"):
                found = importlib.import_module(module)
                assert [each.name for each in names if not hasattr(found, each.name)] == []
            case ast.Attribute(value=ast.Name(id="pycarp"), attr=name):
                assert hasattr(pycarp, name) or importlib.util.find_spec(f"pycarp.{name}") is not None


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_every_unit_is_one_that_parses(block: Block) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(block.text)

    assert parser.sections()


def test_every_mark_is_named_by_a_test() -> None:
    tests = "\n".join(path.read_text() for path in TESTS.rglob("*.py"))
    checked_here = {"toml", "ini", "sh"}
    marks = {(block.mark, block.page.name) for block in BLOCKS if block.mark and block.language not in checked_here}

    named = {mark for mark, _page in marks if re.search(rf"""["']{re.escape(mark)}["']""", tests)}

    assert sorted(f"{page}: {mark}" for mark, page in marks if mark not in named) == []


@pytest.mark.parametrize("block", of(*sorted(TESTED_ELSEWHERE)), ids=str)
def test_what_only_its_own_program_reads_is_named_by_a_test(block: Block) -> None:
    tests = "\n".join(path.read_text() for path in TESTS.rglob("*.py"))

    assert f'"{block.mark}"' in tests or f"```{block.language}" in tests
