"""A page of the daemon in a real browser: served by a thread, with states that a test sets, or by a real daemon."""

import asyncio
import contextlib
import importlib
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycarp.config.http_token import HttpToken
from pycarp.config.model import HttpConfig
from pycarp.daemon.control_messages import OutlookStatus, Reply, Request, StatusReply
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.http_server import HttpServer
from pycarp.daemon.state_timeline import StateTimeline
from pycarp.daemon.tallies import Tallies
from pycarp.errors import ControlError
from tests.support.system import REQUIRE, require

if TYPE_CHECKING:
    from playwright.sync_api import Browser

log = logging.getLogger("pycarp.state")


def require_browser() -> None:
    """Skip the test, and say why, unless a browser can be driven here."""
    require("chromium", root=False)
    for module in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(module) is None:
            reason = f"needs {module}: pip install '.[browser]'"
            if os.environ.get(REQUIRE) == "1":
                pytest.fail(f"{reason}, and {REQUIRE}=1 forbids to skip", pytrace=False)
            pytest.skip(reason)


@contextlib.contextmanager
def running_browser() -> "Iterator[Browser]":
    """Run a headless Chromium while the context lasts; skips the test where there is none."""
    require_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield started
        started.close()


class ServedPage:
    """A server of HTTP on the loopback; a test sets ``status`` and ``outlook``, what its daemon says, at any time."""

    def __init__(self, status: StatusReply) -> None:
        self.status = status
        self.timeline = StateTimeline(time.monotonic)
        self.outlook: list[OutlookStatus] = []
        self.is_frozen = False
        self.asked: list[Request] = []
        self.answer: Callable[[Request], Reply] = _refuse
        self.port = 0

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    async def now(self) -> StatusReply:
        """Answer as the daemon does; while it is frozen, never."""
        while self.is_frozen:  # noqa: ASYNC110  set by another thread
            await asyncio.sleep(0.05)
        return self.status

    async def carry_out(self, request: Request) -> Reply:
        """Answer what the token lets the page ask for, as the test says."""
        self.asked.append(request)
        return self.answer(request)


def _refuse(request: Request) -> Reply:
    raise ControlError(f"the test does not expect {request}")


@contextlib.contextmanager
def served_page(status: StatusReply, *, token: str | None = None, port: int = 0) -> Iterator[ServedPage]:
    """Serve the page from a thread while the context lasts, on any port if it is 0; what is logged are its events."""
    page = ServedPage(status)
    is_ready = threading.Event()
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            page.port = probe.getsockname()[1]
        history = EventHistory()
        place = f"127.0.0.1:{page.port}"
        with history.recording():
            server = HttpServer(
                page.now,
                Tallies(),
                history,
                page.timeline,
                carry_out=page.carry_out,
                outlook=lambda _host: page.outlook,
            )
            secret = None if token is None else HttpToken(token.encode())
            async with server.serving(HttpConfig(listen=(place,), token=secret)):
                while not _answers(page.port):  # noqa: ASYNC110  the kernel's
                    await asyncio.sleep(0.01)
                is_ready.set()
                await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert is_ready.wait(5)
        yield page
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


@contextlib.contextmanager
def forwarded(path: Path) -> Iterator[str]:
    """Forward from a port of the loopback to a socket of the file system, for a browser; yields the address.

    A connection that cannot be forwarded is closed, as a dead daemon's kernel does.
    """
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)

        def accept() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    near, _address = listening.accept()
                    threading.Thread(target=_forward, args=(near, path), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            stop.set()
            thread.join()


def _forward(near: socket.socket, path: Path) -> None:
    far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with near, far:
        near.settimeout(None)
        try:
            far.connect(str(path))
        except OSError:
            return
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while octets := source.recv(65536):
            target.sendall(octets)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
