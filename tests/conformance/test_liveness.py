"""Whatever happened to three hosts: when all of it is over, exactly one is MASTER, and it stays so.

The histories are random and the same in every run; they are scenarios, so that one that fails can be read and replayed.
"""

from random import Random

import pytest

from pycarp.dialects import ALL, UCARP, Dialect
from pycarp.sim.scenario.scenario import play

HOSTS = {"a": 0, "b": 60, "c": 120}
COMMANDS = 40
BOTH = "192.0.2.50/24,2001:db8::50/64"
OTHER = "192.0.2.50/24,192.0.2.51/24"


def record(draw: Random, addresses: tuple[str, str]) -> str:
    """Return one command of a history."""
    node = draw.choice([*HOSTS])
    choices = [
        f"run {draw.choice(['1ms', '500ms', '1s', '3s', '4s', '10s'])}",
        f"run {draw.choice(['1s', '3s'])}",
        f"admin {node} {draw.choice(['up', 'down'])}",
        f"force {node} {draw.choice(['MASTER', 'BACKUP', 'INIT'])}",
        f"demote {node} {draw.choice(['', 'node', 'group=carp'])} by={draw.choice([1, 10, 240])}",
        f"restore {node} {draw.choice(['', 'node', 'group=carp'])}",
        f"sysctl {node} preempt={draw.choice([0, 1])} allow={draw.choice([0, 1, 1])}",
        f"link {node} {draw.choice(['up', 'down', 'unknown'])}",
        f"cut {node} {draw.choice([*HOSTS])}",
        f"isolate {node}",
        "heal",
        f"delay {draw.choice(['50us', '20ms'])}",
        f"hear {node} advbase={draw.choice([0, 1, 3, 255])} advskew={draw.choice([0, 100, 255])}",
        f"{draw.choice(['fail', 'repair'])} {node} {draw.choice(['sends', 'hold', 'drop'])}",
        f"set {node} addresses={draw.choice(addresses)} rolling={draw.choice(['0s', '5s'])}",
    ]
    return draw.choice(choices)


def amends(node: str, addresses: str) -> list[str]:
    """Return the commands that undo whatever was done to a node."""
    return [
        *(f"repair {node} {trouble}" for trouble in ("sends", "hold", "drop")),
        *(f"link {node} up", f"admin {node} up", f"sysctl {node} allow=1"),
        *(f"restore {node} {scope}" for scope in ("", "node", "group=carp")),
        f"set {node} addresses={addresses}",
    ]


def history(dialect: Dialect, seed: int) -> list[str]:
    """Return a history of three hosts, and amends for all of it."""
    draw = Random(f"{dialect.name} {seed}")
    addresses = ("192.0.2.50/24",) * 2 if dialect is UCARP else (BOTH, OTHER)
    lines = [
        f"host {node} advskew={advskew} addresses={addresses[0]} {draw.choice(['', 'preempt'])}"
        for node, advskew in HOSTS.items()
    ]
    lines += [record(draw, addresses) for _command in range(COMMANDS)]
    lines += ["heal", "delay 50us"]
    return lines + [line for node in HOSTS for line in amends(node, addresses[0])]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_when_all_is_mended_exactly_one_is_master(dialect: Dialect, seed: int) -> None:
    mended = [*history(dialect, seed), "run 60s", "----"]
    after = ["run 5s", *(f"status {node}" for node in HOSTS), "----"]

    text = play("\n".join([*mended, *after]) + "\n", dialect=dialect).text

    later = [line for line in text.rsplit("status c\n----\n", 1)[1].splitlines() if "advertises" not in line]
    assert sum(" is MASTER" in line for line in later) == 1
    assert not [line for line in later if " -> " in line]
