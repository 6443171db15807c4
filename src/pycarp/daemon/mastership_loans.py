"""Lends the masterships of a host to another process, such as ``pycarp while-master``, over the control socket.

The loan is one body of ``async with host.mastership()``: on a loss the addresses stay until the caller has hung up,
because what it runs has ended, or until its time is over. A caller learns from the silence of the stream what a body
learns from its cancellation.
"""

import asyncio
import contextlib

import msgspec

from pycarp.aio.log_records import explain, logger
from pycarp.aio.mastership import Mastership, MastershipLost
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.events import StateChange
from pycarp.daemon.control_messages import (
    CommandStatus,
    HostStatus,
    MastershipAwaited,
    MastershipBegun,
    MastershipEnded,
    MastershipRenewed,
    MastershipRequest,
)
from pycarp.daemon.streams import Send, Stream
from pycarp.vocabulary import NS_PER_S, HostKey


class MastershipLoans:
    """The masterships of all hosts of a daemon that are lent, and the requests that wait for one."""

    def __init__(self) -> None:
        self._loans: dict[_Loan, None] = {}

    def stream(self, host: VirtualHost, request: MastershipRequest) -> Stream:
        """Return the stream of a host's next mastership; raises ConfigError for a clean-up time that cannot be."""
        context = host.mastership(clean_up_s=request.clean_up_s)
        loan = _Loan(host.key, request.command, request.pid)

        async def run(send: Send) -> None:
            self._loans[loan] = None
            try:
                await send(MastershipAwaited(host.name, str(host.state)))
                with contextlib.suppress(MastershipLost):
                    async with context as mastership:
                        loan.is_running = True
                        logger.info("carp: %s: token %d for %s", host.key, mastership.token, loan)
                        await _lend(host, mastership, send)
            finally:
                if loan.is_running:
                    logger.info("carp: %s: ended: %s", host.key, loan)
                del self._loans[loan]

        return Stream(run)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Add to the status of a host the commands that run during its masterships, or wait for one."""
        status.commands += [
            CommandStatus(name=loan.command, pid=loan.pid, is_running=loan.is_running)
            for loan in self._loans
            if loan.key == key
        ]


class _Loan(msgspec.Struct, eq=False):
    key: HostKey
    command: str
    pid: int
    is_running: bool = False

    def __str__(self) -> str:
        return f"{self.command or 'a program'} (while-master, pid {self.pid})"


async def _lend(host: VirtualHost, mastership: Mastership, send: Send) -> None:
    """Send the signs of life until the mastership is lost; then wait until the caller hangs up."""
    try:
        await send(_begun(host, mastership))
        while True:
            await mastership.renewed()
            cleans_up_at_ns, ends_at_ns = _times(mastership)
            await send(MastershipRenewed(cleans_up_at_ns=cleans_up_at_ns, ends_at_ns=ends_at_ns))
    except asyncio.CancelledError:
        # No loss: the caller has hung up.
        if mastership.is_lost:
            ends_at_ns = _now_ns() + round(mastership.clean_up_s * NS_PER_S)
            await send(MastershipEnded(reason=_words(mastership), ends_at_ns=ends_at_ns))
            await asyncio.Future()
        raise


def _begun(host: VirtualHost, mastership: Mastership) -> MastershipBegun:
    snapshot = host.snapshot()
    cleans_up_at_ns, ends_at_ns = _times(mastership)
    return MastershipBegun(
        cleans_up_at_ns=cleans_up_at_ns,
        ends_at_ns=ends_at_ns,
        host=host.name,
        vhid=host.key.vhid,
        interface=host.key.link,
        addresses=[str(each) for each in snapshot.config.addresses],
        epoch=snapshot.epoch,
        token=mastership.token,
    )


def _times(mastership: Mastership) -> tuple[int, int]:
    """Return when a caller without further signs of life begins to clean up, and when it must have ended."""
    cleans_up_at_ns = _now_ns() + round(mastership.remaining_s * NS_PER_S)
    return cleans_up_at_ns, cleans_up_at_ns + round(mastership.clean_up_s * NS_PER_S)


def _words(mastership: Mastership) -> str:
    reason = mastership.reason
    assert reason is not None
    return explain(reason) if isinstance(reason, StateChange) else reason.value


def _now_ns() -> int:
    return round(asyncio.get_running_loop().time() * NS_PER_S)
