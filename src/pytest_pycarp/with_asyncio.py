"""Makes pytest-asyncio run our tests in virtual time, in both of its modes.

Once a plugin implements its hook for loop factories, the hook has to return one for every test. So the hook is
registered only while one of our own tests is generated; other tests are left to other plugins.
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
    """Implements the hook for one test."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_asyncio_loop_factories(self, item: Any) -> "Mapping[str, Callable[[], VirtualTimeLoop]]":
        """Return the factory of virtual-time loops as the only choice."""
        return {"virtual_time": loop_factory(item)}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Choose the loop of our tests; leave other tests alone."""
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
    """Mark our tests for pytest-asyncio, which in its strict mode runs only marked ones."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function) and is_ours(item):
            _mark(item)
    return made


@pytest_asyncio.fixture(loop_scope="function", name=FIXTURE)
async def carp_cluster(request: pytest.FixtureRequest) -> "AsyncIterator[Clusters]":
    """Yield a function that makes clusters; see ``cluster``."""
    from pycarp.testing.clusters import Clusters  # noqa: PLC0415

    async with Clusters() as clusters:
        request.node.stash[CLUSTERS] = clusters
        yield clusters


def _mark(item: pytest.Function) -> None:
    """Mark a coroutine to run on a loop of its own, because tests cannot share a clock."""
    if is_coroutine(item):
        item.add_marker(pytest.mark.asyncio(loop_scope="function"), append=False)
