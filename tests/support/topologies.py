"""Machines of a plan: one vhid on one segment, called a, b, c ..., each with an advskew of its own."""

from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Any

from pycarp.core.settings import Settings
from pycarp.sim.faults.fault_plan import Member
from pycarp.vocabulary import InterfaceAddress
from tests.support.hosts import PASSPHRASE, config

LINK = "em0"


def topology_of(
    number: int, *, step: int = 100, preempt: bool = False, passwords: Mapping[str, str] | None = None, **others: Any
) -> tuple[Member, ...]:
    """Return so many machines, ``step`` advskew apart; ``others`` are settings of all hosts."""
    return tuple(
        Member(
            name=name,
            hosts=(
                config(
                    interface=LINK,
                    advskew=step * rank,
                    passphrase=(passwords or {}).get(name, PASSPHRASE),
                    **others,
                ),
            ),
            own={LINK: (own_address(rank),)},
            settings=Settings(preempt=preempt),
        )
        for rank, name in enumerate("abcdefg"[:number])
    )


def own_address(rank: int) -> InterfaceAddress:
    """Return the own address of the machine of a rank."""
    return ip_interface(f"192.168.1.{rank + 1}/24")
