"""The pages on other systems are true: both sides' configurations are the same virtual host, and hear each other."""

from dataclasses import replace
from pathlib import Path

import pytest

import pycarp
from pycarp.config import grammars
from pycarp.config.model import NodeConfig
from pycarp.testing import Cluster
from tests.support.pages import DOCS, block
from tests.support.virtual import in_virtual_time

BESIDE = DOCS / "howto" / "beside-bsd.md"
UNICAST = DOCS / "howto" / "unicast-and-udp.md"
DIALECTS = {
    "FreeBSD": pycarp.dialects.FREEBSD,
    "FreeBSD 9": pycarp.dialects.FREEBSD9,
    "OpenBSD": pycarp.dialects.OPENBSD,
}


def read(page: Path, mark: str, folder: Path) -> pycarp.HostConfig:
    """Return the host of a block."""
    (folder / "secret").write_text("testpass\n")
    file = "hostname.carp0" if mark == "OpenBSD" else "rc.conf"
    text = block(page, mark)
    if "[[host]]" in text:
        file = "carp.toml"
        for name in ("carp0", "web"):
            text = text.replace(f"/etc/pycarp/{name}.password", str(folder / "secret"))
    config: NodeConfig = grammars.read(text, grammars.recognise(file, text), file=file)
    (host,) = config.hosts
    return host


def shared(host: pycarp.HostConfig) -> tuple[object, ...]:
    """Return what both sides must agree on."""
    return host.vhid, host.advbase, host.passphrase, {str(each.ip) for each in host.addresses}


@pytest.mark.parametrize("system", DIALECTS)
def test_the_configurations_of_both_sides_agree(system: str, tmp_path: Path) -> None:
    ours, theirs = read(BESIDE, "the Linux machine", tmp_path), read(BESIDE, system, tmp_path)

    assert shared(theirs) == shared(ours)
    assert theirs.advskew < ours.advskew


@pytest.mark.parametrize("system", ["FreeBSD", "OpenBSD"])
def test_the_unicast_configurations_of_both_sides_agree(system: str, tmp_path: Path) -> None:
    ours, theirs = read(UNICAST, "unicast", tmp_path), read(UNICAST, system, tmp_path)

    assert shared(theirs) == shared(ours)
    assert set(theirs.peers) < set(ours.peers)
    assert ours.effective_mac_mode is pycarp.MacMode.INTERFACE


@pytest.mark.parametrize("system", DIALECTS)
def test_the_linux_machine_follows_the_bsd_and_steps_in(system: str) -> None:
    def machine(advskew: int, dialect: pycarp.Dialect) -> list[pycarp.HostConfig]:
        addresses = ["192.168.1.50/24"]
        config = pycarp.HostConfig(interface="eth0", vhid=1, passphrase="testpass", addresses=addresses)
        return [replace(config, advskew=advskew, preempt=True, dialect=dialect)]

    async def play() -> None:
        async with Cluster([machine(0, DIALECTS[system]), machine(100, pycarp.dialects.UNIVERSAL)]) as cluster:
            await cluster.settle()
            assert cluster.master is cluster.a
            cluster.kill("a")
            await cluster.settle()
            assert cluster.master is cluster.b

    in_virtual_time(play)()
