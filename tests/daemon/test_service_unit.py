"""The text of the unit: what systemd reads back from it."""

import configparser
from pathlib import Path

import pytest

from pycarp.daemon.service_unit import ServiceUnit, check_name, credential
from pycarp.errors import UsageError


def unit(**fields: object) -> ServiceUnit:
    known: dict[str, object] = {"command": ("/opt/pycarp/bin/pycarp",), "arguments": ("/etc/pycarp.toml",)}
    return ServiceUnit(**(known | fields))  # type: ignore[arg-type]


def said(made: ServiceUnit, section: str = "Service") -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(made.text())
    return dict(parser[section])


@pytest.mark.parametrize(
    ("version", "kind", "reload"),
    [
        (253, "notify-reload", None),
        (252, "notify", "/opt/pycarp/bin/pycarp reload --force --control /run/pycarp/pycarp.sock"),
    ],
)
def test_a_reload_is_what_this_version_of_systemd_knows(version: int, kind: str, reload: str | None) -> None:
    made = said(unit(systemd=version, control=("--control", "/run/pycarp/pycarp.sock")))

    assert (made["Type"], made.get("ExecReload")) == (kind, reload)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/etc/my carp.toml", '"/etc/my carp.toml"'),
        ("/etc/50%.toml", "/etc/50%%.toml"),
        ("/etc/$HOME.toml", "/etc/$$HOME.toml"),
        ('/etc/a"b\\c.toml', '"/etc/a\\"b\\\\c.toml"'),
        ("/etc/a;b.toml", '"/etc/a;b.toml"'),
    ],
)
def test_a_word_is_written_so_that_systemd_takes_it_as_it_is(word: str, written: str) -> None:
    assert said(unit(arguments=(word,)))["ExecStart"] == f"/opt/pycarp/bin/pycarp run {written}"


def test_a_line_break_in_a_path_is_refused() -> None:
    with pytest.raises(UsageError, match="has a control character"):
        unit(arguments=("/etc/a\nExecStartPre=/bin/sh",)).text()


def test_a_program_in_a_home_can_be_read_there() -> None:
    assert said(unit())["ProtectHome"] == "yes"
    assert said(unit(needed=(Path("/home/op/venv/bin/python"),)))["ProtectHome"] == "read-only"


def test_a_program_in_tmp_is_there_for_the_service_and_named() -> None:
    made = unit(needed=(Path("/tmp/venv"),))

    assert (said(unit())["PrivateTmp"], said(made)["PrivateTmp"]) == ("yes", "no")
    assert made.temporary == Path("/tmp/venv")


def test_a_wrong_configuration_stays_down_unless_time_may_cure_it() -> None:
    assert said(unit())["RestartPreventExitStatus"] == "2"
    assert "RestartPreventExitStatus" not in said(unit(awaits_addresses=True))


def test_who_finds_interfaces_by_their_subnets_waits_for_the_addresses() -> None:
    assert "network-online" not in unit().text()
    assert said(unit(awaits_addresses=True), "Unit")["Wants"] == "network-online.target"


def test_a_user_of_its_own_has_the_capabilities_from_the_start() -> None:
    made = said(unit(user="pycarp"))

    assert (made["User"], made["AmbientCapabilities"]) == ("pycarp", "CAP_NET_ADMIN CAP_NET_RAW")


def test_a_credential_is_handed_over() -> None:
    made = unit(credentials=dict([credential("carp0:/etc/carp 0.secret")]))

    assert said(made)["LoadCredential"] == "carp0:/etc/carp 0.secret"


@pytest.mark.parametrize("value", ["carp0", "carp0:relative", ":/etc/x", "a/b:/etc/x"])
def test_what_is_no_credential_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="is not NAME:FILE"):
        credential(value)


@pytest.mark.parametrize("name", ["", ".service", "a/b", "../x", "a b", "-x", "x" * 201])
def test_what_is_no_name_of_a_service_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a service"):
        check_name(name)


def test_a_name_may_end_in_service() -> None:
    assert check_name("carp-lan.service") == "carp-lan"


def test_the_unit_that_is_shipped_is_this_one() -> None:
    shipped = Path(__file__).parents[2] / "docs" / "examples" / "pycarp.service"
    control = ("--control", "/run/pycarp/pycarp.sock")

    made = unit(
        command=("/opt/pycarp/bin/pycarp",), arguments=("/etc/pycarp/carp.toml", *control), control=control, systemd=253
    )

    assert shipped.read_text() == made.text()


@pytest.mark.parametrize(("sees", "said_of_it"), [(True, "default"), (False, "invisible")])
def test_processes_of_others_are_hidden_unless_a_check_looks_for_them(sees: bool, said_of_it: str) -> None:
    assert said(unit(sees_processes=sees))["ProtectProc"] == said_of_it
