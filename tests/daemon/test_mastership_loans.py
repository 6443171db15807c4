"""Masterships that are lent over the control socket."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pycarp import ConfigError, State, UsageError, VirtualHost
from pycarp.aio.node import Node
from pycarp.core.lease import lease_of
from pycarp.daemon.control_messages import (
    CommandStatus,
    MastershipAwaited,
    MastershipBegun,
    MastershipEnded,
    MastershipRenewed,
    MastershipRequest,
    Reply,
)
from pycarp.daemon.mastership_loans import MastershipLoans
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import NS_PER_S
from tests.support.control import host_of
from tests.support.nodes import config, node
from tests.support.virtual import in_virtual_time, now_s

SETTLED_S = 5.0


@dataclass(slots=True)
class Caller:
    """Follows a stream until it hangs up, and keeps what it was sent, and when."""

    sent: list[tuple[float, Reply]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    loans: MastershipLoans = field(default_factory=MastershipLoans)

    def call(self, host: VirtualHost, clean_up_s: float = 1.0) -> None:
        request = MastershipRequest(host.name, clean_up_s=clean_up_s, command="scheduler", pid=4711)
        self.task = asyncio.create_task(self.loans.stream(host, request).run(self.take))

    async def take(self, reply: Reply) -> None:
        self.sent.append((now_s(), reply))

    async def hang_up(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait({self.task})

    def status_of(self, host: VirtualHost) -> list[CommandStatus]:
        status = host_of(host.name)
        self.loans.describe(host.key, status)
        return status.commands

    def of(self, kind: type[Reply]) -> Sequence[tuple[float, Reply]]:
        return [each for each in self.sent if type(each[1]) is kind]


async def master(here: Node) -> VirtualHost:
    host = await here.add(config(name="web"))
    await host.wait_for(State.MASTER)
    return host


@in_virtual_time
async def test_the_state_is_sent_first_and_the_mastership_when_it_begins() -> None:
    async with node(MemoryBus()) as here:
        host = await here.add(config(name="web"))
        caller = Caller()
        caller.call(host)
        await asyncio.sleep(SETTLED_S)
        await caller.hang_up()

    (first, second) = (reply for _at_s, reply in caller.sent[:2])
    assert first == MastershipAwaited("web", "BACKUP")
    assert isinstance(second, MastershipBegun)
    assert (second.host, second.addresses) == ("web", [str(each) for each in config().addresses])
    assert second.token > 0


@in_virtual_time
async def test_every_sign_of_life_sends_by_when_the_caller_has_ended() -> None:
    async with node(MemoryBus()) as here:
        host = await master(here)
        caller = Caller()
        caller.call(host)
        await asyncio.sleep(SETTLED_S)
        await caller.hang_up()

    lease = lease_of(config())
    renewals = caller.of(MastershipRenewed)
    assert len(renewals) >= SETTLED_S - 1
    for at_s, reply in renewals[1:]:
        assert isinstance(reply, MastershipRenewed)
        assert reply.ends_at_ns == pytest.approx(at_s * NS_PER_S + lease.timeout_ns, abs=1000)
        assert reply.ends_at_ns - reply.cleans_up_at_ns == pytest.approx(lease.reserve_ns, abs=1000)


@in_virtual_time
async def test_a_caller_that_needs_less_time_to_clean_up_begins_later() -> None:
    async with node(MemoryBus()) as here:
        host = await master(here)
        caller = Caller()
        caller.call(host, clean_up_s=0.1)
        await asyncio.sleep(SETTLED_S)
        await caller.hang_up()

    _at_s, last = caller.of(MastershipRenewed)[-1]
    assert isinstance(last, MastershipRenewed)
    assert last.ends_at_ns - last.cleans_up_at_ns == NS_PER_S // 10


@in_virtual_time
async def test_the_addresses_stay_after_a_loss_until_the_caller_has_hung_up() -> None:
    async with node(MemoryBus()) as here:
        host = await master(here)
        caller = Caller()
        caller.call(host)
        await asyncio.sleep(SETTLED_S)

        removal = asyncio.create_task(here.remove(host))
        await asyncio.sleep(0.1)
        assert not removal.done()
        ((_at_s, ended),) = caller.of(MastershipEnded)
        await caller.hang_up()
        began_s = now_s()
        await removal

    assert isinstance(ended, MastershipEnded)
    assert now_s() - began_s < 0.01
    assert ended.reason


@in_virtual_time
async def test_a_caller_that_does_not_hang_up_loses_its_stream_when_its_time_is_over() -> None:
    async with node(MemoryBus()) as here:
        host = await master(here)
        caller = Caller()
        caller.call(host)
        await asyncio.sleep(SETTLED_S)

        host.down()
        assert caller.task is not None
        await caller.task

    ((at_s, ended),) = caller.of(MastershipEnded)
    assert isinstance(ended, MastershipEnded)
    assert ended.ends_at_ns == pytest.approx(at_s * NS_PER_S + lease_of(config()).reserve_ns, abs=1000)
    assert now_s() >= ended.ends_at_ns / NS_PER_S - 1e-6


@in_virtual_time
async def test_a_host_that_departs_while_its_mastership_is_awaited_is_an_error() -> None:
    async with node(MemoryBus()) as here:
        host = await here.add(config())
        caller = Caller()
        caller.call(host)
        await asyncio.sleep(0)
        await here.remove(host)

        assert caller.task is not None
        with pytest.raises(UsageError):
            await caller.task


@in_virtual_time
async def test_a_time_that_cannot_be_is_refused() -> None:
    async with node(MemoryBus()) as here:
        host = await here.add(config())

        with pytest.raises(ConfigError, match="clean-up"):
            MastershipLoans().stream(host, MastershipRequest(host.name, clean_up_s=-1))


@in_virtual_time
async def test_the_status_shows_what_waits_and_what_runs() -> None:
    async with node(MemoryBus()) as here:
        host = await here.add(config(name="web"))
        caller = Caller()
        caller.call(host)
        await asyncio.sleep(0)
        waiting = caller.status_of(host)
        await asyncio.sleep(SETTLED_S)
        running = caller.status_of(host)
        await caller.hang_up()

        assert waiting == [CommandStatus(name="scheduler", pid=4711, is_running=False)]
        assert running == [CommandStatus(name="scheduler", pid=4711, is_running=True)]
        assert caller.status_of(host) == []
