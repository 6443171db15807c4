"""The switches net.inet.carp.* of a node."""

import pytest

from pycarp.aio.node import Node
from pycarp.daemon import sysctls
from pycarp.daemon.sysctls import Sysctls
from pycarp.errors import UsageError
from pycarp.monitors import StaticMonitor
from pycarp.testing import run
from pycarp.transports import MemoryBus
from tests.support.hosts import config, link


async def written(*assignments: tuple[str, int]) -> tuple[dict[str, int], list[int], int]:
    """Write the assignments in turn; return all values, the log levels told, and the advskew that is advertised."""
    levels: list[int] = []
    async with Node(transport=MemoryBus().port("a"), actuator="null", monitor=StaticMonitor([link()])) as node:
        host = await node.add(config(advskew=10))
        switches = Sysctls(node, levels.append)
        for name, value in assignments:
            switches.write(sysctls.PREFIX + name, value)
        return switches.all(), levels, host.snapshot().claim.advskew


def test_the_defaults_are_those_of_freebsd() -> None:
    values, _levels, _advskew = run(written())

    assert values == {
        "net.inet.carp.allow": 1,
        "net.inet.carp.preempt": 0,
        "net.inet.carp.log": 1,
        "net.inet.carp.demotion": 0,
        "net.inet.carp.senderr_demotion_factor": 240,
        "net.inet.carp.ifdown_demotion_factor": 240,
    }


def test_preempt_and_allow_reach_the_node() -> None:
    values, _levels, _advskew = run(written(("preempt", 1), ("allow", 0)))

    assert (values["net.inet.carp.preempt"], values["net.inet.carp.allow"]) == (1, 0)


def test_a_written_demotion_is_added_as_freebsd_does_it() -> None:
    values, _levels, advskew = run(written(("demotion", 50), ("demotion", 30), ("demotion", -60)))

    assert (values["net.inet.carp.demotion"], advskew) == (20, 30)


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ((240,), ""),
        ((200, 41), "is a sum and is 241 now, outside 0-240: it counts as 240; net.inet.carp.demotion=-241 makes it 0"),
        ((5, -6), "is a sum and is -1 now, outside 0-240: it counts as 0; net.inet.carp.demotion=1 makes it 0"),
    ],
)
def test_a_sum_of_demotions_that_leaves_its_bounds_is_warned_about(
    values: tuple[int, ...], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    run(written(*(("demotion", value) for value in values)))

    told = [each.getMessage() for each in caplog.records]
    assert told == ([f"carp: net.inet.carp.demotion {warning}"] if warning else [])


def test_the_log_level_is_told() -> None:
    values, levels, _advskew = run(written(("log", 2)))

    assert (values["net.inet.carp.log"], levels) == (2, [2])


@pytest.mark.parametrize(("name", "value"), [("preempt", 2), ("allow", -1), ("log", 3), ("demotion", 2**31)])
def test_a_value_out_of_range_names_the_bound(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"net.inet.carp.{name}: {value} is outside "):
        run(written((name, value)))


def test_an_assignment_is_parsed_into_name_and_value() -> None:
    assert sysctls.parse("net.inet.carp.demotion=-50") == ("net.inet.carp.demotion", -50)


def test_a_name_alone_asks_for_the_value() -> None:
    assert sysctls.parse("net.inet.carp.preempt") == ("net.inet.carp.preempt", None)


@pytest.mark.parametrize("text", ["net.inet.carp.premept=1", "preempt=1", "net.inet.ip.forwarding", ""])
def test_an_unknown_name_lists_the_known_ones(text: str) -> None:
    with pytest.raises(UsageError, match=r"there are: net\.inet\.carp\.allow"):
        sysctls.parse(text)


def test_a_value_that_is_no_number_is_named() -> None:
    with pytest.raises(UsageError, match="'yes' is not a whole number"):
        sysctls.parse("net.inet.carp.preempt=yes")
