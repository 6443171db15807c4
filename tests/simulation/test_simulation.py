"""A story is simulated as it would happen, and the same story always alike."""

from dataclasses import replace

from pycarp.core.state import State
from pycarp.sim.outcome import Promise
from pycarp.sim.simulation import simulate
from pycarp.sim.stories import random_story
from pycarp.vocabulary import NS_PER_S


def test_the_same_seed_tells_the_same_story() -> None:
    assert simulate(random_story(5), tells=True) == simulate(random_story(5), tells=True)


def test_another_seed_tells_another() -> None:
    assert simulate(random_story(5)).changes != simulate(random_story(6)).changes


def test_without_incidents_one_is_master_and_keeps_the_addresses() -> None:
    story = replace(random_story(5), incidents=(), until_ns=60 * NS_PER_S)
    outcome = simulate(story)

    assert [each.until_ns for each in outcome.ownerships] == [None]
    assert outcome.violations == ()
    assert [change.node for change in outcome.changes if change.event.new is State.MASTER] == [
        outcome.ownerships[0].node
    ]


def test_promises_have_words() -> None:
    assert all(" " in promise.value for promise in Promise)
