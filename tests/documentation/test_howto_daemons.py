"""Every configuration on the how-to pages, run: it comes to the state that its page promises, and ends."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pycarp.core.host.states import Stage
from pycarp.daemon.control_messages import HostStatus, StatusReply
from tests.support.page_machines import Page, gateway_of_pages, pages_of, running
from tests.support.pages import howto_configurations
from tests.support.system import require

AT_A_TIME = 8

IN_TIME_S = 60.0
"""On a quiet machine each is there after 4 s, and the one with a startup hold after 9 s."""

_TOO_BUSY = "did not end within"

HELD_BACK = {"howto/failback.md 0": "startup hold"}
"""Pages whose host is to wait for longer than a test does, and why it is BACKUP until then."""


def test_what_shares_a_daemon_is_all_of_each_page() -> None:
    names = [name for page in pages_of(list(howto_configurations())) for name in page.name.split(", ")]

    assert len(set(names)) == len(names)
    assert {name for name, _text in howto_configurations()} - set(names) == {"howto/recipes/dns.md 0"}


@pytest.mark.system
def test_every_configuration_of_a_page_comes_to_the_state_that_it_promises(tmp_path: Path) -> None:
    require("ip")
    # What takes longest first.
    pages = sorted(pages_of(list(howto_configurations())), key=lambda page: "startup_hold" not in page.text)
    with gateway_of_pages() as gateway, ThreadPoolExecutor(AT_A_TIME) as pool:
        numbered = enumerate(pages)
        runs = {page.name: pool.submit(_run, page, number, gateway, tmp_path) for number, page in numbered}

    assert {name: run.result() for name, run in runs.items() if run.result()} == {}


def _run(page: Page, number: int, gateway: str, folder: Path) -> str:
    """Run the daemon of a page until it is as promised, and end it; return what is wrong, with the log."""
    with running(page, number, gateway, folder) as machine:
        problem, ends_s = "it has not started", time.monotonic() + IN_TIME_S
        while problem and time.monotonic() < ends_s:
            time.sleep(0.2)
            problem = _problem(page, machine.status())
        if not problem:
            answers = {place: machine.get(place) for place in page.serves}
            problem = "" if set(answers.values()) <= {200} else f"HTTP answers {answers}"
        # On a machine that is busy the daemon may say that what it calls did not end in time, and exit with 1.
        status = machine.end()
        if status and _TOO_BUSY not in machine.log:
            problem += f"; exit status {status}"
        if "Traceback" in machine.log:
            problem += "; a traceback"
        return f"{problem}\n{machine.log}" if problem else ""


def _problem(page: Page, status: StatusReply | None) -> str:
    """Return what is not yet as the page promises; empty if all is."""
    if status is None:
        return "the daemon does not answer"
    return "; ".join(filter(None, (_problem_of(page, host) for host in status.hosts)))


def _problem_of(page: Page, host: HostStatus) -> str:
    failing = [check.name for check in host.checks if not check.passes]
    if failing:
        return f"{host.name}: the check {failing[0]} does not pass"
    if (why := HELD_BACK.get(page.name)) is not None:
        is_held_back = host.state == "BACKUP" and why in [each.cause for each in host.restrictions]
        return "" if is_held_back else f"{host.name}: is {host.state} and not held back: {why}"
    if host.state != "MASTER" or host.missing or host.stage != Stage.HELD.value:
        return f"{host.name}: is {host.state}, {host.stage}, without {host.missing}"
    return ""
