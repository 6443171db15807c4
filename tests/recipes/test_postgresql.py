"""docs/howto/recipes/postgresql.md with PostgreSQL beside real daemons."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from pycarp.lab.lab_network import Segment
from tests.recipes.pages import block
from tests.recipes.pair import HOSTS, STARTED_S, Pair, pair
from tests.support.daemons import Process, new_segment, wait_until
from tests.support.system import require

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PAGE = "postgresql.md"
SHARED, FIRST, SECOND = "192.0.2.100", "192.0.2.1", "192.0.2.2"
PROGRAM = "/usr/local/sbin/pycarp-postgresql"
PROMOTED_S = 30.0
TIMED_OUT = 124
"""The exit status of timeout(1)."""

WRITER = """
n=0
while :; do
    n=$((n + 1))
    timeout 2 psql -h 192.0.2.100 -U app -d app -X -q -c "INSERT INTO note VALUES ($n)" && echo "acknowledged $n"
done
"""
"""A client that writes one row after the other, each on a connection of its own."""


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL of this machine, which Debian keeps out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda file: float(file.parts[-3]))
    return found[-1].parent if found else None


def as_postgres(*argv: object) -> list[str]:
    """Return a command as the user of PostgreSQL, which does not run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *map(str, argv)]


class Server(Process):
    """A server that is ended as if it had crashed, but without its shared memory left behind."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(STARTED_S)
        super().__exit__(kind, exc, trace)


class Cluster:
    """A data folder, and the server on it."""

    def __init__(self, bin_folder: Path, folder: Path, name: str) -> None:
        self.name = name
        self.data = folder / name
        self._bin = bin_folder
        self._folder = folder

    def server(self, segment: Segment) -> Server:
        """Return the server on the machine of its name."""
        sockets = self._folder / f"{self.name}.sockets"
        sockets.mkdir(exist_ok=True)
        shutil.chown(sockets, "postgres")
        argv = as_postgres(self._bin / "postgres", "-D", self.data, "-k", sockets, "-c", "fsync=off")
        return Server(segment, self.name, argv, self._folder / f"{self.name}.postgres.log")

    def initialize(self) -> None:
        """Make the first primary's data."""
        _run(as_postgres(self._bin / "initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--no-sync"))
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(block(PAGE, "the server"))
        (self.data / "pg_hba.conf").write_text(f"local all postgres trust\n{block(PAGE, 'the access')}")

    def sql(self, segment: Segment, text: str) -> str:
        """Run SQL as the superuser, over the server's own socket."""
        sockets = self._folder / f"{self.name}.sockets"
        argv = ["psql", "-h", str(sockets), "-U", "postgres", "-d", "app", "-X", "-q", "-A", "-t", "-c", text]
        return segment.run(self.name, argv).strip()


class Databases(NamedTuple):
    """The machines, their servers, and the client that writes."""

    pair: Pair
    a: Cluster
    b: Cluster
    server_a: Process
    writer: Process

    @property
    def acknowledged(self) -> list[int]:
        """The rows that the client was told are committed."""
        return [int(line.split()[1]) for line in self.writer.lines("acknowledged ")]

    def rows(self, cluster: Cluster) -> set[int]:
        """Return the rows that a server has."""
        return set(map(int, cluster.sql(self.pair.segment, "SELECT n FROM note").split()))

    def lost(self, cluster: Cluster) -> set[int]:
        """Return the rows that the client was told are committed, and that a server does not have."""
        acknowledged = set(self.acknowledged)
        return acknowledged - self.rows(cluster)

    def wait_for_writes(self) -> None:
        """Wait until the client is served, for some rows."""
        before = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) > before + 3, PROMOTED_S)

    def write_on(self, host: str) -> int:
        """Write a row through the shared address as a client on a machine; return the exit status."""
        insert = ["psql", "-h", SHARED, "-U", "app", "-d", "app", "-X", "-c", "INSERT INTO note VALUES (-1)"]
        argv = ["env", f"PGPASSFILE={self.pair.folder}/pgpass", "timeout", "1", *insert]
        return subprocess.run(self.pair.segment.exec_argv(host, argv), capture_output=True, check=False).returncode

    def promote(self, host: str, token: int) -> "subprocess.CompletedProcess[str]":
        """Call the program of a machine as the hook does, with a token."""
        argv = ["env", f"PYCARP_TOKEN={token}", str(self.pair.folder / f"{host}-program"), "promote"]
        argv = self.pair.segment.exec_argv(host, argv)
        return subprocess.run(argv, capture_output=True, text=True, timeout=PROMOTED_S, check=False)


def _run(argv: Sequence[str], **options: object) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr


def write_program(folder: Path, host: str) -> str:
    """Write the program of the page for a machine."""
    passwords = folder / "pgpass"
    passwords.write_text("*:*:*:pycarp:change-me\n*:*:*:app:change-me\n")
    passwords.chmod(0o600)
    text = block(PAGE, "the program").replace("/etc/pycarp.pgpass", str(passwords))
    assert f"PEER={SECOND} " in text
    program = folder / f"{host}-program"
    program.write_text(text.replace(f"PEER={SECOND} ", f"PEER={FIRST} ") if host == "b" else text)
    program.chmod(0o755)
    return str(program)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Make the data of a primary and of its standby once, as the page says."""
    require("ip", "bridge", "psql", "setpriv")
    bin_folder = binaries()
    if bin_folder is None:
        require("/usr/lib/postgresql/*/bin/postgres")
    assert bin_folder is not None
    with tempfile.TemporaryDirectory(prefix="pycarp-pg-") as name, new_segment(**HOSTS) as segment:
        folder = Path(name)
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        folder.chmod(0o755)
        a, b = Cluster(bin_folder, folder, "a"), Cluster(bin_folder, folder, "b")
        a.initialize()
        with a.server(segment) as server:
            wait_until(lambda: bool(server.lines("ready to accept connections")), STARTED_S)
            setup = folder / "setup.sql"
            setup.write_text(block(PAGE, "the roles") + "SET ROLE app; CREATE TABLE note (n int);\n")
            argv = ["psql", "-h", str(folder / "a.sockets"), "-U", "postgres", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
            segment.run("a", [*argv, "-f", str(setup)])
            source = f"host={FIRST} user=standby password=change-me"
            copying = as_postgres(bin_folder / "pg_basebackup", "-D", b.data, "-d", source, "--write-recovery-conf")
            segment.run("b", [*copying, "--checkpoint=fast", "--no-sync"])
            server.process.terminate()
            server.process.wait(STARTED_S)
        yield folder


@pytest.fixture
def databases(made: Path) -> Iterator[Databases]:
    """Yield a primary and its standby, with a client that is served."""
    bin_folder = binaries()
    assert bin_folder is not None
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pycarp-pg-")))
        folder.chmod(0o755)
        _run(["cp", "-a", str(made / "a"), str(made / "b"), str(folder)])
        segment = stack.enter_context(new_segment(**HOSTS))
        clusters = [Cluster(bin_folder, folder, host) for host in "ab"]
        servers = [stack.enter_context(each.server(segment)) for each in clusters]
        wait_until(lambda: bool(servers[0].lines("is now a synchronous standby")), STARTED_S)
        first, second = ({PROGRAM: write_program(folder, host)} for host in "ab")
        two = stack.enter_context(pair(PAGE, folder, first=first, second=second, segment=segment))
        argv = ["env", f"PGPASSFILE={folder}/pgpass", "PGCONNECT_TIMEOUT=2", "sh", "-c", WRITER]
        writer = stack.enter_context(Process(segment, "client", argv, folder / "writer.log"))
        found = Databases(two, clusters[0], clusters[1], servers[0], writer)
        found.wait_for_writes()
        yield found


def test_a_killed_primary_loses_nothing_that_a_client_was_told(databases: Databases) -> None:
    token = int(databases.a.sql(databases.pair.segment, "SELECT token FROM fence"))
    databases.server_a.process.send_signal(signal.SIGQUIT)
    wait_until(lambda: databases.pair.b.has_address(SHARED), PROMOTED_S)
    databases.wait_for_writes()

    assert databases.lost(databases.b) == set()
    assert int(databases.b.sql(databases.pair.segment, "SELECT token FROM fence")) > token


def test_a_later_mastership_fences_the_former_primary_and_an_earlier_one_does_not(databases: Databases) -> None:
    segment = databases.pair.segment
    late = databases.promote("b", 1)
    assert "token 1 is of an earlier mastership" in late.stderr
    assert databases.b.sql(segment, "SELECT pg_is_in_recovery()") == "t"

    request(databases.pair.a.control, HandoverRequest(host="db", timeout_s=20), HandoverReply, timeout_s=40)
    wait_until(lambda: databases.pair.b.has_address(SHARED), PROMOTED_S)
    databases.wait_for_writes()

    assert databases.lost(databases.b) == set()
    assert databases.a.sql(segment, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app'") == "f"
    assert databases.promote("a", 2**53).returncode != 0


def test_in_a_split_the_former_primary_commits_nothing_and_yields_when_it_is_over(databases: Databases) -> None:
    segment = databases.pair.segment
    segment.isolate("a")
    wait_until(lambda: databases.pair.b.has_address(SHARED), PROMOTED_S)
    databases.wait_for_writes()
    insert = [
        "timeout",
        "1",
        "psql",
        "-h",
        SHARED,
        "-U",
        "app",
        "-d",
        "app",
        "-X",
        "-c",
        "INSERT INTO note VALUES (-1)",
    ]
    environment = ["env", f"PGPASSFILE={databases.pair.folder}/pgpass"]
    refused = subprocess.run(segment.exec_argv("a", [*environment, *insert]), capture_output=True, check=False)
    assert refused.returncode == 124
    segment.rejoin("a")

    wait_until(lambda: databases.pair.a.is_in("BACKUP"), STARTED_S)
    databases.wait_for_writes()
    assert databases.lost(databases.b) == set()
