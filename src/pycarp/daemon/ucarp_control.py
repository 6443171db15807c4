"""Answers on the control socket of ``pycarp ucarp``: the requests of ``pycarp run`` that need no file."""

import os
import time
from typing import assert_never

from pycarp.aio.node import Node
from pycarp.daemon import control_messages as messages
from pycarp.daemon.administration import Administration
from pycarp.daemon.mastership_loans import MastershipLoans
from pycarp.daemon.status import status_reply
from pycarp.daemon.streams import Stream
from pycarp.daemon.sysctls import Sysctls
from pycarp.errors import UsageError
from pycarp.vocabulary import HostKey

_NO_MAINTENANCE = "that is for pycarp run; pycarp ucarp has status, handover, ifconfig, sysctl and netstat"

_NO_FILE = "pycarp ucarp has no file to read again: end it, and start it with other options"


class UcarpControl:
    """Answers requests about the one host of a node; ``sysctls`` are those of the node."""

    def __init__(self, node: Node, sysctls: Sysctls, *, transport: str) -> None:
        self._node = node
        self._sysctls = sysctls
        self._transport = transport
        self._administration = Administration(node, remove=_refuse_to_remove)
        self._loans = MastershipLoans()
        self._started_s = time.monotonic()

    async def answer(self, request: messages.Request) -> messages.Reply | Stream:
        """Carry out a request; raises CarpError when it cannot be done."""
        match request:
            case messages.StatusRequest():
                return self._status()
            case messages.IfconfigRequest():
                return messages.DoneReply(await self._administration.change(request))
            case messages.GroupRequest(group, by):
                return self._administration.demote_group(group, by)
            case messages.HandoverRequest():
                return await self._administration.hand_over(request)
            case messages.MastershipRequest(host):
                return self._loans.stream(self._administration.find(host), request)
            case messages.SysctlRequest(name, value):
                return self._sysctls.answer(name, value)
            case messages.PlanRequest() | messages.ReloadRequest() | messages.DriftRequest():
                raise UsageError(_NO_FILE)
            case (
                messages.DrainRequest()
                | messages.UndrainRequest()
                | messages.DemoteRequest()
                | messages.RestoreRequest()
                | messages.FailbackRequest()
                | messages.EventsRequest()
                | messages.WhyRequest()
                | messages.FlightRequest()
            ):
                raise UsageError(_NO_MAINTENANCE)
            case _:
                assert_never(request)

    def _status(self) -> messages.StatusReply:
        return status_reply(
            self._node.snapshot(),
            hostname=os.uname().nodename,
            uptime_s=time.monotonic() - self._started_s,
            transport=self._transport,
            sysctls=self._sysctls.all(),
            describe=self._loans.describe,
        )


async def _refuse_to_remove(key: HostKey) -> None:
    raise UsageError(f"{key} is all that this pycarp ucarp has: end it (kill -TERM), or set it down")
