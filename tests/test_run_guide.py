"""Pages of docs/howto: every command in them is one that pycarp takes, and every configuration one that it reads."""

import re
import socket
from pathlib import Path

import pytest

from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from tests.support.command_lines import commands_in, complaint_about

PAGES = ("run.md", "systemd.md", "while-master.md", "init.md")
GUIDE = "\n".join((Path(__file__).parents[1] / "docs" / "howto" / page).read_text() for page in PAGES)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", GUIDE, flags=re.MULTILINE | re.DOTALL))


LINES = [line.removeprefix("$ ") for kind, text in BLOCKS if kind != "toml" for line in text.splitlines()]
COMMANDS = commands_in([*LINES, *SPANS])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The machine of the pages has it; this one need not.
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0")])

    assert complaint_about(command) == ""


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "toml"])
def test_every_toml_is_read(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carp0").write_text("testpass\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert grammars.read(text, Grammar.TOML, file="carp.toml").hosts


def test_the_rc_conf_is_read() -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "sh" and "ifconfig_" in text]

    hosts = grammars.read(text, Grammar.RC_CONF, file="rc.conf").hosts

    assert [host.vhid for host in hosts] == [1, 2]


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([^)]+)\)", GUIDE)) <= headings


def test_files_that_it_leads_to_are_there() -> None:
    here = Path(__file__).parents[1] / "docs" / "howto"

    missing = [each for each in re.findall(r"\]\(([^)#]+)[^)]*\)", GUIDE) if not (here / each).exists()]

    assert missing == []
