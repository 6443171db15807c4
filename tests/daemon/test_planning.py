"""What keeps a host from working on its interface, asked for hundreds of hosts; what a check that is added costs."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pycarp.config import toml
from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.daemon.planning import RecentObstacles, attached_changes, http_changes
from pycarp.vocabulary import HostKey

HOST = '[[host]]\ninterface = "em0"\nvhid = 1\nname = "web"\npassword = "x"\naddresses = ["192.0.2.1/24"]\n'
CHECK = '[[TABLE]]\nname = "ready"\nfile = "/run/ready"\n'


@dataclass
class _Kernel:
    """Counts the questions."""

    now_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    def ask(self, config: HostConfig) -> str:
        self.asked.append(config.name)
        return f"{config.interface} is {len(self.asked)}"

    def time_s(self) -> float:
        return self.now_s


def host(vhid: int, interface: str = "em0", peers: tuple[str, ...] = ()) -> HostConfig:
    return HostConfig(interface=interface, vhid=vhid, passphrase="x", addresses=["192.0.2.1/24"], peers=peers)


def test_an_interface_is_asked_about_once_for_all_hosts_that_need_the_same_of_it() -> None:
    kernel = _Kernel()
    obstacles = RecentObstacles(kernel.ask, kernel.time_s)

    assert [obstacles.of(host(vhid)) for vhid in (1, 2, 3)] == ["em0 is 1"] * 3
    assert obstacles.of(host(4, interface="em1")) == "em1 is 2"
    assert obstacles.of(host(5, peers=("192.0.2.9",))) == "em0 is 3"
    assert kernel.asked == ["1@em0", "4@em1", "5@em0"]


def test_an_interface_is_asked_about_again_after_a_second() -> None:
    kernel = _Kernel()
    obstacles = RecentObstacles(kernel.ask, kernel.time_s)
    before = obstacles.of(host(1))
    kernel.now_s = 1.5

    assert (before, obstacles.of(host(1))) == ("em0 is 1", "em0 is 2")


@pytest.mark.parametrize(
    ("table", "more", "state", "cost", "leaves_master"),
    [
        ("host.check", "", State.MASTER, "web is the last of all until it has passed", True),
        ("check", "", State.MASTER, "every host is the last of all until it has passed", True),
        ("check", "", State.BACKUP, "every host is the last of all until it has passed", False),
        ("host.check", "by = 50", State.MASTER, "web is demoted by 50 until it has passed", False),
        ("host.check", "by = 50\ngate = true", State.MASTER, "web is not MASTER before it has passed", True),
        ("check", "release = true", State.MASTER, "no host is MASTER before it has passed", True),
    ],
)
def test_a_plan_says_what_a_check_costs_until_it_has_passed(
    table: str, more: str, state: State, cost: str, leaves_master: bool
) -> None:
    before = toml.read(HOST, file="a.toml")
    after = toml.read(f"{HOST}{CHECK.replace('TABLE', table)}{more}\n", file="a.toml")

    (added,) = attached_changes(before, after, {HostKey("em0", 1): state})
    (removed,) = attached_changes(after, before, {HostKey("em0", 1): state})

    assert (added.cost, added.leaves_master) == (cost, leaves_master)
    assert (removed.cost, removed.leaves_master) == ("", False)


def test_a_plan_says_that_names_and_the_token_of_http_change_and_never_the_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    file, configs = str(tmp_path / "a.toml"), []
    for secret, names in (("of the first one", "[]"), ("of the second one", '["a.example", "b.example"]')):
        token.write_text(secret.replace(" ", "-"))
        configs.append(toml.read(f'{HOST}[http]\nnames = {names}\ntoken_file = "token"\n', file=file).http)

    found = list(http_changes(*configs))

    assert [each.what for each in found] == ["names none -> a.example, b.example", "token changed"]
    assert "second" not in repr(found)
    assert list(http_changes(configs[1], configs[1])) == []
