"""What keeps a host from working on its interface, asked for hundreds of hosts."""

from dataclasses import dataclass, field

from pycarp.core.host_config import HostConfig
from pycarp.daemon.planning import RecentObstacles


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
