"""The events that a daemon keeps: numbered, resumable, and followed without gaps."""

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from pycarp.daemon.control_messages import EventRecord, EventsEnd, EventsRequest, Reply
from pycarp.daemon.event_history import ALIVE_EVERY_S, DECISION_EVERY_S, DECISIONS_AT_ONCE, EventHistory
from pycarp.daemon.log_fields import about
from tests.support.virtual import in_virtual_time

log = logging.getLogger("pycarp.state")


@contextlib.contextmanager
def recorded(kept: int = 100) -> Iterator[EventHistory]:
    history = EventHistory(kept=kept)
    with history.recording():
        yield history


async def read(history: EventHistory, **request: object) -> list[Reply]:
    found: list[Reply] = []

    async def send(reply: Reply) -> None:
        found.append(reply)

    await history.stream(EventsRequest(**request)).run(send)  # type: ignore[arg-type]
    return found


def texts(replies: list[Reply]) -> list[str]:
    return [each.text for each in replies if isinstance(each, EventRecord)]


@in_virtual_time
async def test_what_is_logged_is_kept_with_a_number_and_what_it_is_about() -> None:
    with recorded() as history:
        with about({"host": "web", "vhid": 1, "interface": "eth0"}):
            log.info("carp: %s: BACKUP -> MASTER", "1@eth0")
        log.debug("nothing")

        first, end = await read(history, after=0)

    assert isinstance(first, EventRecord)
    assert (first.seq, first.level, first.text) == (1, "info", "1@eth0: BACKUP -> MASTER")
    assert first.about == {"host": "web", "vhid": 1, "interface": "eth0"}
    assert end == EventsEnd(seq=1)


@in_virtual_time
async def test_a_log_level_that_is_higher_leaves_nothing_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "pycarp"), recorded() as history:
        log.info("carp: it happened")

        assert texts(await read(history, after=0)) == ["it happened"]


@in_virtual_time
async def test_reading_goes_on_after_a_number_and_old_events_are_forgotten() -> None:
    with recorded(kept=3) as history:
        for number in range(1, 6):
            log.info("carp: %d", number)

        assert texts(await read(history, after=0)) == ["3", "4", "5"]
        assert texts(await read(history, after=4)) == ["5"]
        assert texts(await read(history)) == []
        # A number of a daemon that ran before this one.
        assert texts(await read(history, after=999)) == ["3", "4", "5"]


@in_virtual_time
async def test_only_the_last_of_the_kept_ones_are_sent_if_that_is_asked() -> None:
    with recorded() as history:
        for number in range(1, 6):
            log.info("carp: %d", number)

        assert texts(await read(history, after=0, last=2)) == ["4", "5"]
        assert texts(await read(history, after=0, last=9)) == ["1", "2", "3", "4", "5"]


@in_virtual_time
async def test_a_flood_of_other_events_pushes_no_transition_out() -> None:
    with recorded(kept=3) as history:
        with about({"host": "web", "reason": "master-silent"}):
            log.info("carp: BACKUP -> MASTER")
        for number in range(10):
            log.info("carp: a check, %d", number)
            history.add_decision("follows the master", {"host": "web"}, at_s=0)

        found = texts(await read(history, after=0))

    assert found == ["BACKUP -> MASTER", "a check, 7", "a check, 8", "a check, 9", "follows the master"]


@in_virtual_time
async def test_decisions_beyond_a_bounded_rate_are_counted_instead_of_kept() -> None:
    with recorded(kept=1000) as history:
        for _ in range(DECISIONS_AT_ONCE + 5):
            history.add_decision("stays master", {"host": "web"}, at_s=0)
        await asyncio.sleep(DECISION_EVERY_S)
        history.add_decision("yields", {"host": "web"}, at_s=0)
        history.add_decision("of another host", {"host": "dns"}, at_s=0)

        found = texts(await read(history, after=0))

    assert len(found) == DECISIONS_AT_ONCE + 2
    assert found[-2:] == ["yields (after 5 more decisions, which are left out)", "of another host"]


@in_virtual_time
async def test_a_host_is_chosen_by_its_name_or_by_vhid_and_interface() -> None:
    with recorded() as history:
        for host, vhid in (("web", 1), ("dns", 2)):
            with about({"host": host, "vhid": vhid, "interface": "eth0"}):
                log.info("carp: of %s", host)

        assert texts(await read(history, after=0, host="web")) == ["of web"]
        assert texts(await read(history, after=0, host="2@eth0")) == ["of dns"]


@in_virtual_time
async def test_following_sends_what_comes_and_says_that_the_daemon_lives() -> None:
    found: list[Reply] = []

    async def send(reply: Reply) -> None:
        found.append(reply)

    with recorded() as history:
        log.info("carp: before")
        following = asyncio.create_task(history.stream(EventsRequest(after=0, follow=True)).run(send))
        await asyncio.sleep(1)
        log.info("carp: later")
        await asyncio.sleep(1)
        assert texts(found) == ["before", "later"]

        await asyncio.sleep(ALIVE_EVERY_S)
        assert found[-1] == EventsEnd(seq=2)
        following.cancel()
        await asyncio.wait([following])


async def test_what_other_threads_log_meanwhile_disturbs_no_reader() -> None:
    is_over = threading.Event()
    before_s = sys.getswitchinterval()

    def work() -> None:
        while not is_over.is_set():
            log.info("carp: a probe")

    with recorded(kept=4000) as history:
        for _ in range(4000):
            log.info("carp: before")
        thread = threading.Thread(target=work)
        sys.setswitchinterval(1e-6)
        thread.start()
        try:
            for _ in range(100):
                seqs = [each.seq for each in await read(history, after=0) if isinstance(each, EventRecord)]
                assert seqs == list(range(seqs[0], seqs[0] + 4000))
        finally:
            is_over.set()
            thread.join()
            sys.setswitchinterval(before_s)
