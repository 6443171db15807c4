"""Actuators by name, and the one that does nothing."""

import subprocess
import sys

import pytest

from pycarp import actuators
from pycarp.actuators import Actuator, CommandActuator, NullActuator
from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ConfigError
from tests.support.addresses import config
from tests.support.virtual import in_virtual_time

HOST = config()
FORM = ArpForm(own_target_mac=False, link_source=False, with_reply=False)


def test_null_stands_for_the_one_that_does_nothing() -> None:
    assert isinstance(actuators.by_name("null"), NullActuator)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("name", ["auto", "netlink"])
def test_on_linux_the_kernel_is_asked_for_addresses(name: str) -> None:
    assert isinstance(actuators.by_name(name), NetlinkActuator)


def test_an_unknown_name_is_a_config_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"^unknown actuator 'magic'; known are: auto, netlink, null$"):
        actuators.by_name("magic")


def test_elsewhere_than_on_linux_the_way_out_is_told() -> None:
    program = "import sys; sys.platform = 'freebsd14'\nfrom pycarp import actuators\nactuators.by_name('auto')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stderr.splitlines()[-1] == (
        "pycarp.errors.ConfigError: the netlink actuator works on Linux only; choose null or pass a CommandActuator"
    )


@pytest.mark.parametrize("actuator", [NullActuator(), CommandActuator()], ids=lambda actuator: type(actuator).__name__)
def test_one_that_has_nothing_to_do_says_so(actuator: Actuator) -> None:
    @in_virtual_time
    async def do_everything() -> None:
        for _ in range(2):
            await actuator.open()
            await actuator.prepare(HOST)
            await actuator.hold(HOST.key, HOST.addresses, lifetime_s=3)
            actuator.renew(HOST.key, HOST.addresses, 3)
            await actuator.announce(HOST.key, HOST.addresses, FORM)
            actuator.set_up(HOST.key, is_up=False)
            await actuator.drop(HOST.key, HOST.addresses)
            await actuator.release(HOST.key)
            await actuator.close()

    do_everything()
    assert (actuator.clean_up_plan(HOST.key, HOST.addresses), actuator.location(HOST.key)) == ((), "")


@pytest.mark.parametrize("missing", ["hold", "drop"])
def test_an_actuator_without_hold_or_drop_cannot_be_made(missing: str) -> None:
    methods = {name: getattr(NullActuator, name) for name in ("hold", "drop") if name != missing}
    half = type("Half", (Actuator,), methods)

    with pytest.raises(TypeError, match=missing):
        half()
