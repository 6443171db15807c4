"""Tests in virtual time without pytest-asyncio: each coroutine gets a runner of its own."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_pycarp import CLUSTERS, FIXTURE, is_ours, loop_factory

if TYPE_CHECKING:
    from pycarp.testing.clusters import Clusters

_RUNNER: "pytest.StashKey[asyncio.Runner]" = pytest.StashKey()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail our tests if an old pytest-asyncio would run them in real time."""
    if is_ours(item) and item.config.pluginmanager.hasplugin("asyncio"):
        pytest.fail("virtual time needs pytest-asyncio 1.4 or newer; upgrade or remove it", pytrace=False)


@pytest.fixture
def _pycarp_runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=loop_factory(request.node)) as runner:
        request.node.stash[_RUNNER] = runner
        yield runner


@pytest.fixture(name=FIXTURE)
def carp_cluster(request: pytest.FixtureRequest, _pycarp_runner: asyncio.Runner) -> "Iterator[Clusters]":
    """Yield a function that makes clusters; see ``cluster``."""
    from pycarp.testing.clusters import Clusters  # noqa: PLC0415

    clusters = Clusters()
    request.node.stash[CLUSTERS] = clusters
    yield clusters
    _pycarp_runner.run(clusters.close())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test in virtual time, if it is a coroutine function; return None for every other test."""
    test = pyfuncitem.obj
    if not is_ours(pyfuncitem) or not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    if _RUNNER in pyfuncitem.stash:
        pyfuncitem.stash[_RUNNER].run(test(**arguments))
        return True
    with asyncio.Runner(loop_factory=loop_factory(pyfuncitem)) as runner:
        runner.run(test(**arguments))
    return True
