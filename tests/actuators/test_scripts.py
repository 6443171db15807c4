"""The script actuator with real scripts, as for ucarp."""

from collections.abc import Callable, Sequence
from ipaddress import ip_interface
from pathlib import Path

import pytest

from pycarp.actuators.scripts import ScriptActuator
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ActuatorError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.vocabulary import HostKey, MacAddress
from pycarp.wire import arp, ethernet
from tests.actuators.test_command_actuator import Script
from tests.support.capture import Capture
from tests.support.descriptors import open_descriptors
from tests.support.namespaces import LINK, entered, joined_namespaces
from tests.support.system import require, unprivileged

KEY = HostKey("em0", 1)
ADDRESSES = (ip_interface("192.0.2.10/32"),)


class Told:
    """The reports of the actuator, by kind."""

    def __init__(self) -> None:
        self.spawned: list[list[str]] = []
        self.statuses: list[str] = []
        self.failures: list[str] = []

    def spawn(self, argv: Sequence[str]) -> None:
        self.spawned.append(list(argv))


def actuator(
    script: str, told: Told, *, neutral: bool = False, extra: Sequence[str] = (), timeout_s: float = 5
) -> ScriptActuator:
    on_status: Callable[[str], None] = told.statuses.append
    return ScriptActuator(
        up=script,
        down=script,
        extra=extra,
        timeout_s=timeout_s,
        neutral=neutral,
        on_spawn=told.spawn,
        on_status=on_status,
        on_failure=told.failures.append,
    )


async def test_scripts_get_interface_address_and_the_extra_parameter_as_one_word(tmp_path: Path) -> None:
    script, told = Script(tmp_path), Told()
    scripts = actuator(str(script.path), told, extra=["a b"])
    await scripts.hold(KEY, ADDRESSES)

    assert script.calls == ["em0 192.0.2.10 a b"]
    assert told.spawned == [[str(script.path), "em0", "192.0.2.10", "a b"]]


async def test_the_down_script_is_run_at_the_start_and_not_twice_in_a_row(tmp_path: Path) -> None:
    script = Script(tmp_path)
    scripts = actuator(str(script.path), Told())
    await scripts.drop(KEY, ADDRESSES)
    await scripts.drop(KEY, ADDRESSES)

    assert len(script.calls) == 1


async def test_a_neutral_start_runs_no_down_script_until_the_up_script_was_run(tmp_path: Path) -> None:
    script = Script(tmp_path)
    scripts = actuator(str(script.path), Told(), neutral=True)
    await scripts.drop(KEY, ADDRESSES)

    assert script.calls == []
    await scripts.hold(KEY, ADDRESSES)
    await scripts.drop(KEY, ADDRESSES)
    assert len(script.calls) == 2


async def test_the_exit_status_of_a_script_does_not_matter(tmp_path: Path) -> None:
    script, told = Script(tmp_path, "exit 3"), Told()
    await actuator(str(script.path), told).hold(KEY, ADDRESSES)

    assert told.statuses == [f"{script.path} failed with exit status 3"]
    assert told.failures == []


async def test_a_script_that_does_not_exist_is_told_and_no_obstacle() -> None:
    told = Told()
    await actuator("/nonexistent", told).hold(KEY, ADDRESSES)

    assert told.failures == ["cannot run /nonexistent: No such file or directory"]


async def test_a_script_that_takes_too_long_is_told_and_no_obstacle(tmp_path: Path) -> None:
    script, told = Script(tmp_path, "exec sleep 10"), Told()
    await actuator(str(script.path), told, timeout_s=0.5).hold(KEY, ADDRESSES)

    assert told.failures == [f"{script.path} took longer than 0.5 s and was killed"]


async def test_no_script_at_all_is_no_obstacle() -> None:
    told = Told()
    await actuator("", told).hold(KEY, ADDRESSES)

    assert told.spawned == []


async def test_an_actuator_that_rests_runs_no_down_script(tmp_path: Path) -> None:
    script = Script(tmp_path)
    scripts = actuator(str(script.path), Told())
    await scripts.hold(KEY, ADDRESSES)
    scripts.rest()
    await scripts.drop(KEY, ADDRESSES)

    assert len(script.calls) == 1


async def test_a_down_script_that_fails_has_run_all_the_same(tmp_path: Path) -> None:
    script, told = Script(tmp_path, "exit 4"), Told()
    scripts = actuator(str(script.path), told)
    for _ in range(2):
        await scripts.drop(KEY, ADDRESSES)

    assert told.statuses == [f"{script.path} failed with exit status 4"]


async def test_up_and_down_scripts_take_turns(tmp_path: Path) -> None:
    script, told = Script(tmp_path), Told()
    scripts = actuator(str(script.path), told, neutral=True)
    for _ in range(2):
        await scripts.hold(KEY, ADDRESSES)
        await scripts.drop(KEY, ADDRESSES)

    assert len(script.calls) == 4


async def test_each_host_has_its_own_turn(tmp_path: Path) -> None:
    script, told = Script(tmp_path), Told()
    scripts = actuator(str(script.path), told, neutral=True)
    await scripts.hold(KEY, ADDRESSES)
    await scripts.drop(HostKey("em0", 2), ADDRESSES)
    await scripts.drop(KEY, ADDRESSES)

    assert len(script.calls) == 2


# The socket


@pytest.mark.system
async def test_without_permission_to_announce_it_says_what_to_do_and_opens_once_there_is() -> None:
    require()
    scripts = actuator("", Told())
    with unprivileged(), pytest.raises(ActuatorError) as caught:
        await scripts.open()
    before = open_descriptors()
    await scripts.open()
    await scripts.close()

    assert str(caught.value) == f"cannot announce addresses: {NO_PERMISSION}"
    assert open_descriptors() == before


async def test_closing_what_was_never_opened_is_well() -> None:
    await actuator("", Told()).close()


@pytest.mark.system
async def test_the_neighbour_hears_the_announcement_from_the_interfaces_own_mac() -> None:
    require("ip")
    form = ArpForm(own_target_mac=False, link_source=False, with_reply=False)
    with joined_namespaces() as (ours, theirs), Capture(theirs) as capture:
        scripts = actuator("", Told())
        with entered(ours):
            await scripts.open()
            await scripts.announce(HostKey(LINK, 1), ADDRESSES, form)
        await scripts.close()
        (seen,) = capture.frames(lambda frame: frame.ethertype == ethernet.ETHERTYPE_ARP, 1)
        mac = MacAddress.parse(ours.ip("link", "show", "dev", LINK).partition("link/ether ")[2].split()[0])

    assert (seen.source, arp.decode(seen.payload).sender_mac) == (mac, mac)
