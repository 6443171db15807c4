"""The switches of links that shared addresses need: set with the first host, as before after the last."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.system.addresses import sysctl_files
from pycarp.system.addresses.link_sysctls import BELOW_DEVICE, LinkSysctl, LinkSysctls
from pycarp.system.recovery.journal import Journal
from pycarp.vocabulary import HostKey
from tests.support.namespaces import Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

FIRST, SECOND = HostKey("eth0", 1), HostKey("eth1", 2)
ARP_IGNORE = "net/ipv4/conf/{}/arp_ignore"


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with two links, which the current thread is in."""
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        ours.ip("link", "add", "eth1", "type", "veth", "peer", "name", "other")
        with entered(ours):
            yield ours


@pytest.fixture
def journal(namespace: Namespace, tmp_path: Path) -> Iterator[Journal]:
    made = Journal.begin(tmp_path)
    yield made
    made.end()


def values(*links: str) -> list[str | None]:
    return [sysctl_files.read(ARP_IGNORE.format(link)) for link in links]


def test_the_switches_are_as_before_after_the_last_host_of_a_link(journal: Journal) -> None:
    made = LinkSysctls(journal)
    others = (HostKey("eth0", 1), HostKey("eth0", 2))
    for each in others:
        made.need(each, BELOW_DEVICE)
    seen = [values("eth0")]
    for each in others:
        made.release(each)
        seen.append(values("eth0"))

    assert seen == [["1"], ["1"], ["0"]]
    assert journal.resources == ()


def test_a_link_that_is_renamed_keeps_its_switches_and_the_others_theirs(
    namespace: Namespace, journal: Journal
) -> None:
    made = LinkSysctls(journal)
    made.need(FIRST, BELOW_DEVICE)
    made.need(SECOND, BELOW_DEVICE)
    namespace.ip("link", "set", "eth1", "name", "wan")
    made.rename_link("eth1", "wan")

    made.release(SECOND)
    after_one = values("eth0", "wan")
    made.release(FIRST)

    assert after_one == ["1", "0"]
    assert values("eth0", "wan") == ["0", "0"]
    assert journal.resources == ()


def test_a_value_that_is_good_enough_is_left_and_not_recorded(journal: Journal) -> None:
    sysctl_files.write(ARP_IGNORE.format("eth0"), "2")
    LinkSysctls(journal).need(FIRST, (LinkSysctl(ARP_IGNORE, "1", well=("2", "8")),))

    assert values("eth0") == ["2"]
    assert journal.resources == ()


def test_a_value_that_was_reset_by_hand_is_set_for_the_next_host(journal: Journal) -> None:
    made = LinkSysctls(journal)
    made.need(FIRST, BELOW_DEVICE)
    sysctl_files.write(ARP_IGNORE.format("eth0"), "0")

    made.need(HostKey("eth0", 2), BELOW_DEVICE)

    assert values("eth0") == ["1"]
