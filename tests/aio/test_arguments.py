"""A caller's mistake is an error at the call, which names the way out; the node goes on."""

import asyncio
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from pycarp import CarpError, ConfigError, Node, Settings, State, UsageError, VirtualHost
from pycarp.transports import MemoryBus
from tests.support.nodes import config, node
from tests.support.virtual import in_virtual_time

Call = Callable[[Node, VirtualHost], object]


SETTINGS_TEXT = "are not pycarp.Settings|is neither True nor False|is not a whole number"


def _settings(make: Callable[[], Any]) -> Call:
    return lambda node, _host: node.set_settings(make())


def _same(junk: object) -> object:
    return junk


def _reconfigure(junk: dict[str, Any]) -> Call:
    return lambda _node, host: host.reconfigure(**junk)


def _force(junk: Any) -> Call:
    return lambda _node, host: host.force(junk)


def demotions() -> list[tuple[str, Call, str]]:
    """Return wrong amounts, causes and groups for a host and for a node."""
    amounts: list[object] = [12.5, "12", True, None, math.nan, [1], 2**31, -(2**31)]
    causes: list[object] = ["", "  ", None, 1, ["a"], b"lag"]
    return [
        *((f"host by {x!r}", lambda _n, h, x=x: h.demote("lag", by=x), "demotion by=") for x in amounts),
        *((f"node by {x!r}", lambda n, _h, x=x: n.demote("lag", by=x), "demotion by=") for x in amounts),
        *((f"host for {x!r}", lambda _n, h, x=x: h.demote(x, by=1), "cause .* is not a text") for x in causes),
        *((f"node for {x!r}", lambda n, _h, x=x: n.demote(x, by=1), "cause .* is not a text") for x in causes),
        *((f"host restores {x!r}", lambda _n, h, x=x: h.restore(x), "cause .* is not a text") for x in causes),
        *((f"node restores {x!r}", lambda n, _h, x=x: n.restore(x), "cause .* is not a text") for x in causes),
        *(
            (f"host restricts {x!r}", lambda _n, h, x=x: h.restrict("lag", x), "restriction")
            for x in ("MASTER", None, 1)
        ),
        *((f"node restricts {x!r}", lambda n, _h, x=x: n.restrict("lag", x), "restriction") for x in ("MASTER", None)),
        *((f"restricts for {x!r}", lambda _n, h, x=x: h.restrict(x, "no-preempt"), "cause .* is not") for x in causes),
        *((f"unrestricts {x!r}", lambda _n, h, x=x: h.unrestrict(x), "cause .* is not a text") for x in causes),
        *((f"group {x!r}", lambda n, _h, x=x: n.demote("lag", by=1, group=x), "group") for x in ("", 1, ["carp"])),
        *((f"group back {x!r}", lambda n, _h, x=x: n.restore("lag", group=x), "group") for x in ("", 1, ["carp"])),
    ]


def settings() -> list[tuple[str, Call, str]]:
    """Return wrong settings of a node; constructing them may already raise."""
    junk: list[dict[str, Any]] = [
        {"allow": 1},
        {"preempt": "no"},
        {"ifdown_demotion_factor": "x"},
        {"senderr_demotion_factor": 1.5},
        {"external_change_limit": -1},
        {"external_change_limit": None},
    ]
    none: list[object] = [None, {"allow": True}, "preempt"]
    return [
        *((f"settings {x}", _settings(functools.partial(Settings, **x)), SETTINGS_TEXT) for x in junk),
        *((f"settings {x!r}", _settings(functools.partial(_same, x)), SETTINGS_TEXT) for x in none),
    ]


def reconfigurations() -> list[tuple[str, Call, str]]:
    """Return wrong settings of a host."""
    junk: list[tuple[dict[str, object], str]] = [
        ({"advbase": 1.0}, "advbase 1.0 is not a whole number"),
        ({"advbase": 256}, "advbase 256 is outside"),
        ({"advskew": "5"}, "advskew '5' is not a whole number"),
        ({"preempt": "no"}, "preempt 'no' is neither True nor False"),
        ({"preempt": 1}, "preempt 1 is neither True nor False"),
        ({"addresses": "192.0.2.1/24"}, "addresses '192.0.2.1/24' is not a list"),
        ({"addresses": 5}, "addresses 5 is not a list"),
        ({"addresses": []}, "at least one shared address"),
        ({"addresses": [None]}, "shared address None"),
        ({"addresses": ["here"]}, "shared address 'here'"),
        ({"passphrase": 5}, "passphrase is a int"),
        ({"passphrase": "x" * 40}, "passphrase of 40 octets"),
        ({"peers": "192.0.2.9"}, "peers '192.0.2.9' is not a list"),
        ({"peers": [...]}, "peer"),
        ({"rolling_s": -1}, "rolling time -1 s"),
        ({"rolling_s": math.nan}, "rolling time nan is not a number"),
        ({"rolling_s": "1"}, "rolling time '1' is not a number"),
        ({"rolling_s": 10**6}, "rolling time 1e.06 s is outside"),
    ]
    return [(f"reconfigure {x}", _reconfigure(x), text) for x, text in junk]


def states() -> list[tuple[str, Call, str]]:
    """Return values that are not states."""
    junk: list[object] = ["master", "", None, 1, True, "DOWN"]
    return [(f"force {x!r}", _force(x), "is none of INIT, BACKUP, MASTER") for x in junk]


MISTAKES = [*demotions(), *settings(), *reconfigurations(), *states()]


@pytest.mark.parametrize(("call", "text"), [each[1:] for each in MISTAKES], ids=[each[0] for each in MISTAKES])
@in_virtual_time
async def test_a_mistake_is_an_error_at_the_call_and_the_node_lives_on(call: Call, text: str) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        before = web.snapshot()
        with pytest.raises(ConfigError, match=text):
            call(here, web)

        assert web.snapshot() == before
        await web.wait_for(State.MASTER)
        await asyncio.sleep(5)
        assert here.failure is None


@pytest.mark.parametrize("junk", ["master", None, 1], ids=repr)
@in_virtual_time
async def test_waiting_for_what_is_no_state_is_an_error_that_names_the_states(junk: object) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        with pytest.raises(ConfigError, match="is none of INIT, BACKUP, MASTER"):
            await web.wait_for(junk)  # type: ignore[arg-type]  # that is the mistake


@in_virtual_time
async def test_a_state_may_be_given_by_its_value() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        assert (await web.wait_for("MASTER")).new is State.MASTER
        web.force("BACKUP")

        assert web.state is State.BACKUP


@pytest.mark.parametrize(("lag", "load", "advskew"), [(-1, 0, 49), (-300, 0, 0), (-30, 100, 120), (0, 10, 60)])
@in_virtual_time
async def test_a_negative_amount_is_subtracted_and_zero_removes_a_cause(lag: int, load: int, advskew: int) -> None:
    """Source: carp.md 6.1, the counter of the BSDs is signed."""
    async with node(MemoryBus()) as here:
        web = await here.add(config(advskew=50))
        web.demote("lag", by=5)
        web.demote("load", by=load)
        web.demote("lag", by=lag)

        assert web.snapshot().claim.advskew == advskew


@pytest.mark.parametrize("after", [1000, "1", 1.0, True], ids=repr)
@in_virtual_time
async def test_the_number_of_an_event_that_cannot_be_is_an_error(after: object) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        with pytest.raises(CarpError, match=r"there is no event 1000 yet|is not the number of an event"):
            await web.next_change(after=after)  # type: ignore[arg-type]  # that is the mistake


@pytest.mark.parametrize("span", [0, -1, "1", None, True, math.nan], ids=repr)
@pytest.mark.parametrize("name", ["close_timeout_s", "actuation_timeout_s"])
def test_a_timeout_of_a_node_that_is_none_is_a_config_error(name: str, span: object) -> None:
    with pytest.raises(ConfigError, match=name):
        Node(transport=MemoryBus().port("a"), actuator="null", **{name: span})  # type: ignore[arg-type]


@pytest.mark.parametrize("span", [0, -1, "1", True, math.nan], ids=repr)
@in_virtual_time
async def test_a_timeout_of_a_hand_over_that_is_none_is_a_config_error(span: object) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        with pytest.raises(ConfigError, match="timeout"):
            await web.hand_over(timeout_s=span)  # type: ignore[arg-type]  # that is the mistake
        assert (web.state, web.snapshot().demotion) == (State.MASTER, ())


@pytest.mark.parametrize(
    "arguments", [{"clean_up_s": "1"}, {"clean_up_s": 0}, {"timeout_s": "1"}, {"timeout_s": -1}, {"token": 5}], ids=str
)
@in_virtual_time
async def test_a_mastership_with_wrong_arguments_is_a_config_error(arguments: dict[str, object]) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        with pytest.raises(ConfigError):
            web.mastership(**arguments)  # type: ignore[arg-type]  # that is the mistake


# Other threads

PLAIN: dict[str, Call] = {
    "host.demote": lambda _n, h: h.demote("x", by=5),
    "host.restore": lambda _n, h: h.restore("x"),
    "host.restrict": lambda _n, h: h.restrict("x", "no-preempt"),
    "host.unrestrict": lambda _n, h: h.unrestrict("x"),
    "node.restrict": lambda n, _h: n.restrict("x", "no-preempt"),
    "node.unrestrict": lambda n, _h: n.unrestrict("x"),
    "host.force": lambda _n, h: h.force(State.MASTER),
    "host.down": lambda _n, h: h.down(),
    "host.up": lambda _n, h: h.up(),
    "host.reconfigure": lambda _n, h: h.reconfigure(advskew=5),
    "host.on_change": lambda _n, h: h.on_change(print),
    "host.on_lost": lambda _n, h: h.on_lost(print),
    "host.remove_callback": lambda _n, h: h.remove_callback(print),
    "host.events": lambda _n, h: h.events(),
    "host.tenure": lambda _n, h: h.mastership(),
    "node.demote": lambda n, _h: n.demote("x", by=5),
    "node.restore": lambda n, _h: n.restore("x"),
    "node.set_settings": lambda n, _h: n.set_settings(Settings()),
    "host.wait_for": lambda _n, h: asyncio.run(h.wait_for(State.BACKUP)),
    "host.next_change": lambda _n, h: asyncio.run(h.next_change()),
    "host.hand_over": lambda _n, h: asyncio.run(h.hand_over()),
    "node.add": lambda n, _h: asyncio.run(n.add(config(vhid=2))),
    "node.remove": lambda n, h: asyncio.run(n.remove(h)),
}


@pytest.mark.parametrize("call", PLAIN.values(), ids=PLAIN)
@in_virtual_time
async def test_a_call_from_another_thread_is_an_error_that_says_how_to_do_it(call: Call) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        before = web.snapshot()
        with pytest.raises(UsageError, match="call_soon_threadsafe"):
            await asyncio.to_thread(call, here, web)

        assert web.snapshot() == before
        await web.wait_for(State.MASTER)
        assert here.failure is None


@in_virtual_time
async def test_a_call_that_another_thread_asks_the_loop_for_is_well() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(loop.call_soon_threadsafe, lambda: web.demote("x", by=5))
        await asyncio.sleep(0.1)

        assert web.snapshot().demotion == (("x", 5),)
