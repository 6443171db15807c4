"""The simulator and the asyncio shell do the same, step by step: what one finds out is true of the other.

A thousand seeds by hand: ``python -m tests.runtime.test_differential 1000``.
"""

import sys

import pytest

from tests.support.twins import Transcript, on_asyncio, random_plan, simulated

SEEDS = 50


def difference(seed: int) -> str:
    """Return the first step that is not the same on both, in words; empty if all are."""
    plan = random_plan(seed)
    here, there = simulated(plan), on_asyncio(plan)
    for name in here:
        for number, (one, other) in enumerate(zip(here[name], there[name], strict=False)):
            if one != other:
                return f"seed {seed}, step {number} of {name}:\n  simulator {one}\n  asyncio   {other}"
        if len(here[name]) != len(there[name]):
            return f"seed {seed}: {len(here[name])} steps of {name} on the simulator, {len(there[name])} on asyncio"
    return ""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_simulator_and_asyncio_take_the_same_steps(seed: int) -> None:
    assert difference(seed) == ""


def kinds(transcript: Transcript) -> set[str]:
    """Return what there is in a transcript: inputs and effects by the names of their types."""
    entries = [entry for entries in transcript.values() for entry in entries]
    effects = [effect for _at_ns, _event, answer in entries for effect in getattr(answer, "effects", ())]
    return {type(event).__name__ for _at_ns, event, _answer in entries} | {type(each).__name__ for each in effects}


def test_the_plans_cover_what_a_runtime_does() -> None:
    seen = set().union(*(kinds(simulated(random_plan(seed))) for seed in range(SEEDS)))

    assert seen >= {
        "ActuationReported",
        "AddressesDisturbed",
        "Announce",
        "DatagramReceived",
        "DropAddresses",
        "HoldAddresses",
        "HostRemoved",
        "LinkChanged",
        "RenewAddresses",
        "TimePassed",
        "TransmitReported",
    }


if __name__ == "__main__":
    differences = [text for seed in range(int(sys.argv[1])) if (text := difference(seed))]
    sys.exit("\n".join(differences) or 0)
