"""``pycarp service`` as its user meets it, and what systemd makes of the unit."""

import errno
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.cli import service as service_command
from pycarp.daemon.service_unit import ServiceUnit
from tests.support.system import require

CONFIG = '[[host]]\ninterface = "lan9"\nvhid = 1\npassword = "hunter2"\naddresses = ["192.0.2.50/24"]\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "carp.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    return tmp_path / "pycarp.service"


def service(*words: object) -> Result:
    return CliRunner().invoke(cli, ["service", *map(str, words)])


CREDENTIAL = CONFIG.replace('password = "hunter2"', 'password_credential = "carp0"')


def line(text: str, key: str) -> str:
    (found,) = [each for each in text.splitlines() if each.startswith(f"{key}=")]
    return found.removeprefix(f"{key}=")


def test_the_unit_runs_this_pycarp_with_the_file_and_the_options_of_run(
    config: Path, unit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    result = service(
        "install", "--output", unit, "carp.toml", "--sysctl=net.inet.carp.preempt=1", "--record", "x.jsonl"
    )

    assert (result.exit_code, result.stdout) == (0, f"{unit} is written\n")
    words = shlex.split(line(unit.read_text(), "ExecStart"))
    assert Path(words[0]).is_file()
    after = words[words.index("run") + 1 :]
    assert after[0] == str(config)
    assert after[1:3] == ["--sysctl", "net.inet.carp.preempt=1"]
    assert after[3:] == ["--record", str(config.parent / "x.jsonl"), "--control", "/run/pycarp/pycarp.sock"]
    assert str(config.parent) in shlex.split(line(unit.read_text(), "ReadWritePaths"))


def test_the_unit_starts_the_command_that_wrote_it(config: Path) -> None:
    command = Path(sys.executable).parent / "pycarp"
    argv = [str(command), "service", "install", "--dry-run", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert shlex.split(line(done.stdout, "ExecStart"))[:3] == [str(command), "run", str(config)]


def test_another_name_has_a_control_socket_of_its_own(config: Path) -> None:
    result = service("install", "--name", "carp-lan", "--dry-run", config)

    assert "--control /run/pycarp/carp-lan.sock" in line(result.stdout, "ExecStart")


def test_a_control_socket_that_is_given_is_kept(config: Path) -> None:
    result = service("install", "--dry-run", config, "--control", "/run/carp/x.sock")

    assert line(result.stdout, "ExecStart").endswith("--control /run/carp/x.sock")
    assert line(result.stdout, "ReadWritePaths") == "/proc/sys/net /run/carp"


def test_the_password_is_not_in_the_unit(config: Path) -> None:
    assert "hunter2" not in service("install", "--dry-run", config).output


def test_a_credential_is_there_while_the_configuration_is_read(config: Path) -> None:
    config.write_text(CREDENTIAL)
    secret = config.with_name("secret")
    secret.write_text("hunter2\n")

    result = service("install", "--dry-run", "--credential", f"carp0:{secret}", config)

    assert result.exit_code == 0
    assert line(result.stdout, "LoadCredential") == f"carp0:{secret}"
    assert "hunter2" not in result.output


def test_a_credential_that_nobody_hands_over_is_named(config: Path) -> None:
    config.write_text(CREDENTIAL)

    result = service("install", "--dry-run", config)

    assert result.exit_code == 2
    assert "password_credential" in result.stderr + result.stdout or "credential" in result.stderr


def test_a_variable_that_the_service_will_not_have_is_warned_about(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(CONFIG.replace('password = "hunter2"', 'password_env = "CARP0_PASSWORD"'))
    monkeypatch.setenv("CARP0_PASSWORD", "hunter2")

    result = service("install", "--dry-run", config)

    assert "warning: the service has no variable CARP0_PASSWORD" in result.stderr
    assert "hunter2" not in result.output


def test_a_dry_run_writes_nothing(config: Path, unit: Path) -> None:
    result = service("install", "--dry-run", "--output", unit, config)

    assert "[Service]" in result.stdout
    assert not unit.exists()


def test_twice_is_well_and_says_so(config: Path, unit: Path) -> None:
    service("install", "--output", unit, config)
    result = service("install", "--output", unit, config)

    assert (result.exit_code, result.stdout) == (0, f"{unit} is as it should be\n")


def test_a_unit_that_is_otherwise_is_replaced_only_by_force(config: Path, unit: Path) -> None:
    unit.write_text("[Service]\nExecStart=/bin/mine\n")

    refused = service("install", "--output", unit, config)
    assert refused.exit_code == 1
    assert f"{unit} is otherwise" in refused.stderr
    assert "mine" in unit.read_text()

    assert service("install", "--force", "--output", unit, config).exit_code == 0
    assert "mine" not in unit.read_text()


def test_a_masked_unit_stays_masked(config: Path, unit: Path) -> None:
    unit.symlink_to("/dev/null")

    result = service("install", "--force", "--output", unit, config)

    assert result.exit_code == 1
    assert "systemctl unmask pycarp" in result.stderr
    assert unit.is_symlink()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "missing argument"),
        (("carp.toml", "--bogus"), "--bogus"),
        (("carp.toml", "--rc-conf", "carp.toml"), "name one configuration"),
        (("wrong.toml",), "wrong.toml:1:1: unknown key"),
        (("nowhere.toml",), "cannot read"),
        (("--name", "a/b", "carp.toml"), "is no name of a service"),
        (("--credential", "x", "carp.toml"), "is not NAME:FILE"),
    ],
    ids=str,
)
def test_wrong_usage_and_a_wrong_file_are_no_service(
    config: Path, unit: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.chdir(config.parent)
    Path("wrong.toml").write_text("vhid = 1\n")

    result = service("install", "--output", unit, *words)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not unit.exists()


def test_a_folder_that_is_not_there_is_named(config: Path, tmp_path: Path) -> None:
    result = service("install", "--output", tmp_path / "no" / "x.service", config)

    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        f"pycarp: cannot use {tmp_path}/no/x.service: No such file or directory",
    )


SYSTEMCTL = """#!/bin/sh
[ "$1" = --version ] && exec echo systemd 252
echo "$*" >> "$SYSTEMCTL_LOG"
[ "$1" != "$SYSTEMCTL_FAILS" ] || { echo "Job for pycarp.service failed." >&2; exit 1; }
"""


@pytest.fixture
def systemctl_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program that writes down what it is asked for in the place of systemctl, and units into a folder."""
    log, programs = tmp_path / "systemctl.log", tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("SYSTEMCTL_LOG", str(log))
    monkeypatch.setenv("SYSTEMCTL_FAILS", "")
    monkeypatch.setattr(service_command, "UNITS", tmp_path)
    return log


def test_now_starts_the_service_and_enables_it(config: Path, unit: Path, systemctl_log: Path) -> None:
    result = service("install", "--now", config)

    assert (result.exit_code, result.stdout) == (
        0,
        f"{unit} is written\npycarp is running, and starts with the machine\n",
    )
    assert systemctl_log.read_text().splitlines() == ["daemon-reload", "enable --now pycarp"]


def test_now_restarts_a_service_whose_unit_was_replaced(config: Path, unit: Path, systemctl_log: Path) -> None:
    unit.write_text("[Service]\nExecStart=/bin/mine\n")

    assert service("install", "--now", "--force", config).exit_code == 0

    assert systemctl_log.read_text().splitlines() == ["daemon-reload", "try-restart pycarp", "enable --now pycarp"]


def test_now_leaves_a_service_alone_whose_unit_is_as_it_should_be(config: Path, systemctl_log: Path) -> None:
    service("install", config)

    assert service("install", "--now", config).exit_code == 0

    assert systemctl_log.read_text().splitlines() == ["daemon-reload", "enable --now pycarp"]


def test_what_systemd_says_of_a_start_that_failed_is_passed_on(
    config: Path, systemctl_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSTEMCTL_FAILS", "enable")

    result = service("install", "--now", config)

    assert result.exit_code == 1
    assert "'systemctl enable --now pycarp' failed: Job for pycarp.service failed." in result.stderr
    assert systemctl_log.exists()


@pytest.mark.parametrize("words", [("--dry-run",), ("--output", "-"), ("--output", "elsewhere.service")])
def test_a_unit_that_systemd_does_not_read_cannot_be_started(
    config: Path, systemctl_log: Path, words: tuple[str, ...]
) -> None:
    result = service("install", "--now", *words, config)

    assert result.exit_code == 2
    assert "leave out --now or" in result.stderr
    assert not systemctl_log.exists()


def test_uninstall_removes_what_install_wrote(config: Path, unit: Path) -> None:
    service("install", "--output", unit, config)

    assert service("uninstall", "--output", unit).stdout == f"{unit} is removed\n"
    assert not unit.exists()
    assert service("uninstall", "--output", unit).stdout == f"{unit} is not there\n"


def test_uninstall_leaves_the_unit_of_somebody_else(unit: Path) -> None:
    unit.write_text("[Service]\nExecStart=/bin/mine\n")

    result = service("uninstall", "--output", unit)

    assert (result.exit_code, unit.exists()) == (1, True)
    assert "--force" in result.stderr


def test_uninstall_leaves_an_enabled_unit(config: Path, unit: Path) -> None:
    service("install", "--output", unit, config)
    wants = unit.parent / "multi-user.target.wants"
    wants.mkdir()
    (wants / unit.name).symlink_to(unit)

    result = service("uninstall", "--output", unit)

    assert (result.exit_code, unit.exists()) == (1, True)
    assert "systemctl disable --now pycarp" in result.stderr


def systemd_analyze(*words: object) -> "subprocess.CompletedProcess[str]":
    argv = ["systemd-analyze", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.system
def test_systemd_finds_nothing_wrong_with_the_unit(config: Path, unit: Path) -> None:
    require("systemd-analyze", root=False)
    service("install", "--credential", f"carp0:{config}", "--output", unit, config)

    done = systemd_analyze("verify", unit)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.system
@pytest.mark.parametrize("user", [None, "daemon"])
def test_the_exposure_is_below_three(unit: Path, user: str | None) -> None:
    require("systemd-analyze", root=False)
    unit.write_text(ServiceUnit(command=(sys.executable,), arguments=("/etc/pycarp.toml",), user=user).text())

    done = systemd_analyze("security", "--offline=yes", "--threshold=29", "--no-pager", unit)

    assert done.returncode == 0, done.stdout


@pytest.mark.system
def test_a_folder_that_a_user_may_not_enter_is_named(config: Path, unit: Path) -> None:
    require()
    config.chmod(0o644)
    config.parent.chmod(0o700)

    result = service("install", "--user", "daemon", "--output", unit, config)

    assert result.exit_code == 2
    assert re.search(r"it may not enter /\S+ either, which chgrp daemon and chmod 750 allow", result.stderr)


@pytest.mark.system
def test_a_user_who_may_not_read_the_configuration_is_refused(config: Path, unit: Path) -> None:
    require()
    config.chmod(0o600)

    result = service("install", "--user", "daemon", "--output", unit, config)

    assert result.exit_code == 2
    assert f"user daemon may not read {config}; chgrp daemon and chmod 640 let it" in result.stderr
    assert not unit.exists()


def test_a_user_who_is_not_there_is_refused(config: Path) -> None:
    result = service("install", "--user", "nobody-here", "--dry-run", config)

    assert result.exit_code == 2
    assert "there is no user 'nobody-here'" in result.stderr


def test_root_is_no_other_user(config: Path) -> None:
    assert "User=" not in service("install", "--user", "root", "--dry-run", config).stdout


def test_the_service_is_in_the_group_that_its_control_socket_is_given_to(config: Path) -> None:
    result = service("install", "--dry-run", config, "--control-group", "daemon")

    assert line(result.stdout, "SupplementaryGroups") == "daemon"
    assert "--control-group daemon" in line(result.stdout, "ExecStart")


def test_a_group_that_is_not_there_is_refused(config: Path) -> None:
    result = service("install", "--dry-run", config, "--control-group", "nobody-here")

    assert result.exit_code == 2
    assert "there is no group 'nobody-here'" in result.stderr


def test_what_cannot_be_put_in_place_leaves_no_file_beside(
    config: Path, unit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(self: Path, _target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", no_space)
    result = service("install", "--output", unit, config)

    assert result.exit_code == 1
    assert f"pycarp: cannot use {unit}: No space left on device\n" in result.stderr
    assert list(unit.parent.iterdir()) == [config]
