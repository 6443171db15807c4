"""docs/reference/errors.md: every mistake in its tables is made here, and gets the answer that stands beside it."""

import re
import socket
from importlib import import_module
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import pycarp
from pycarp.cli import cli
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import LinkFacts
from tests.support import nodes

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "errors.md").read_text()
(FILE,) = re.findall(r"<!-- file: web\.toml -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
LINKS = (
    LinkFacts(name="lo", is_up=True, addresses=(ip_interface("127.0.0.1/8"),)),
    LinkFacts(name="eth0", is_up=True, addresses=(ip_interface("192.0.2.1/24"),)),
)


def rows(kind: str) -> list[tuple[str, str]]:
    (table,) = re.findall(rf"<!-- mistakes: {kind} -->\n\|.*\n\|---.*\n((?:\|.*\n)+)", PAGE)
    return re.findall(r"^\| `(.*?)` \| `(.*)` \|$", table, re.MULTILINE)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, words)
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture(autouse=True)
def _the_machine_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with lo and eth0, and the files of the page in the current folder."""
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    monkeypatch.setattr(import_module("pycarp.cli.check"), "own_interfaces", lambda: LINKS)
    monkeypatch.setattr(import_module("pycarp.cli.network_survey"), "own_interfaces", lambda: LINKS)
    monkeypatch.chdir(tmp_path)
    for name, text in (("web.toml", FILE), ("other.toml", FILE.replace("testpass", "another"))):
        Path(name).write_text(text)
        Path(name).chmod(0o600)


def test_there_are_twenty_mistakes_of_operators_and_ten_of_developers() -> None:
    assert len(rows("configuration")) + len(rows("commands")) >= 20
    assert len(rows("python")) >= 10


@pytest.mark.parametrize(("line", "answer"), rows("configuration"), ids=lambda each: each[:40])
def test_a_mistake_in_a_configuration(line: str, answer: str) -> None:
    key = line.partition(" ")[0]
    text, replaced = re.subn(rf"^{key} = .*", lambda _match: line, FILE, flags=re.MULTILINE)
    Path("web.toml").write_text(text if replaced else f"{FILE}{line}\n")

    status, said = run("check", "--strict", "web.toml")

    assert answer in said
    assert status == (1 if answer.startswith("warning") else 2)


@pytest.mark.parametrize(("line", "answer"), rows("commands"), ids=lambda each: each[:40])
def test_a_mistake_on_the_command_line(line: str, answer: str) -> None:
    status, said = run(*line.removeprefix("pycarp ").split())

    assert answer in said
    assert status == (0 if "other.toml" in line else 1 if "no pycarp answers" in answer else 2)


@pytest.mark.parametrize(("line", "answer"), rows("python"), ids=lambda each: each[:40])
async def test_a_mistake_in_python(line: str, answer: str) -> None:
    def config(**settings: Any) -> pycarp.HostConfig:
        usual = {"interface": nodes.LINK, "vhid": 1, "passphrase": "testpass", "addresses": [nodes.SHARED]}
        return pycarp.HostConfig(**{**usual, **settings})

    words: dict[str, Any] = {"config": config, "Node": pycarp.Node}
    body = line.replace("; ", "\n    ")
    exec(f"async def mistake(node, web):\n    {body}\n", words)
    async with nodes.node(MemoryBus()) as node:
        web = await node.add(nodes.config(name="web" if "hand_over" in line else ""))
        with pytest.raises(Exception) as raised:  # noqa: PT011  (the answer says which)
            await words["mistake"](node, web)

    assert f"{type(raised.value).__name__}: {raised.value}" == answer
