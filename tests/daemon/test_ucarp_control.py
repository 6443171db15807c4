"""What ``pycarp ucarp`` answers on its control socket."""

import pytest

from pycarp.aio.node import Node
from pycarp.core.state import State
from pycarp.daemon.control_messages import (
    DoneReply,
    DriftRequest,
    GroupReply,
    GroupRequest,
    IfconfigRequest,
    MastershipRequest,
    PlanRequest,
    ReloadRequest,
    Reply,
    Request,
    StatusReply,
    StatusRequest,
    SysctlReply,
    SysctlRequest,
)
from pycarp.daemon.streams import Stream
from pycarp.daemon.sysctls import Sysctls
from pycarp.daemon.ucarp_control import UcarpControl
from pycarp.errors import UsageError
from pycarp.monitors import StaticMonitor
from pycarp.testing import run
from pycarp.transports import MemoryBus
from tests.support.hosts import config, link


def asked(*requests: Request) -> list[Reply | Stream]:
    """Return what the process of one MASTER answers."""

    async def plan() -> list[Reply | Stream]:
        async with Node(transport=MemoryBus().port("a"), actuator="null", monitor=StaticMonitor([link()])) as node:
            host = await node.add(config(addresses=("192.168.1.50/32",)))
            await host.wait_for(State.MASTER)
            control = UcarpControl(node, Sysctls(node, lambda _level: None), transport="packet")
            return [await control.answer(each) for each in requests]

    return run(plan())


def test_it_tells_its_status() -> None:
    (reply,) = asked(StatusRequest())

    assert isinstance(reply, StatusReply)
    assert [(each.name, each.state) for each in reply.hosts] == [("1@fxp0", "MASTER")]
    assert reply.transport == "packet"
    assert reply.sysctls["net.inet.carp.preempt"] == 0


def test_it_is_changed_as_pycarp_run_is() -> None:
    down, group, sysctl, status = asked(
        IfconfigRequest(host="1@fxp0", is_up=False),
        GroupRequest("carp", 7),
        SysctlRequest("net.inet.carp.demotion", 300),
        StatusRequest(),
    )

    assert down == DoneReply()
    assert group == GroupReply("carp", 0, 7, ["1@fxp0"])
    assert isinstance(sysctl, SysctlReply)
    assert (sysctl.before, sysctl.value, "outside 0-240" in sysctl.warning) == (0, 300, True)
    assert isinstance(status, StatusReply)
    assert status.hosts[0].state == "INIT"


@pytest.mark.parametrize(
    "request_", [PlanRequest(), ReloadRequest(), DriftRequest()], ids=lambda each: type(each).__name__
)
def test_it_has_no_file_to_read_again(request_: Request) -> None:
    with pytest.raises(UsageError, match="end it, and start it with other options"):
        asked(request_)


def test_its_only_address_stays() -> None:
    with pytest.raises(UsageError, match="1@fxp0 is all that this pycarp ucarp has"):
        asked(IfconfigRequest(host="1@fxp0", remove=["192.168.1.50"], is_forced=True))


def test_it_lends_masterships() -> None:
    (reply,) = asked(MastershipRequest("1@fxp0"))

    assert isinstance(reply, Stream)
