"""ifconfig in FreeBSD's words."""

import pytest

from pycarp.cli.ifconfig import parse, render
from pycarp.daemon.control_messages import IfconfigRequest
from pycarp.daemon.status import host_status
from pycarp.errors import UsageError
from tests.support.hosts import KEY, bench, config, master


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("down",), IfconfigRequest(host="carp0", is_up=False)),
        (("up",), IfconfigRequest(host="carp0", is_up=True)),
        (("state", "master"), IfconfigRequest(host="carp0", state="master")),
        (("state", "BACKUP"), IfconfigRequest(host="carp0", state="BACKUP")),
        (("advskew", "50", "advbase", "2"), IfconfigRequest(host="carp0", advskew=50, advbase=2)),
        (("advskew", "-1"), IfconfigRequest(host="carp0", advskew=-1)),
    ],
    ids=str,
)
def test_the_words_are_understood(words: tuple[str, ...], expected: IfconfigRequest) -> None:
    assert parse("carp0", words) == expected


@pytest.mark.parametrize("words", [("state", "init"), ("advskew",), ("advskew", "many"), ("dwon",)], ids=str)
def test_words_that_do_not_fit_are_named_with_what_would(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"'{' '.join(words)}' is not understood; possible are: up, down"):
        parse("carp0", words)


def test_a_named_host_reads_as_on_freebsd_9() -> None:
    host = master(config(advskew=100))
    snapshot = host.engine.host_snapshot(KEY)
    status = host_status(snapshot, host.now_ns)
    status.name = "carp0"

    assert render(status) == (
        "carp0: flags=41<UP,RUNNING>\n"
        "\tinet 192.168.1.50 netmask 0xffffff00\n"
        "\tcarp: MASTER vhid 1 advbase 1 advskew 100"
    )


def test_a_host_without_a_name_reads_as_on_freebsd_10() -> None:
    host = bench(config(addresses=("192.168.1.50/32",)))

    assert render(host_status(host.engine.host_snapshot(KEY), 0)) == (
        "fxp0: flags=41<UP,RUNNING>\n"
        "\tinet 192.168.1.50 netmask 0xffffffff vhid 1\n"
        "\tcarp: BACKUP vhid 1 advbase 1 advskew 0"
    )
