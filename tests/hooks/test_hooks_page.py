"""The page on hooks is true: its hooks are called."""

import asyncio
from pathlib import Path

import pytest

from pycarp.config import toml
from pycarp.hooks import On, OnFailure
from pycarp.testing import Cluster
from tests.support.pages import DOCS, block, names_of
from tests.support.virtual import in_virtual_time

PAGE = DOCS / "howto" / "hooks.md"


def test_the_tables_of_the_page_are_hooks(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("testpass\n")

    tables = block(PAGE, "the tables").replace("/etc/pycarp.secret", str(tmp_path / "secret"))
    config = toml.read(tables, file="pycarp.toml")

    own, every = config.hooks
    assert (own.host, own.item.name, own.item.timeout_s, own.item.on_failure) == (
        config.hosts[0].key,
        "start-it",
        30,
        OnFailure.DEMOTE,
    )
    assert (every.host, every.item.on) == (None, {On.MASTER, On.LOST, On.FAULT})


@in_virtual_time
async def test_the_hooks_of_the_page_are_called(capsys: pytest.CaptureFixture[str]) -> None:
    # The program of the page is not on this machine, and a real one would take real time.
    names = names_of(block(PAGE, "the hooks").replace('run=("/usr/local/sbin/start-it",)', "run=say"))
    async with Cluster(1) as cluster:
        task = asyncio.create_task(names["serve"](cluster.a.host))
        await cluster.settle()
        await asyncio.sleep(0.1)

        assert capsys.readouterr().out.count("master ") == 2
        task.cancel()
        await asyncio.wait([task])
