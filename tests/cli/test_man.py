"""The man pages: one for each command and one for the configuration, that man takes without a warning."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.cli.command_page import CommandPage, command_pages
from pycarp.cli.man import man_pages
from pycarp.config import grammars, toml
from pycarp.config.grammars import Grammar
from tests.support.system import require

PAGES = man_pages()
COMMANDS = tuple(command_pages(cli, "pycarp"))
TITLES = ("NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "SEE ALSO")


def man(*words: str) -> Result:
    return CliRunner().invoke(cli, ["man", *words])


def plain(source: str) -> str:
    """Return what a page says, without its macros and escapes."""
    text = re.sub(r"\\f[BRI]|^\.\w+ ?", "", source, flags=re.MULTILINE)
    return text.replace("\\-", "-").replace("\\(aq", "'").replace("\\(ga", "`").replace("\\&", "").replace("\\e", "\\")


def test_every_command_and_sub_command_has_a_page() -> None:
    assert {"pycarp.1", "pycarp-run.1", "pycarp-service-install.1", "pycarp.toml.5"} <= PAGES.keys()
    assert {f"{page.file_name}.1" for page in COMMANDS} == PAGES.keys() - {"pycarp.toml.5"}


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.file_name)
def test_a_page_says_what_the_help_says(page: CommandPage) -> None:
    text = plain(PAGES[f"{page.file_name}.1"])
    expected = TITLES if page.name != "pycarp ucarp" else tuple(each for each in TITLES if each != "EXAMPLES")

    assert [title for title in expected if f"\n{title}\n" not in text] == []
    assert [name for name, _words in page.options if f"\n{name}\n" not in text] == []
    assert page.name == "pycarp ucarp" or "3 running but not well" in " ".join(text.split())


@pytest.mark.system
def test_man_takes_every_page_without_a_warning(tmp_path: Path) -> None:
    require("groff", root=False)
    assert man("--output", str(tmp_path)).exit_code == 0
    files = sorted(str(each) for each in tmp_path.rglob("*.[15]"))
    argv = ["groff", "-man", "-ww", "-z", "-K", "utf8", "-T", "utf8", *files]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (len(files), done.returncode, done.stderr) == (len(PAGES), 0, "")


def test_a_page_is_printed_in_roff_where_no_terminal_is() -> None:
    assert man("service", "install").stdout == PAGES["pycarp-service-install.1"]
    assert man().stdout == PAGES["pycarp.1"]
    assert man("pycarp.toml").stdout == PAGES["pycarp.toml.5"]


def test_a_page_that_is_misspelt_is_guessed() -> None:
    result = man("stauts")

    assert (result.exit_code, "did you mean status?" in result.stderr) == (2, True)


def test_every_key_of_every_table_is_on_the_page_of_the_configuration() -> None:
    text = plain(PAGES["pycarp.toml.5"])
    definitions = toml.schema()["$defs"]
    tables = ("NodeTable", "HostTable", "CheckTable", "HookTable", "FailbackTable", "SyncGroupTable", "HttpTable")

    assert [key for table in tables for key in definitions[table]["properties"] if f"\n{key}\n" not in text] == []


def test_the_example_of_the_page_of_the_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("testpass\n")
    (example,) = re.findall(r"^\.nf\n(.*?)^\.fi", PAGES["pycarp.toml.5"], re.MULTILINE | re.DOTALL)
    text = plain(example).replace("/etc/pycarp/web.password", str(tmp_path / "secret"))

    (host,) = grammars.read(text, Grammar.TOML, file="pycarp.toml").hosts

    assert host.vhid == 1
