"""What pycarp exports, what importing it costs, and that the README's example is true."""

import asyncio
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import pycarp
from pycarp.config import toml
from pycarp.monitors import StaticMonitor
from pycarp.testing import run
from pycarp.transports import MemoryBus
from tests.support.hosts import config
from tests.support.hosts import link as fxp0

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PLATFORM_MODULES = ("pyroute2", "netifaces", "asyncio_dgram", "click", "rich")


def block(mark: str) -> str:
    """Return the code block behind a mark in the README."""
    found = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)\n```", README, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", [each for each in pycarp.__all__ if each[0].isupper()])
def test_every_exported_name_is_documented(name: str) -> None:
    reference = (ROOT / "docs" / "reference" / "library.md").read_text()

    value = getattr(pycarp, name)
    assert value.__doc__ or not isinstance(value, type), "an alias of types has no docstring"
    assert re.search(rf"\b{name}\b", reference)


def test_every_exported_name_exists() -> None:
    assert all(hasattr(pycarp, name) for name in pycarp.__all__)


@pytest.mark.parametrize("module", PLATFORM_MODULES)
def test_importing_pycarp_loads_no_platform_module(module: str) -> None:
    code = f"import sys, pycarp; sys.exit({module!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = block("the library example").replace("pycarp.Node()", "make_node()").replace("eth0", "fxp0")
    code = code.removesuffix("asyncio.run(main())")
    bus = MemoryBus()

    def make_node() -> pycarp.Node:
        number = len(bus.fabric.ports) + 3
        links = StaticMonitor([fxp0(f"192.168.1.{number}/24")])
        return pycarp.Node(transport=bus.port(f"port{number}"), actuator="null", monitor=links)

    names: dict[str, object] = {"make_node": make_node}
    exec(compile(code, "README.md", "exec"), names)

    async def plan() -> None:
        main = names["main"]
        assert callable(main)
        example = asyncio.create_task(main())
        await asyncio.sleep(10)
        async with make_node() as peer:
            await peer.add(config(preempt=True))
            await asyncio.wait_for(example, 60)

    run(plan())

    assert "BACKUP -> MASTER: master timed out" in capsys.readouterr().out


def test_the_test_command_of_the_readme_is_one_line_for_ci() -> None:
    assert block("the test command").endswith(".venv/bin/pytest")


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("testpass\n")
    text = block("the configuration").replace("/etc/pycarp/web.password", "password")

    (host,) = toml.read(text, file=str(tmp_path / "web.toml")).hosts

    assert (host.vhid, str(host.addresses[0])) == (1, "192.0.2.10/24")


def test_the_readmes_picture_is_drawn_by_its_script() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "images" / "three_hosts.py"))

    assert script["PICTURE"].read_text() == script["picture"]()


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 900
