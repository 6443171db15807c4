"""The examples and tables of the reference are true."""

import re
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest

from pycarp.config import grammars, toml
from pycarp.config.grammars import TARGETS, Grammar
from pycarp.config.service_tables import HookTable
from pycarp.config.toml_keys import KEYS
from tests.support.pages import DOCS, block

PAGE = (DOCS / "reference" / "configuration.md").read_text()
LINK = re.compile(r"\[([^]`]+)\]\([^)]*\)")
HEADINGS = {
    "host": "`[[host]]`, once",
    "node": "`[node]`, at most once",
    "sync_group": "`[[sync_group]]`, once",
    "http": "`[http]`, at most once",
    "failback": "A failback:",
    "hook": "A hook:",
}
"""What stands above the table of the keys of each table of TOML; those of a check have a page of their own."""

EXAMPLES = dict(re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.parametrize("target", TARGETS)
def test_the_example_of_each_grammar_is_what_convert_writes(target: str) -> None:
    config = grammars.read(EXAMPLES["toml"], Grammar.TOML, file="pycarp.toml")
    (document,) = grammars.write(config, target, sources={"em0": IPv4Address("192.168.1.3")})

    assert document.text == EXAMPLES[target]


@pytest.mark.parametrize("table", [toml.HostTable, toml.NodeTable, HookTable])
def test_every_key_of_toml_has_its_line(table: type[msgspec.Struct]) -> None:
    names = [field.name for field in msgspec.structs.fields(table)]

    assert [name for name in names if f"\n| `{name}` |" not in PAGE] == []


@pytest.mark.parametrize(("table", "heading"), HEADINGS.items())
def test_the_tables_of_the_keys_say_what_the_schema_and_the_man_page_say(table: str, heading: str) -> None:
    text = PAGE.partition(f"\n{heading}")[2].partition("\n|---|---|---|\n")[2].partition("\n\n")[0]
    # The page has links besides.
    rows = [tuple(LINK.sub(r"\1", cell) for cell in line.strip("| ").split(" | ")) for line in text.splitlines()]

    assert rows == [(f"`{key.name}`", key.value, key.default or "\u2013") for key in KEYS[table]]


def test_every_key_of_every_table_is_described() -> None:
    described = {table: {key.name for key in keys} for table, keys in KEYS.items()}
    definitions = toml.schema()["$defs"]

    assert described == {table: set(definitions[toml.DEFINITIONS[table]]["properties"]) for table in KEYS}


def test_every_switch_of_the_node_is_named() -> None:
    assert all(f"`{field.name}`" in PAGE for field in msgspec.structs.fields(toml.SysctlTable))


@pytest.mark.parametrize(
    ("heading", "file"),
    [
        ("### ucarp in rc.conf", "rc.conf"),
        ("## ucarp in Debian's interfaces", "interfaces"),
        ("## ucarp's vip-001.conf", "vip-001.conf"),
        ("## keepalived.conf\n", "keepalived.conf"),
    ],
)
def test_the_examples_that_can_only_be_read_are_the_same_host(
    heading: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By a short path: FreeBSD's script does not quote it, and a temporary folder may have a blank in its name.
    monkeypatch.chdir(tmp_path)
    secret = Path("secret")
    secret.write_text("testpass\n")
    text = PAGE.partition(heading)[2].partition("```")[2].partition("\n")[2].partition("```")[0]
    text = text.replace("/usr/local/etc/ucarp.pass", str(secret))

    (host,) = grammars.read(text, grammars.recognise(file, text), file=file).hosts

    assert (host.interface, host.vhid, host.advskew, str(host.addresses[0].ip)) == ("em0", 1, 100, "192.168.1.50")
    assert host.passphrase.key.rstrip(b"\0") == b"testpass"


def test_every_grammar_has_its_line() -> None:
    assert all(f"\n| `{each}` |" in PAGE for each in Grammar)


@pytest.mark.parametrize("page", ["failback", "groups", "hooks"])
def test_the_tables_of_how_to_pages_are_taken(page: str, tmp_path: Path) -> None:
    tables = block(DOCS / "howto" / f"{page}.md", "the tables")
    (tmp_path / "secret").write_text("testpass\n")

    config = toml.read(tables.replace("/etc/pycarp.secret", str(tmp_path / "secret")), file="pycarp.toml")

    assert config.failbacks or config.sync_groups or config.hooks
