"""A machine for each configuration of a how-to page: a namespace with what the page takes for granted, and a daemon.

Names of files lead to a folder of the test, where programs are that do nothing and succeed. All else is as on the page.
"""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from dns.message import from_wire, make_response
from dns.rrset import from_text

from pycarp.config.service_tables import LISTEN
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest
from pycarp.errors import ControlError
from tests.support.certificates import write_certificate
from tests.support.namespaces import entered
from tests.support.pages import HOST

_PROGRAMS = ("killall", "mail", "pg_isready")
_GATEWAY = 254
"""The number of the gateway in its subnet."""

_ENDS_S = 20.0


@dataclass(frozen=True, slots=True)
class Page:
    """A configuration, by the page that it is on."""

    name: str
    text: str

    @property
    def links(self) -> list[str]:
        """The interfaces that it names."""
        return sorted(set(re.findall(r'^interface = "([^"]+)"', self.text, re.MULTILINE)))

    @property
    def wants_gateway(self) -> bool:
        """Whether it needs a default route."""
        return "gateway" in self.text or 'route = "default"' in self.text

    @property
    def serves(self) -> list[str]:
        """Where it serves HTTP."""
        (listen,) = re.findall(r"^listen = \[(.*)\]", self.text, re.MULTILINE) or [""]
        return re.findall(r'"([^"]+)"', listen) or ([LISTEN] if "[http]" in self.text else [])

    @property
    def own(self) -> dict[str, list[str]]:
        """The machine's own addresses by interface: the first free one of each subnet, and where HTTP is to listen."""
        listens = [ip_address(each) for each in re.findall(r'"([\d.]+):\d+"', self.text)]
        found: dict[str, list[str]] = {}
        for link, words in re.findall(
            r'^interface = "([^"]+)"$.*?^addresses = \[(.*?)\]', self.text, re.MULTILINE | re.DOTALL
        ):
            shared = [ip_interface(each) for each in re.findall(r'"([^"]+)"', words)]
            taken = {each.ip for each in shared}
            numbers = [
                (each.network, next(ip for ip in (each.network[1], each.network[2]) if ip not in taken))
                for each in shared
            ]
            numbers += [(each.network, ip) for each in shared for ip in listens if ip in each.network]
            found[link] = list(dict.fromkeys(f"{ip}/{network.prefixlen}" for network, ip in numbers))
        return found


def pages_of(configurations: Sequence[tuple[str, str]]) -> list[Page]:
    """Return what is run: the beginning of another one is not, and what has no host shares one where it can."""
    whole = [
        Page(name, text)
        for name, text in configurations
        if "[[host]]" in text and not any(other != text and other.startswith(text) for _name, other in configurations)
    ]
    parts: list[Page] = []
    for name, text in configurations:
        if "[[host]]" in text:
            continue
        fits = next((each for each in parts if not ("[http]" in text and "[http]" in each.text)), None)
        if fits is None:
            parts.append(Page(name, HOST + text))
        else:
            parts[parts.index(fits)] = Page(f"{fits.name}, {name}", f"{fits.text}\n{text}")
    return [*whole, *parts]


@dataclass(slots=True)
class PageMachine:
    """The machine of a page, in the namespace of its ``name``; cables lead to ``gateway``, which knows nobody."""

    page: Page
    name: str
    gateway: str
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> str:
        """What the daemon wrote."""
        return (self.folder / "log").read_text()

    def make(self) -> None:
        """Make the namespace with its interfaces, and the files and programs that the page names."""
        _run("ip", "netns", "add", self.name)
        lines = ["link set lo up"]
        for link in self.page.links:
            far = f"{self.name[-6:]}{link}"
            lines += [f"link add {link} type veth peer name {far} netns {self.gateway}", f"link set {link} up"]
            lines += [f"addr add {each} dev {link}{' nodad' * (':' in each)}" for each in self.page.own[link]]
            _run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(lines))
            _run("ip", "-n", self.gateway, "link", "set", far, "up")
            lines = []
        if self.page.wants_gateway:
            network = ip_network(self.page.own[self.page.links[0]][0], strict=False)
            via = str(network[_GATEWAY])
            _run("ip", "-n", self.gateway, "addr", "replace", f"{via}/32", "dev", "lo")
            _run("ip", "-n", self.name, "route", "add", "default", "via", via, "dev", self.page.links[0])
        self._write_files()

    def _write_files(self) -> None:
        text = self.page.text
        for name, secret in (("password_file", "testpass"), ("token_file", "testpass" * 4)):
            text = re.sub(rf'{name} = "[^"]*"', f'{name} = "{self._file(name, secret)}"', text)
        for name in re.findall(r'password_credential = "(\w+)"', text):
            self._file(name, "testpass")
        for path in {*re.findall(r'"(/usr/[^"]+)"', text), *_PROGRAMS}:
            program = self._file(Path(path).name, "#!/bin/sh", mode=0o755)
            text = text.replace(f'"{path}"', f'"{program}"') if path.startswith("/") else text
        text = text.replace("unix:/run/pycarp/", f"unix:{self.folder}/")
        self._file("pycarp.toml", text)

    def _file(self, name: str, text: str, *, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_text(f"{text}\n")
        path.chmod(mode)
        return path

    def start(self) -> None:
        """Start the daemon."""
        environment = {
            **os.environ,
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "CREDENTIALS_DIRECTORY": str(self.folder),
        }
        words = ["--control", str(self.folder / "sock"), "--state", str(self.folder / "state")]
        run = [sys.executable, "-W", "error", "-m", "pycarp", "run", str(self.folder / "pycarp.toml"), *words]
        with (self.folder / "log").open("wb") as log:
            argv = ["ip", "netns", "exec", self.name, *run]
            self.process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)

    def status(self) -> StatusReply | None:
        """Return what the daemon says; None while it does not answer."""
        try:
            return request(self.folder / "sock", StatusRequest(), StatusReply)
        except ControlError:
            return None

    def get(self, place: str) -> int:
        """Ask for the page at a place where HTTP is served, and return the status of the answer."""
        host, _colon, port = place.rpartition(":")
        connection = HTTPConnection(host or "localhost", int(port) if host != "unix" else 80, timeout=5)
        with entered(self.name):
            if host == "unix":
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(str(self.folder / Path(port).name))
            connection.request("GET", "/")
        with contextlib.closing(connection):
            return connection.getresponse().status

    def end(self) -> int:
        """Stop the daemon, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_ENDS_S)

    def remove(self) -> None:
        """Remove all, whatever has happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


@contextlib.contextmanager
def gateway_of_pages() -> Iterator[str]:
    """Make the namespace to which the cables of all machines lead."""
    name = f"pcp{os.getpid()}-gateway"
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@contextlib.contextmanager
def running(page: Page, number: int, gateway: str, folder: Path) -> Iterator[PageMachine]:
    """Run the daemon of a page beside what its checks ask; end and remove all of it."""
    machine = PageMachine(page, f"pcp{os.getpid()}-{number:02}", gateway, folder / f"{number:02}")
    machine.folder.mkdir()
    try:
        machine.make()
        with _services_for(machine):
            machine.start()
            yield machine
    finally:
        machine.remove()


class _Well(BaseHTTPRequestHandler):
    """Answers that all is well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base class calls it
        """Say nothing."""


@contextlib.contextmanager
def _services_for(machine: PageMachine) -> Iterator[None]:
    """Answer what the checks of a page ask on the machine itself."""
    with contextlib.ExitStack() as services:
        for scheme, port in re.findall(r'http = "(https?)://127\.0\.0\.1:?(\d*)/', machine.page.text):
            services.enter_context(_web_server(machine, int(port or 80), is_tls=scheme == "https"))
        if "\ndns = " in machine.page.text:
            services.enter_context(_dns_server(machine))
        yield


@contextlib.contextmanager
def _web_server(machine: PageMachine, port: int, *, is_tls: bool) -> Iterator[None]:
    with entered(machine.name):
        server = HTTPServer(("127.0.0.1", port), _Well)
    if is_tls:
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(write_certificate(machine.folder / "server.pem"))
        server.socket = serving.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def _dns_server(machine: PageMachine) -> Iterator[None]:
    with entered(machine.name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 53))
    thread = threading.Thread(target=_answer_names, args=(sock,))
    thread.start()
    try:
        yield
    finally:
        sock.sendto(b"", sock.getsockname())
        thread.join()
        sock.close()


def _answer_names(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            octets, source = sock.recvfrom(512)
            if not octets:
                return
            query = from_wire(octets)
            response = make_response(query)
            response.answer = [from_text(query.question[0].name, 60, "IN", "A", "192.0.2.99")]
            sock.sendto(response.to_wire(), source)


def _run(*argv: str, stdin: str | None = None) -> None:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"
