"""The page of the daemon in a browser: what it shows, as it changes, to everybody who may look at it."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from pycarp.core.events import StateChange
from pycarp.core.state import Reason, State
from pycarp.daemon.control_messages import (
    Alarm,
    CheckStatus,
    DrainedHost,
    DrainReply,
    DrainRequest,
    HandoverReply,
    HookStatus,
    HostStatus,
    LinkStatus,
    OutlookStatus,
    RestrictionStatus,
    StatusReply,
)
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.browsers import forwarded, log, running_browser, served_page
from tests.support.control import cause_of, counters_of, drops_of, host_of, peer_of, status_of
from tests.support.daemons import Toml, new_segment, wait_until
from tests.support.system import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

pytestmark = pytest.mark.system

TOKEN = "0123456789abcdef"
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with running_browser() as started:
        yield started


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A tab that fails the test when anything is written to its console."""
    opened = browser.new_page(viewport=DESK)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    opened.close()
    # That a server has gone, or refuses, is what some tests are about.
    assert [
        each for each in said if "ERR_" not in each and "status of 401" not in each and "status of 409" not in each
    ] == []


def everything_wrong(name: str, vhid: int) -> HostStatus:
    """Return a host about which there is something to say everywhere."""
    return host_of(
        name,
        vhid=vhid,
        state="BACKUP",
        master=None,
        heard=[peer_of("192.168.1.4"), peer_of("fe80::1", has_left=True)],
        alarms=[Alarm(name="unheard", text="what is sent does not arrive", command="pycarp doctor")],
        demotion=[cause_of("check nginx", 240), cause_of("drained: new kernel", 254, is_wanted=True)],
        restrictions=[RestrictionStatus(cause="startup hold", to="no-preempt", ends_in_s=20)],
        checks=[CheckStatus(name="nginx", passes=False, answer="fail", detail="refused", by=240, s_ago=3)],
        hooks=[HookStatus(name="mail", on=["master"], is_running=False, last_on="master", error="exit status 1")],
        missing=["192.168.1.50/24"],
        warnings=["advskew 0 on two machines"],
        is_drained=True,
        location="carp0 (virtual MAC)",
    )


def many(count: int) -> StatusReply:
    hosts = [host_of(f"host{number}", vhid=number) for number in range(1, count)]
    links = {"fxp0": LinkStatus(counters_of(0), drops_of(3, 4))}
    return status_of(everything_wrong("wrong", 255), *hosts, links=links)


def changed(status: StatusReply, **changes: object) -> StatusReply:
    """Return a status whose first host has changed."""
    first = msgspec.structs.replace(status.hosts[0], **changes)
    return msgspec.structs.replace(status, hosts=[first, *status.hosts[1:]])


ADD_UP_SHIFTS = """
window.shifts = 0;
const add = (list) => list.getEntries().forEach((each) => (window.shifts += each.value));
new PerformanceObserver(add).observe({type: "layout-shift"});
"""


def shift(page: "Page") -> float:
    """Return the cumulative layout shift of a tab with ``ADD_UP_SHIFTS`` since it was asked last, as it is now seen."""
    page.wait_for_timeout(150)
    return float(page.evaluate("[shifts, (shifts = 0)][0]"))


def violations(page: "Page") -> list[str]:
    """Return what axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def test_states_and_events_change_on_the_page_as_they_happen(page: "Page") -> None:
    with served_page(status_of(host_of("web", state="BACKUP", master=None))) as served:
        page.goto(served.url)
        page.wait_for_selector(".segment .unknown >> text=web")

        served.status = changed(served.status, state="MASTER", master="this host")
        log.info("carp: 1@fxp0: BACKUP -> MASTER (master timed out)")

        page.wait_for_selector(".here .chip.MASTER >> text=web")
        assert page.inner_text(".host .state") == "MASTER"
        assert page.inner_text("#verdict .title") == "The virtual host is well"
        assert "BACKUP -> MASTER" in page.inner_text("#events li:first-child")
        assert "web is MASTER" in page.inner_text("#said")


def test_what_is_wrong_is_the_first_thing_on_the_page_with_what_to_type_next(page: "Page") -> None:
    with served_page(many(3)) as served:
        page.goto(served.url)
        page.wait_for_selector(".host")

        verdict = page.inner_text("#verdict")
        assert "1 of 3 virtual hosts needs attention" in verdict
        assert "what is sent does not arrive" in verdict
        assert "pycarp doctor" in verdict
        assert page.title().startswith("(1) hosta")


def test_the_keyboard_opens_a_host_and_shows_causes_peers_and_checks(page: "Page") -> None:
    with served_page(many(3)) as served:
        page.goto(served.url)
        page.wait_for_selector(".host")
        page.focus("#list summary >> nth=0")
        page.keyboard.press("Enter")

        page.wait_for_selector(".host[open] .body section")
        body = page.inner_text(".host[open] .body")
        for text in ("drained: new kernel", "startup hold", "192.168.1.4", "it has left", "refused", "exit status 1"):
            assert text in body
        page.keyboard.press("Enter")
        assert page.query_selector(".host[open]") is None


def test_the_time_line_shows_and_says_the_states_of_the_last_day(page: "Page") -> None:
    with served_page(msgspec.structs.replace(status_of(host_of("web")), uptime_s=7200.0)) as served:
        key = HostKey("fxp0", 1)
        now_ns = time.monotonic_ns()
        served.timeline.describe(key, served.status.hosts[0])
        for ago_s, state in ((7200, State.BACKUP), (3000, State.MASTER), (1000, State.BACKUP)):
            served.timeline.take(
                StateChange(
                    key=key,
                    at_ns=now_ns - ago_s * NS_PER_S,
                    old=State.INIT,
                    new=state,
                    reason=Reason.MASTER_SILENT,
                    epoch=1,
                )
            )
        page.goto(served.url)
        page.wait_for_selector(".timeline rect")

        said = page.get_attribute(".timeline", "aria-label") or ""
        assert said.startswith("Last day, of which 2h00m are known: MASTER for 33m20s, BACKUP for 1h26m")
        assert page.locator(".timeline rect").count() == 3
        page.check("input[value='3600']", force=True)
        assert (page.get_attribute(".timeline", "aria-label") or "").startswith("Last hour, of which 1h00m are known")


def test_of_a_daemon_that_runs_for_less_than_an_hour_the_time_line_shows_the_hour(page: "Page") -> None:
    with served_page(status_of(host_of("web"))) as served:
        page.goto(served.url)
        page.wait_for_selector(".timeline")

        assert page.is_checked("input[value='3600']")


def waiting_backup(**changes: object) -> HostStatus:
    """Return a BACKUP that takes over 3.39 s after the last advertisement, which came a tenth of a second ago."""
    values = {"state": "BACKUP", "master": "192.168.1.4", "heard": [peer_of("192.168.1.4")], "next_s": 3.29}
    return host_of("web", **(values | changes))


SILENT = OutlookStatus(state="MASTER", reason="master timed out", condition="nobody advertises until then", in_s=3.29)
LEFT = OutlookStatus(state="MASTER", reason="master bowed out", condition="the master bows out", in_s=None)


def test_a_closed_host_says_when_it_takes_over_and_an_open_one_counts_down(page: "Page") -> None:
    with served_page(status_of(waiting_backup())) as served:
        served.outlook = [SILENT, LEFT]
        page.goto(served.url)
        page.wait_for_selector(".host")
        row = page.inner_text(".host .third")
        page.click("#list summary >> nth=0")
        page.wait_for_selector(".outlook li")
        first = page.inner_text(".countdown")
        page.wait_for_function("text => document.querySelector('.countdown').textContent !== text", arg=first)

        assert "takes over 3.39 s after its last advertisement; does not preempt" in row
        assert re.fullmatch(r"in [0-3]\.\d s", first)
        listed = page.locator(".outlook li").all_inner_texts()
        assert "if nobody advertises until then (master timed out)" in listed[0]
        assert listed[1] == "MASTER as soon as the master bows out (master bowed out)"


def test_what_counts_down_is_not_read_aloud_and_what_it_counts_from_is(page: "Page") -> None:
    with served_page(status_of(waiting_backup())) as served:
        served.outlook = [SILENT]
        page.goto(served.url)
        page.click("#list summary >> nth=0")
        page.wait_for_selector(".outlook li")

        heard = page.locator(".outlook").aria_snapshot()
        assert "3.39 s after the last advertisement if nobody advertises until then" in heard
        assert re.search(r"in \d\.\d s", heard) is None
        assert page.locator("[aria-live] .countdown, [role=status] .countdown, [role=alert] .countdown").count() == 0


@pytest.mark.parametrize(
    ("host", "way", "said"),
    [
        ({"master": None, "heard": []}, SILENT, "takes over unless a MASTER advertises"),
        (
            {"preempt": True, "restrictions": [RestrictionStatus(cause="startup hold", to="no-preempt", ends_in_s=9)]},
            SILENT,
            "after its last advertisement; preempts nobody: startup hold",
        ),
        ({"next_s": None}, LEFT, "takes over as soon as the master bows out"),
        (
            {"state": "INIT"},
            OutlookStatus(state="BACKUP", reason="", condition="fxp0 is up", in_s=None),
            "as fxp0 is up",
        ),
    ],
)
def test_a_closed_host_says_what_it_waits_for(
    page: "Page", host: dict[str, object], way: OutlookStatus, said: str
) -> None:
    with served_page(status_of(waiting_backup(**host))) as served:
        served.outlook = [way]
        page.goto(served.url)
        page.wait_for_selector(".host")

        assert said in page.inner_text(".host .third")


def test_a_countdown_stands_still_while_the_daemon_is_lost(page: "Page") -> None:
    with served_page(status_of(waiting_backup())) as served:
        served.outlook = [SILENT]
        page.goto(served.url)
        page.click("#list summary >> nth=0")
        page.wait_for_selector(".countdown")
    page.wait_for_selector("#lost:not([hidden])")
    then = page.inner_text(".countdown")
    time.sleep(0.6)

    assert page.inner_text(".countdown") == then


def test_a_daemon_that_says_nothing_any_more_is_shown_to_be_lost_and_found_again(page: "Page") -> None:
    with served_page(status_of(host_of("web"))) as served:
        page.goto(served.url)
        page.wait_for_selector(".host")
        assert page.is_hidden("#lost")

        served.is_frozen = True
        page.wait_for_selector("#lost:not([hidden])", timeout=6000)
        assert "what is shown is" in page.inner_text("#lost")
        assert page.title().startswith("✕")

        served.is_frozen = False
        page.wait_for_selector("#lost", state="hidden", timeout=8000)


def test_a_daemon_that_was_started_again_is_found_and_its_events_begin_anew(page: "Page") -> None:
    first = status_of(host_of("web"))
    with served_page(first) as served:
        page.goto(served.url)
        page.wait_for_selector(".host")
        log.info("carp: of the first one")
        page.wait_for_selector("#events >> text=of the first one")
    page.wait_for_selector("#lost:not([hidden])")
    with served_page(msgspec.structs.replace(first, pid=first.pid + 1), port=served.port):
        for number in range(5):
            log.info("carp: of the second one, %d", number)

        page.wait_for_selector("#events >> text=of the second one, 0")
        assert "of the first one" not in page.inner_text("#events")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_in_light_and_dark(browser: "Browser", scheme: str) -> None:
    page = browser.new_page(viewport=DESK, color_scheme=scheme)
    with served_page(many(2)) as served:
        log.warning("carp: something")
        page.goto(served.url)
        page.click("#list summary >> nth=0")

        assert violations(page) == []
    page.close()


@pytest.mark.parametrize("count", [1, 255])
def test_the_page_fits_a_phone(browser: "Browser", count: int) -> None:
    page = browser.new_page(viewport=PHONE)
    with served_page(many(count)) as served:
        log.warning("carp: something %s", "unbreakable" * 20)
        page.goto(served.url)
        page.wait_for_selector(f".host >> nth={count - 1}")
        page.click("#list summary >> nth=0")

        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.close()


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_what_is_read_stays_in_its_place_as_the_first_state_comes_hosts_change_and_the_daemon_is_lost(
    browser: "Browser", viewport: "ViewportSize"
) -> None:
    others = [host_of("mail", vhid=2), host_of("dns", vhid=3), host_of("ntp", vhid=4)]
    deaf = Alarm(name="unheard", text="what is sent does not arrive", command="pycarp doctor")
    steps: list[tuple[str, dict[str, object]]] = [
        (".unknown .chip", {"master": None}),
        (".host .mark >> text=unheard", {"alarms": [deaf]}),
        (".here .chip.MASTER >> text=web", {"state": "MASTER", "master": "this host", "alarms": []}),
        (".here .chip.INIT", {"state": "INIT", "master": None}),
    ]
    with served_page(status_of(waiting_backup(), *others)) as served:
        served.outlook = [SILENT, LEFT]
        served.is_frozen = True
        page = browser.new_page(viewport=viewport)
        page.add_init_script(ADD_UP_SHIFTS)
        page.goto(served.url)
        page.wait_for_function("performance.getEntriesByType('paint').length > 0")
        served.is_frozen = False
        page.wait_for_selector(".host >> nth=3")
        shifts = {"first state": shift(page)}

        for shown, changes in steps:
            served.status = changed(served.status, **changes)
            log.info("carp: 1@fxp0: web has changed")
            page.wait_for_selector(shown)
            shifts[shown] = shift(page)
        served.is_frozen = True
        page.wait_for_selector("#lost:not([hidden])")
        shifts["lost"] = shift(page)
        page.close()

    assert sum(shifts.values()) < 0.1, shifts


def test_hosts_are_found_among_many(page: "Page") -> None:
    with served_page(many(255)) as served:
        page.goto(served.url)
        page.wait_for_selector(".host >> nth=254")

        page.fill("#find", "host20")
        assert page.locator(".host:visible").count() == 11
        page.select_option("#only", "wrong")
        assert page.is_visible("#none")
        page.click("#verdict li a")
        assert page.inner_text(".host[open] .name") == "wrong"


def test_without_a_token_there_is_nothing_to_press(page: "Page") -> None:
    with served_page(status_of(host_of("web"), host_of("dns", vhid=2))) as served:
        page.goto(served.url)
        page.click("#list summary >> nth=0")

        assert page.locator("button:visible").count() == 0


def test_a_drain_is_confirmed_and_needs_the_token(page: "Page") -> None:
    with served_page(status_of(host_of("web")), token=TOKEN) as served:
        served.answer = lambda _request: DrainReply(
            hosts=[DrainedHost(host="web", was_master=True, master="192.168.1.4", answers=True)], took_s=0.01
        )
        page.goto(served.url)
        page.click("#list summary >> nth=0")
        page.click(".host[open] button >> text=Drain…")
        page.fill("dialog [name=reason]", "new kernel")
        page.select_option("dialog [name=duration]", "3600")
        page.fill("dialog [name=token]", "wrong" * 4)
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog .outcome >> text=Refused: wrong token")
        assert served.asked == []

        page.fill("dialog [name=token]", TOKEN)
        assert violations(page) == []
        page.click("dialog button >> text=Drain")
        page.wait_for_selector("dialog .outcome >> text=web is drained: 192.168.1.4 is MASTER.")
        assert served.asked == [DrainRequest(host="1@fxp0", reason="new kernel", for_s=3600)]
        assert TOKEN not in page.url
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")


def test_a_refused_hand_over_is_told_and_the_token_is_asked_for_once(page: "Page") -> None:
    with served_page(status_of(host_of("web")), token=TOKEN) as served:
        page.goto(served.url)
        page.click("#list summary >> nth=0")
        page.click(".host[open] button >> text=Hand over…")
        page.fill("dialog [name=token]", TOKEN)
        page.click("dialog button >> text=Hand over")
        page.wait_for_selector("dialog .outcome.bad >> text=Refused: the test does not expect")
        page.click("dialog button >> text=Cancel")

        served.answer = lambda _request: HandoverReply(host="web", master="192.168.1.4", took_s=0.0123)
        page.click(".host[open] button >> text=Hand over…")
        page.click("dialog button >> text=Hand over")
        page.wait_for_selector("dialog .outcome.good >> text=192.168.1.4 is MASTER after 12.3 ms.")


def test_a_page_of_another_origin_can_neither_ask_nor_look(browser: "Browser") -> None:
    page = browser.new_page()
    with served_page(status_of(host_of("web")), token=TOKEN) as served:
        page.goto("data:text/html,<p>of somebody else</p>")
        outcomes = [
            page.evaluate("([url, options]) => fetch(url, options).then((r) => r.type, (e) => e.name)", [url, options])
            for url, options in (
                (f"{served.url}api/status", {}),
                (
                    f"{served.url}api/control",
                    {
                        "method": "POST",
                        "headers": {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
                        "body": '{"type": "undrain", "host": "web"}',
                    },
                ),
            )
        ]

        assert outcomes == ["TypeError", "TypeError"]
        assert served.asked == []
    page.close()


def test_a_hand_over_between_real_daemons_and_a_killed_one_are_shown_at_once(page: "Page", tmp_path: Path) -> None:
    require("ip")
    socket = tmp_path / "http"
    host = (
        '[[host]]\nname = "web"\ninterface = "fxp0"\nvhid = 1\npassword = "testpass"\naddresses = ["192.168.1.50/24"]\n'
    )
    (tmp_path / "b").mkdir()
    (tmp_path / "token").write_text(TOKEN)
    with (
        new_segment(hosta="192.168.1.3/24", hostb="192.168.1.4/24") as segment,
        Toml(segment, "hosta", tmp_path, f'{host}[http]\nlisten = ["unix:{socket}"]\ntoken_file = "token"\n') as daemon,
        forwarded(socket) as url,
    ):
        daemon.become_master(10)
        page.goto(url)
        page.wait_for_selector(".here .chip.MASTER >> text=web")
        with Toml(segment, "hostb", tmp_path / "b", f"{host}advskew = 100\n") as other:
            wait_until(lambda: other.are_in("web", state="BACKUP"), 10)
            page.click("#list summary")
            page.click(".host[open] button >> text=Hand over…")
            page.fill("dialog [name=token]", TOKEN)
            page.keyboard.press("Enter")
            page.wait_for_selector("dialog .outcome.good >> text=192.168.1.4 is MASTER after")
            page.wait_for_selector(".machine:not(.here) .chip.MASTER >> text=web", timeout=3000)
            assert page.inner_text(".machine:not(.here) h4") == "192.168.1.4"

            daemon.process.send_signal(signal.SIGKILL)
            page.wait_for_selector("#lost:not([hidden])", timeout=1000)
