"""The pytest plugin of pycarp, which pytest loads wherever pycarp is installed; it costs nothing where it is not used.

Therefore it is a package beside ``pycarp``, which it imports only when a test uses the fixture ``cluster`` or is marked
``virtual_time``. Those tests run in virtual time, each on a loop of its own; all other tests are left alone. If
pytest-asyncio is installed, ``with_asyncio`` makes it run them; else ``alone`` runs them.
"""

import inspect
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pycarp.testing.clusters import Clusters
    from pycarp.testing.virtual_time import VirtualTimeLoop

MARK = "virtual_time"
FIXTURE = "carp_cluster"
INI = "pycarp_virtual_timeout"
DEFAULT_LIMIT_S = 3600.0
"""Virtual seconds; an hour of three nodes takes about one real second."""

CLUSTERS: "pytest.StashKey[Clusters]" = pytest.StashKey()

_MARK_LINE = (
    "virtual_time(timeout_s=3600): run in virtual time (pycarp), "
    "and fail when the test waits for more than timeout_s virtual seconds"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option for the limit of all tests in virtual time."""
    parser.addini(INI, f"virtual seconds that a test may wait (pycarp), {DEFAULT_LIMIT_S:g} unless set", default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the module that runs the tests."""
    config.addinivalue_line("markers", _MARK_LINE)
    if hasattr(config.hook, "pytest_asyncio_loop_factories"):
        from pytest_pycarp import with_asyncio as runner  # noqa: PLC0415
    else:
        from pytest_pycarp import alone as runner  # type: ignore[no-redef]  # noqa: PLC0415
    config.pluginmanager.register(runner, "pycarp-runner")


@pytest.fixture
def cluster(carp_cluster: Any) -> Any:
    """Return a function that makes clusters of nodes; they run in virtual time and are closed after the test.

    ``await cluster(...)`` takes the arguments of ``pycarp.testing.Cluster`` and returns one. The fixture is also
    called ``carp_cluster``, for projects that have a ``cluster`` of their own.
    """
    return carp_cluster


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that uses a cluster and is not ``async def``."""
    if FIXTURE in getattr(item, "fixturenames", ()) and not is_coroutine(item):
        pytest.fail(f"{item.name} uses the fixture cluster, so it must be 'async def'", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Report a deadlock by its message: a traceback would show only the inside of the loop."""
    if not is_ours(item):
        return (yield)
    from pycarp.testing import Deadlock  # noqa: PLC0415

    try:
        return (yield)
    except Deadlock as deadlock:
        words = f"{type(deadlock).__name__}: {deadlock}"
    pytest.fail(words, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of each cluster's transcript to the report of a failed test."""
    report = yield
    if report.failed and CLUSTERS in item.stash:
        report.sections += item.stash[CLUSTERS].sections()
    return report


def is_ours(item: Any) -> bool:
    """Return whether an item, or its definition, runs in virtual time."""
    # Another project's fixture named cluster does not request ours.
    return FIXTURE in getattr(item, "fixturenames", ()) or item.get_closest_marker(MARK) is not None


def is_coroutine(item: Any) -> bool:
    """Return whether a test is ``async def``, with hypothesis or without."""
    test = getattr(item, "obj", None)
    return inspect.iscoroutinefunction(getattr(getattr(test, "hypothesis", None), "inner_test", test))


def loop_factory(item: Any) -> "Callable[[], VirtualTimeLoop]":
    """Return the loop factory of a test; raises UsageError if its limit is not a number of seconds."""
    limit_s = _limit_s(item)

    def make() -> "VirtualTimeLoop":
        from pycarp.testing.virtual_time import VirtualTimeLoop  # noqa: PLC0415

        return VirtualTimeLoop(limit_s=limit_s)

    return make


def _limit_s(item: Any) -> float:
    mark = item.get_closest_marker(MARK)
    if mark is not None and (mark.args or set(mark.kwargs) - {"timeout_s"}):
        raise pytest.UsageError(f"{item.nodeid}: the mark {MARK} takes timeout_s=SECONDS and nothing else")
    where, value = INI, item.config.getini(INI) or DEFAULT_LIMIT_S
    if mark is not None and "timeout_s" in mark.kwargs:
        where, value = f"{item.nodeid}: timeout_s", mark.kwargs["timeout_s"]
    try:
        limit_s = float(value)
    except (TypeError, ValueError):
        limit_s = 0.0
    if not limit_s > 0:
        raise pytest.UsageError(f"{where} {value!r} is not a number of seconds above 0")
    return limit_s
