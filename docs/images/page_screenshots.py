"""Makes the screenshots of the daemon's page: three machines in network namespaces, and what happens to them.

``sudo python docs/images/page_screenshots.py --minutes 25`` writes ``page-light.png``, ``page-dark.png`` and
``page-phone.png`` beside this file. It needs chromium, and ``pip install 'pycarp[http,browser]'``.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from pycarp.lab.lab_network import Segment

FOLDER = Path(__file__).parent
PORT = 9711
DESK, PHONE = {"width": 1040, "height": 860}, {"width": 390, "height": 780}
MACHINES = {"hosta": "192.0.2.2/24", "hostb": "192.0.2.3/24", "hostc": "192.0.2.4/24"}
HOSTS = {"web": ("192.0.2.10/24", "hosta"), "mail": ("192.0.2.11/24", "hostb"), "dns": ("192.0.2.12/24", "hosta")}
"""The shared address of each virtual host, and the machine that is to be MASTER."""

RUN = Path("/run/pycarp-page")
"""Has the file of the check; it is shown, so that it is not among temporary ones."""

PREFERRED, SECOND, LAST = 0, 100, 200


def configuration(machine: str, resolver: Path) -> str:
    """Return the TOML of a machine; on ``hosta`` the host dns has a check of the file ``resolver``."""
    tables = [f'[node]\nhostname = "{machine}"', f'[http]\nlisten = ["127.0.0.1:{PORT}"]']
    for vhid, (name, (address, preferred)) in enumerate(HOSTS.items(), 1):
        advskew = PREFERRED if machine == preferred else LAST if machine == "hostc" else SECOND
        tables.append(
            f'[[host]]\nname = "{name}"\ninterface = "eth0"\nvhid = {vhid}\npassword = "testpass"\n'
            f'addresses = ["{address}"]\nadvskew = {advskew}\npreempt = true'
        )
        if (machine, name) == ("hosta", "dns"):
            tables.append(f'[[host.check]]\nname = "resolver"\nfile = "{resolver}"\nevery = "1s"')
    return "\n".join(tables)


class Machines:
    """The daemons of all machines; what is asked of one is a command of pycarp."""

    def __init__(self, segment: Segment, folder: Path) -> None:
        self.segment = segment
        self.resolver = RUN / "named.pid"
        self.resolver.touch()
        self._folder = folder
        self._daemons: dict[str, subprocess.Popen[str]] = {}

    def start(self, machine: str) -> None:
        """Start the daemon of a machine."""
        file = self._folder / f"{machine}.toml"
        file.write_text(configuration(machine, self.resolver))
        file.chmod(0o600)
        options = ["--control", str(self._folder / f"{machine}.sock"), "--state", str(self._folder / machine)]
        argv = [sys.executable, "-m", "pycarp", "run", str(file), *options]
        with (self._folder / f"{machine}.log").open("a") as log:
            self._daemons[machine] = self.segment.popen(machine, argv, stdout=log, stderr=log)

    def stop(self, machine: str) -> None:
        """Stop the daemon of a machine."""
        self._daemons[machine].terminate()
        self._daemons[machine].wait()

    def ask(self, machine: str, *words: str) -> None:
        """Run a command that asks the daemon of a machine."""
        control = str(self._folder / f"{machine}.sock")
        subprocess.run([sys.executable, "-m", "pycarp", *words, "--control", control], check=True)  # noqa: S603


@contextlib.contextmanager
def running() -> Iterator[Machines]:
    """Run the three machines while the context lasts."""
    RUN.mkdir()
    try:
        with TemporaryDirectory() as folder, Segment("pycarp-page", MACHINES, interface="eth0") as segment:
            machines = Machines(segment, Path(folder))
            for each in MACHINES:
                machines.start(each)
            yield machines
            for each in MACHINES:
                machines.stop(each)
    finally:
        shutil.rmtree(RUN)


def live(machines: Machines, minutes: float) -> None:
    """Let things happen for some minutes; at the end a check of dns fails."""
    part_s = minutes * 60 / 10
    time.sleep(2 * part_s)
    machines.segment.unplug("hosta")
    time.sleep(part_s / 2)
    machines.segment.plug("hosta")
    time.sleep(1.5 * part_s)
    machines.ask("hosta", "handover", "web")
    time.sleep(part_s)
    machines.ask("hosta", "handover", "web", "--back")
    time.sleep(part_s)
    machines.stop("hostb")
    time.sleep(part_s)
    machines.start("hostb")
    time.sleep(2 * part_s)
    machines.resolver.unlink()
    time.sleep(part_s)


def take(page: Page) -> None:
    """Take the screenshots of a page that is open."""
    page.wait_for_selector(".host")
    page.check("input[value='3600']", force=True)
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    time.sleep(2)
    page.screenshot(path=FOLDER / "page-light.png")
    page.emulate_media(color_scheme="dark")
    page.click("#list summary >> nth=2")
    page.evaluate("document.querySelector('#hosts').scrollIntoView()")
    time.sleep(1)
    page.screenshot(path=FOLDER / "page-dark.png")
    page.click("#list summary >> nth=2")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.evaluate("scrollTo(0, 0)")
    time.sleep(1)
    page.screenshot(path=FOLDER / "page-phone.png")


def main() -> None:
    """Make the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=25)
    minutes = parser.parse_args().minutes
    with running() as machines:
        live(machines, minutes)
        with TemporaryDirectory() as folder, sync_playwright() as playwright:
            # The page is on the loopback of a namespace, so the browser has to run there.
            browser = Path(folder) / "chromium"
            browser.write_text(f'#!/bin/sh\nexec ip netns exec {machines.segment.namespace("hosta")} chromium "$@"\n')
            browser.chmod(0o755)
            started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = started.new_page()
            page.goto(f"http://127.0.0.1:{PORT}/")
            take(page)
            started.close()


if __name__ == "__main__":
    main()
