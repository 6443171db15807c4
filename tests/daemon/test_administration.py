"""What an administrator changes in a running node."""

import contextlib
from collections.abc import Callable
from inspect import isawaitable

import pytest

from pycarp.aio.node import Node
from pycarp.core.engine import HANDED_OVER
from pycarp.core.state import State
from pycarp.daemon.administration import Administration
from pycarp.daemon.control_messages import GroupReply, HandoverReply, HandoverRequest, IfconfigRequest
from pycarp.errors import ActuatorError, CarpError, ConfigError, UsageError
from pycarp.monitors import StaticMonitor
from pycarp.testing import run
from pycarp.transports import MemoryBus
from pycarp.vocabulary import HostKey, InterfaceAddress
from tests.support.actuators import RecordingActuator
from tests.support.hosts import config, link

SHARED = "192.168.1.50/24"
MORE = "192.168.1.51/24"
REFUSED = "192.168.1.66/24"


class _Picky(RecordingActuator):
    """A machine that refuses one address."""

    async def try_out(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        if REFUSED in map(str, addresses):
            raise ActuatorError(f"cannot add {REFUSED}")


def administered(*acts: Callable[[Administration], object]) -> tuple[Node, list[object]]:
    """Let an administrator act on a MASTER (1@fxp0) and another host (2@fxp0); return the node and the answers."""

    async def plan() -> tuple[Node, list[object]]:
        actuator = _Picky()
        async with Node(transport=MemoryBus().port("a"), actuator=actuator, monitor=StaticMonitor([link()])) as node:
            host = await node.add(config(addresses=(SHARED,)))
            await node.add(config(vhid=2, addresses=("192.168.1.60/24",), groups=("carp", "lan")))
            await host.wait_for(State.MASTER)

            async def remove(key: HostKey) -> None:
                await node.remove(next(each for each in node.hosts if each.key == key))

            answers = []
            for act in acts:
                answer = act(Administration(node, remove=remove))
                answers.append(await answer if isawaitable(answer) else answer)
            if host in node.hosts:
                answers.append((host.state, [str(each) for each in host.config.addresses], host.snapshot().demotion))
            return node, answers

    return run(plan())


def change(**what: object) -> Callable[[Administration], object]:
    return lambda administration: administration.change(IfconfigRequest(host="1@fxp0", **what))  # type: ignore[arg-type]


def after(*acts: Callable[[Administration], object]) -> object:
    return administered(*acts)[1][-1]


def refused(error: type[CarpError], act: Callable[[Administration], object], match: str) -> None:
    with pytest.raises(error, match=match):
        administered(act)


def test_an_address_is_added_without_a_change_of_state() -> None:
    assert after(change(add=[MORE])) == (State.MASTER, [SHARED, MORE], ())


def test_an_address_is_removed_by_its_number_alone() -> None:
    assert after(change(add=[MORE]), change(remove=["192.168.1.50"])) == (State.MASTER, [MORE], ())


def test_an_address_that_is_shared_already_is_refused() -> None:
    refused(UsageError, change(add=["192.168.1.50/32"]), "192.168.1.50 is shared by 1@fxp0 already")
    refused(UsageError, change(add=["192.168.1.60/24"]), "192.168.1.60 is shared by 2@fxp0 already")


def test_an_address_that_is_not_shared_cannot_be_removed() -> None:
    refused(UsageError, change(remove=[MORE]), f"1@fxp0 does not share 192.168.1.51; it shares {SHARED}")


@pytest.mark.parametrize("name", ["1@fxp0", "1@em0"])
def test_a_host_is_known_by_the_interface_of_the_file_as_well(name: str) -> None:
    async def plan() -> int:
        async with Node(transport=MemoryBus().port("a"), actuator="null", monitor=StaticMonitor([link()])) as node:
            host = await node.add(config())
            administration = Administration(node, remove=node.remove, renames={"em0": "fxp0"})  # type: ignore[arg-type]
            await administration.change(IfconfigRequest(host=name, advskew=77))
            return host.config.advskew

    assert run(plan()) == 77


def test_the_last_address_is_not_removed_unless_that_is_meant() -> None:
    refused(UsageError, change(remove=[SHARED]), f"1@fxp0 ends here without {SHARED}, its last address; .* say --force")


def test_a_host_leaves_with_its_last_address_when_that_is_forced() -> None:
    answers = administered(change(remove=[SHARED], is_forced=True), lambda each: each.demote_group("carp", 0))[1]

    assert answers[1] == GroupReply("carp", 0, 0, ["2@fxp0"])


def test_one_address_may_replace_the_last_one() -> None:
    assert after(change(remove=["192.168.1.50"], add=[MORE])) == (State.MASTER, [MORE], ())


def test_an_address_that_the_machine_refuses_changes_nothing() -> None:
    async def attempt(administration: Administration) -> None:
        with pytest.raises(ActuatorError, match="cannot add"):
            await administration.change(IfconfigRequest(host="1@fxp0", add=[REFUSED]))

    assert after(attempt) == (State.MASTER, [SHARED], ())


def test_a_short_interval_is_warned_of_in_the_reply_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    text = "advbase 0 advskew 5 is an interval of 20 ms"
    told, again, quiet = administered(change(advbase=0, advskew=5), change(is_up=True), change(advbase=0, advskew=50))[
        1
    ][:3]

    assert text in str(told)
    assert (again, quiet) == ("", "")
    assert [each.getMessage() for each in caplog.records if text in each.getMessage()] == [f"carp: 1@fxp0: {told}"]


def test_an_interval_of_nothing_is_refused() -> None:
    refused(ConfigError, change(advbase=0), "advbase 0 with advskew 0 is an interval of 0/256 s")


def test_what_is_no_address_is_refused() -> None:
    refused(UsageError, change(add=["192.168.1"]), "'192.168.1' is not an IP address")


def test_a_rolling_time_has_a_bound() -> None:
    refused(ConfigError, change(add=[MORE], rolling_s=86401.0), "rolling time 86401 s is outside 0-86400")


def test_a_request_that_is_refused_changes_nothing() -> None:
    async def attempt(administration: Administration) -> None:
        with pytest.raises(UsageError):
            await administration.change(IfconfigRequest(host="1@fxp0", add=[MORE], state="init"))

    assert after(attempt) == (State.MASTER, [SHARED], ())


def test_a_group_is_demoted_by_steps() -> None:
    """Source: carpdemote and -carpdemote, carp.md 6.4."""
    _node, answers = administered(
        lambda administration: administration.demote_group("carp", 50),
        lambda administration: administration.demote_group("carp", -20),
    )

    members = ["1@fxp0", "2@fxp0"]
    assert answers == [
        GroupReply("carp", 0, 50, members),
        GroupReply("carp", 50, 30, members),
        (State.MASTER, [SHARED], (("carpdemote", 30),)),
    ]


def test_a_group_that_no_host_is_in_is_refused_with_the_known_ones() -> None:
    refused(
        UsageError,
        lambda each: each.demote_group("wan", 1),
        "no virtual host is in interface group 'wan'; there are: carp, lan",
    )


@pytest.mark.parametrize(("by", "warns"), [(240, False), (241, True)])
def test_more_than_a_demotion_can_do_is_warned_about(by: int, warns: bool) -> None:
    (reply, _end) = administered(lambda each: each.demote_group("carp", by))[1]

    assert isinstance(reply, GroupReply)
    bound = "outside 0-240: it counts as 240"
    text = f"the demotion of group carp is a sum and is 241 now, {bound}; -carpdemote 241 makes it 0"
    assert reply.warning == (text if warns else "")


@pytest.mark.parametrize("by", [-1, 256])
def test_a_groups_demotion_has_bounds(by: int) -> None:
    refused(UsageError, lambda each: each.demote_group("lan", by), f"demotion {by} of group lan is outside 0-255")


def test_addresses_that_nobody_takes_are_kept_and_there_is_nothing_to_take_back() -> None:
    refused(CarpError, lambda each: each.hand_over(HandoverRequest(host="1@fxp0", timeout_s=0.5)), "1@fxp0")
    refused(
        UsageError,
        lambda each: each.hand_over(HandoverRequest(host="1@fxp0", timeout_s=0.5, is_back=True)),
        "1@fxp0 has not handed its addresses over, so that there is nothing to take back",
    )


def test_what_was_handed_over_is_taken_back() -> None:
    async def handed_over(administration: Administration) -> None:
        with contextlib.suppress(CarpError):
            await administration.hand_over(HandoverRequest(host="1@fxp0", timeout_s=0.5))
        for host in administration._node.hosts:
            host.demote(HANDED_OVER, by=1)

    _node, answers = administered(
        handed_over, lambda each: each.hand_over(HandoverRequest(host="1@fxp0", timeout_s=0.5, is_back=True))
    )

    assert answers[1] == HandoverReply(host="1@fxp0")
    assert answers[-1] == (State.MASTER, [SHARED], ())
