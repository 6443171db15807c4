"""docs/howto/recipes/cloud-address.md with an API that fails at first, beside real daemons."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from pycarp.lab.lab_network import Segment
from tests.recipes.pages import block
from tests.recipes.pair import HOSTS, STARTED_S, Pair, pair
from tests.support.daemons import Process, Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

PAGE = "cloud-address.md"
FAILURES = 3
API = "192.0.2.9"
HOOK = "/usr/local/sbin/move-address"


class Api(Process):
    """An API of a cloud on the machine of the client, and what it was asked."""

    def __init__(self, segment: Segment, folder: Path, failures: int) -> None:
        argv = [sys.executable, "-m", "tests.support.cloud_api_program", "80", str(failures)]
        super().__init__(segment, "client", argv, folder / "api.log")

    @property
    def asked(self) -> list[tuple[int, str, int]]:
        """Return status, machine and token of each request, in their order."""
        words = [line.split(" ", 2) for line in self.lines("/addresses/192.0.2.100 ")]
        documents = [(int(status), json.loads(text)) for _path, status, text in words]
        return [(status, each["machine"], each["token"]) for status, each in documents]

    @property
    def moved_to(self) -> list[tuple[str, int]]:
        """Return the machines that the address was moved to, with their tokens."""
        return [(machine, token) for status, machine, token in self.asked if status == 200]


def write_hook(folder: Path, host: str) -> str:
    """Write the program of the page for a machine; all machines of the test have one name, and one /etc."""
    program = folder / f"{host}-move-address"
    (folder / "cloud.url").write_text(f"http://{API}\n")
    text = block(PAGE, "the program").replace("/etc/cloud.url", str(folder / "cloud.url"))
    assert "$(hostname)" in text
    program.write_text(text.replace("$(hostname)", host))
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[tuple[Pair, Api]]:
    """Yield two machines that take their address from a cloud whose API fails at first."""
    require("ip", "bridge", "curl")
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(new_segment(**HOSTS))
        api = stack.enter_context(Api(segment, tmp_path, FAILURES))
        wait_until(lambda: bool(api.lines("ready")), STARTED_S)
        two = stack.enter_context(
            pair(
                PAGE,
                tmp_path,
                first={HOOK: write_hook(tmp_path, "a")},
                second={HOOK: write_hook(tmp_path, "b"), '["192.0.2.2"]': '["192.0.2.1"]'},
                segment=segment,
            )
        )
        wait_until(lambda: len(api.moved_to) == 1, STARTED_S)
        yield two, api


def test_the_address_follows_the_master_in_the_cloud_however_often_it_changes(cloud: tuple[Pair, Api]) -> None:
    two, api = cloud
    assert [status for status, _machine, _token in api.asked] == [503] * FAILURES + [200]

    request(two.a.control, HandoverRequest(host="web", timeout_s=5), HandoverReply, timeout_s=10)
    wait_until(lambda: len(api.moved_to) == 2, STARTED_S)

    (first, first_token), (second, second_token) = api.moved_to
    assert (first, second) == ("a", "b")
    assert first_token < second_token

    # And many changes end with the machine that is MASTER.
    for _number in range(5):
        two.a.set(is_up=False, host="web")
        two.a.set(is_up=True, host="web")
        two.b.set(is_up=False, host="web")
        two.b.set(is_up=True, host="web")

    def is_settled() -> bool:
        masters = [name for name, daemon in (("a", two.a), ("b", two.b)) if daemon.is_in("MASTER")]
        return masters == [api.moved_to[-1][0]] and not any(has_running_hook(each) for each in (two.a, two.b))

    wait_until(is_settled, STARTED_S)


def has_running_hook(daemon: Pycarp) -> bool:
    return any(each.is_running for each in daemon.status.hooks)
