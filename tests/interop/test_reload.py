"""A real daemon that is told to read its configuration again."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import PASSWORD, Toml, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 20.0
NODE = '[[host]]\ninterface = "{link}"\npassword = "{password}"\nname = "carp{vhid}"\nvhid = {vhid}\n'


@pytest.fixture
def segment() -> Iterator[Segment]:
    require()
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


def host(vhid: int, *, link: str = "fxp0", more: str = "") -> str:
    head = NODE.format(vhid=vhid, link=link, password=PASSWORD)
    return f'{head}addresses = ["192.168.1.{50 + vhid}/24"]\n{more}\n'


def test_a_hangup_reloads_and_hosts_that_did_not_change_are_not_disturbed(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1) + host(2)) as daemon:
        wait_until(lambda: daemon.are_in("carp1", "carp2"), STARTED_S)
        epoch = daemon.hosts["carp1"].epoch
        links = segment.run("a", ["ip", "-o", "link", "show", "carp1"])
        daemon.file.write_text(host(1) + host(2, more="advskew = 9") + host(3))
        daemon.process.send_signal(signal.SIGHUP)

        wait_until(lambda: daemon.are_in("carp1", "carp2", "carp3"), STARTED_S)
        assert daemon.hosts["carp1"].epoch == epoch
        assert daemon.hosts["carp2"].advskew == 9
        assert daemon.has_address("192.168.1.53")
        assert segment.run("a", ["ip", "-o", "link", "show", "carp1"]) == links
        assert len(daemon.lines("carp: reload: ")) == 2


def test_hangups_under_load_never_end_it(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        for number in range(30):
            daemon.file.write_text(host(1) + (host(2) if number % 2 else "") + ("broken" if number % 3 == 2 else ""))
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        daemon.file.write_text(host(1))
        daemon.process.send_signal(signal.SIGHUP)

        wait_until(lambda: list(daemon.hosts) == ["carp1"], STARTED_S)
        assert daemon.process.poll() is None
        assert daemon.hosts["carp1"].state == "MASTER"
        assert len([line for line in daemon.lines("MASTER") if "carp1" in line or "1@fxp0" in line]) == 1


def test_a_bad_file_changes_nothing_and_says_so_once_a_problem(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        daemon.file.write_text(host(2).replace("vhid = 2", "vhid = 999") + "surprise = 1\n")

        done = daemon.command("reload")

        assert done.returncode == 2
        assert f"{daemon.file}:" in done.stderr
        assert len(daemon.lines("reload: nothing is changed: ")) == len(done.stderr.splitlines())
        assert daemon.are_in("carp1")


def test_reload_and_plan_say_the_same_and_no_password(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        daemon.file.write_text(host(1).replace(PASSWORD, "geheim"))

        planned = daemon.command("plan", "--rolling", "60")
        assert planned.stdout == "carp1: another password; no interruption within 60 s\n"
        assert daemon.command("reload", "--rolling", "60").stdout == planned.stdout
        assert daemon.command("plan").stdout == "nothing would change\n"
        assert "geheim" not in daemon.log.read_text()


def test_live_changes_are_shown_saved_and_then_no_drift_any_more(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        words = ("advskew", "50", "alias", "192.168.1.77/24", "pass")
        daemon.command("ifconfig", "carp1", *words, "--yes", stdin="geheim\n")

        saved = daemon.command("plan", "--save")

        assert saved.stdout == (
            "saved: carp1: advskew 50, addresses 192.168.1.51/24 192.168.1.77/24, the password\nnothing would change\n"
        )
        assert 'password = "geheim"' in daemon.file.read_text()
        assert daemon.command("reload").stdout == "nothing has changed\n"
        assert daemon.are_in("carp1")
        assert daemon.has_address("192.168.1.77")


def test_an_address_that_the_kernel_refuses_changes_nothing(segment: Segment, tmp_path: Path) -> None:
    more = 'mac_mode = "interface"'
    with Toml(segment, "a", tmp_path, host(1, more=more)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        before = daemon.hosts["carp1"]
        segment.run("a", ["sysctl", "-qw", "net.ipv6.conf.fxp0.disable_ipv6=1"])
        daemon.file.write_text(host(1, more=more).replace('"]', '", "fd00::9/64"]'))

        for words in (("ifconfig", "carp1", "alias", "fd00::9/64"), ("reload",)):
            done = daemon.command(*words, "--yes")
            assert (done.returncode, "cannot add fd00::9/64 to fxp0: IPv6 is switched off there" in done.stderr) == (
                1,
                True,
            )
        after = daemon.hosts["carp1"]
        assert (after.state, after.epoch, after.addresses) == ("MASTER", before.epoch, before.addresses)


def test_an_address_that_is_shared_no_longer_is_nobodys_business(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        daemon.command("ifconfig", "carp1", "alias", "192.168.1.77/24", "--yes")
        daemon.command("ifconfig", "carp1", "-alias", "192.168.1.77", "--yes")
        wait_until(lambda: not daemon.has_address("192.168.1.77"), 2)
        segment.run("a", ["ip", "addr", "add", "192.168.1.77/24", "dev", "carp1"])
        segment.run("a", ["ip", "addr", "add", "192.168.1.77/24", "dev", "fxp0"])
        time.sleep(0.3)

        assert daemon.hosts["carp1"].contested == 0
        assert daemon.has_address("192.168.1.77")


def test_plan_takes_another_file(segment: Segment, tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text(host(2))
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)

        said = daemon.command("plan", str(tmp_path / "new.toml")).stdout

        assert said == (
            "carp2: added, shares 192.168.1.52/24; BACKUP for about 3.0 s at least\n"
            "carp1: removed; leaves MASTER, the next host takes over at once\n"
        )
        assert daemon.are_in("carp1")


def test_an_interface_that_does_not_exist_yet_is_waited_for_while_the_others_run(
    segment: Segment, tmp_path: Path
) -> None:
    with Toml(segment, "a", tmp_path, host(1) + host(2, link="late0")) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        waiting = daemon.hosts["carp2"]
        assert waiting.state == "INIT"
        assert waiting.last_change
        assert waiting.last_change.explanation.startswith("interface late0 does not exist; it is waited for")
        assert "late0 does not exist" in daemon.command("status").stdout

        segment.run("a", ["ip", "link", "add", "late0", "type", "veth", "peer", "name", "other0"])
        segment.run("a", ["sh", "-c", "ip link set late0 up && ip link set other0 up"])
        segment.run("a", ["ip", "addr", "add", "192.168.9.3/24", "dev", "late0"])

        wait_until(lambda: daemon.are_in("carp2"), STARTED_S)
        assert daemon.has_address("192.168.1.52")


def test_a_daemon_of_interfaces_that_do_not_exist_names_the_way_out_and_leaves(
    segment: Segment, tmp_path: Path
) -> None:
    with Toml(segment, "a", tmp_path, host(1, link="em9")) as daemon:
        wait_until(lambda: daemon.are_in("carp1", state="INIT"), STARTED_S)

        assert daemon.lines("if it is one of these: --map em9=fxp0")
        daemon.process.terminate()
        assert daemon.process.wait(2) == 0


def own_addresses(segment: Segment) -> str:
    return segment.run("a", ["ip", "-brief", "address", "show", "dev", "fxp0"])


def test_a_daemon_does_not_start_with_an_address_of_its_machine(segment: Segment, tmp_path: Path) -> None:
    before = own_addresses(segment)
    own = host(1).replace("192.168.1.51/24", "192.168.1.3/32")
    with Toml(segment, "a", tmp_path, own) as daemon:
        assert daemon.process.wait(STARTED_S) == 2
        assert daemon.lines("carp1: 192.168.1.3 is this machine's own address, on fxp0; share another")

    assert own_addresses(segment) == before


def test_a_running_daemon_takes_no_address_of_its_machine(segment: Segment, tmp_path: Path) -> None:
    before = own_addresses(segment)
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)

        alias = daemon.command("ifconfig", "carp1", "alias", "192.168.1.3/24")
        daemon.file.write_text(host(1) + host(2).replace("192.168.1.52/24", "192.168.1.3/24"))
        reload = daemon.command("reload")

        for done in (alias, reload):
            assert (done.returncode, "192.168.1.3 is this machine's own address" in done.stderr) == (2, True)
        assert daemon.are_in("carp1")
        assert own_addresses(segment) == before
