"""A monitor of fixed link facts."""

import asyncio

import pytest

from pycarp.errors import ConfigError
from pycarp.monitors import StaticMonitor
from pycarp.vocabulary import LinkFacts
from tests.support.virtual import in_virtual_time, let_others_run

UP = LinkFacts(name="em0", is_up=True)
DOWN = LinkFacts(name="em0", is_up=False)


@in_virtual_time
async def test_watching_tells_the_facts_as_they_stand() -> None:
    monitor = StaticMonitor([UP, LinkFacts(name="em1", is_up=False)])

    assert await monitor.watch("em0") == UP


@in_virtual_time
async def test_a_link_that_is_not_listed_is_a_config_error_that_names_those_that_are() -> None:
    monitor = StaticMonitor([UP, LinkFacts(name="em1", is_up=True)])

    with pytest.raises(ConfigError, match="interface em9 does not exist; there are: em0, em1"):
        await monitor.watch("em9")


@in_virtual_time
async def test_where_no_link_is_listed_the_error_says_none() -> None:
    with pytest.raises(ConfigError, match="there are: none"):
        await StaticMonitor([]).watch("em0")


@in_virtual_time
async def test_changes_are_noticed_in_order() -> None:
    monitor = StaticMonitor([UP])
    noticed: list[LinkFacts] = []
    running = asyncio.create_task(monitor.run(noticed.append))
    monitor.change(DOWN)
    monitor.change(UP)
    await let_others_run()
    running.cancel()

    assert noticed == [DOWN, UP]


@in_virtual_time
async def test_a_changed_link_is_watched_as_it_is_now() -> None:
    monitor = StaticMonitor([UP])
    monitor.change(DOWN)

    assert await monitor.watch("em0") == DOWN
