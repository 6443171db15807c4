"""Tests in virtual time that pytest-asyncio runs, in both of its modes.

Its hook for loop factories has to answer for every test once anybody implements it. So this does only while one of our
own tests is generated: the tests of others are left to whoever answered before, or to nobody.
"""

from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from pytest_pycarp import CLUSTERS, FIXTURE, is_coroutine, is_ours, loop_factory

if TYPE_CHECKING:
    from pycarp.testing.clusters import Clusters
    from pycarp.testing.virtual_time import VirtualTimeLoop


class _LoopFactories:
    """Answers the hook for one test."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_asyncio_loop_factories(self, item: Any) -> "Mapping[str, Callable[[], VirtualTimeLoop]]":
        """Return the one loop there is."""
        return {"virtual_time": loop_factory(item)}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Choose the loop of our tests."""
    if not is_ours(metafunc.definition):
        return (yield)
    _mark(metafunc.definition)
    manager = metafunc.config.pluginmanager
    factories = _LoopFactories()
    manager.register(factories)
    try:
        return (yield)
    finally:
        manager.unregister(factories)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Let pytest-asyncio take our tests, marked or not: in its strict mode it takes marked ones only."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function) and is_ours(item):
            _mark(item)
    return made


@pytest_asyncio.fixture(loop_scope="function", name=FIXTURE)
async def carp_cluster(request: pytest.FixtureRequest) -> "AsyncIterator[Clusters]":
    """Return what makes clusters; see ``cluster``."""
    from pycarp.testing.clusters import Clusters  # noqa: PLC0415

    async with Clusters() as clusters:
        request.node.stash[CLUSTERS] = clusters
        yield clusters


def _mark(item: pytest.Function) -> None:
    """Have a coroutine run, on a loop of its own: a clock is nothing that tests can share."""
    if is_coroutine(item):
        item.add_marker(pytest.mark.asyncio(loop_scope="function"), append=False)
