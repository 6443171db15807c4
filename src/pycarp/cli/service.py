"""``pycarp service``: the daemon as a service of systemd."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import pycarp
from pycarp.cli.options import exit_status
from pycarp.cli.refusals import file_error
from pycarp.cli.run import readers, run, source_of
from pycarp.config.toml import CREDENTIALS
from pycarp.daemon import service_unit
from pycarp.daemon.callers import SERVICE_GROUP
from pycarp.daemon.control_client import default_path
from pycarp.daemon.service_unit import MARK, NOTIFY_RELOAD_SINCE, ServiceUnit
from pycarp.daemon.unprivileged import SERVICE_USER
from pycarp.errors import CarpError, UsageError
from pycarp.system import privileges
from pycarp.system.privileges import User
from pycarp.system.recovery import state_folder

NAME = "pycarp"
UNITS = Path("/etc/systemd/system")
_MODE = 0o644
_SYSTEMCTL_S = 10


@click.group(
    epilog="""\b
Examples:
  pycarp service install --dry-run /etc/pycarp.toml
  pycarp service install /etc/pycarp.toml
  pycarp service uninstall"""
    + exit_status()
)
def service() -> None:
    """Run pycarp as a service of systemd: write its unit, or remove it."""


def _name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    return service_unit.check_name(value)


def _credentials(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    return dict(map(service_unit.credential, values))


name_option = click.option(
    "--name",
    callback=_name,
    default=NAME,
    show_default=True,
    metavar="NAME",
    help="Name of the service, and of its control socket.",
)


@service.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  pycarp service install /etc/pycarp.toml
  pycarp service install --now /etc/pycarp.toml
  pycarp service install --dry-run /etc/pycarp.toml
  pycarp service install --rc-conf /etc/rc.conf --map em0=eth0
  pycarp service install /etc/pycarp.toml --sysctl net.inet.carp.preempt=1
  pycarp service install --name carp-lan /etc/carp/lan.toml
  pycarp service install --credential carp0:/etc/carp0.secret /etc/pycarp.toml
  pycarp service install --output - /etc/pycarp.toml > pycarp.service

\b
The unit starts the pycarp that writes it: install it with the command of the
environment that shall run, and once more when that moves. Nothing is started
without --now, which restarts a service whose unit --force has replaced.
To change it, use systemctl edit: this command replaces a file that is otherwise
only with --force."""
    + exit_status("1 is that the unit is otherwise, or did not start."),
)
@name_option
@click.option(
    "--output", metavar="FILE", help=f"Where the unit goes, - for standard output.  [default: {UNITS}/NAME.service]"
)
@click.option("--dry-run", is_flag=True, help="Print the unit, and write nothing.")
@click.option("--force", is_flag=True, help="Replace a unit that is otherwise.")
@click.option("--now", is_flag=True, help="Start the service, and enable it, so that it starts with the machine.")
@click.option(
    "--user",
    metavar="USER",
    help=f"Run as USER, who can read the configuration.  [default: {SERVICE_USER} if there is such a user, else root]",
)
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    callback=_credentials,
    metavar="NAME:FILE",
    help="Hand a secret in FILE to the service as a credential, as LoadCredential= does; may be repeated.",
)
@click.option(
    "--systemd",
    "version",
    type=click.IntRange(247, 9999),
    metavar="VERSION",
    show_default="the one that is installed",
    help=f"Write for this version of systemd: notify-reload begins with {NOTIFY_RELOAD_SINCE}.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, required=True, metavar="FILE [OPTION OF RUN]...")
def install(
    *,
    name: str,
    output: str | None,
    dry_run: bool,
    force: bool,
    now: bool,
    user: str | None,
    credentials: dict[str, Path],
    version: int | None,
    words: tuple[str, ...],
) -> None:
    """Write a systemd unit that runs this pycarp with FILE and the options of pycarp run.

    FILE is read first; a wrong one is no service.
    """
    path = Path(output) if output else UNITS / f"{name}.service"
    if now and (dry_run or path.parent != UNITS):
        other = "--dry-run" if dry_run else f"--output {output}"
        raise UsageError(f"--now starts a unit in {UNITS}: leave out --now or {other}")
    unit = _unit_of(words, name=name, user=user, credentials=credentials, systemd=version or _installed_systemd())
    text = unit.text()
    if unit.temporary is not None:
        click.echo(f"pycarp: warning: {unit.temporary} is lost when the machine starts again", err=True)
    if dry_run or output == "-":
        click.echo(text, nl=False)
        return
    was_there = path.exists()
    is_new = _write(path, text, is_forced=force)
    click.echo(f"{path} is {'written' if is_new else 'as it should be'}")
    if now:
        _systemctl("daemon-reload")
        if was_there and is_new:
            _systemctl("try-restart", name)
        _systemctl("enable", "--now", name)
        click.echo(f"{name} is running, and starts with the machine")
    elif path.parent == UNITS:
        click.echo(f"next: systemctl daemon-reload && systemctl enable --now {name}")


@service.command(
    epilog="""\b
Examples:
  systemctl disable --now pycarp && pycarp service uninstall
  pycarp service uninstall --name carp-lan"""
    + exit_status("1 is that the unit is enabled, or somebody else's.")
)
@name_option
@click.option("--output", metavar="FILE", help=f"Where the unit is.  [default: {UNITS}/NAME.service]")
@click.option("--force", is_flag=True, help="Remove also what pycarp service install has not written.")
def uninstall(*, name: str, output: str | None, force: bool) -> None:
    """Remove the unit of a service that is stopped and disabled."""
    path = Path(output) if output else UNITS / f"{name}.service"
    with _named_errors(path):
        if not path.is_symlink() and not path.exists():
            click.echo(f"{path} is not there")
            return
        if not force and not (path.is_file() and path.read_text(errors="replace").startswith(MARK)):
            raise CarpError(f"{path} was not written by pycarp service install; --force removes it all the same")
        if any(path.parent.glob(f"*.wants/{path.name}")):
            raise CarpError(f"{path.name} is enabled: first 'systemctl disable --now {path.stem}'")
        path.unlink()
    click.echo(f"{path} is removed")
    if path.parent == UNITS:
        click.echo("next: systemctl daemon-reload")


def _unit_of(
    words: tuple[str, ...], *, name: str, user: str | None, credentials: dict[str, Path], systemd: int
) -> ServiceUnit:
    context = run.make_context("pycarp run", list(words))
    source = source_of(context.params)
    with _handed_over(credentials) as handed:
        config = source.read()
        awaits_addresses = not source.names_interfaces
    for variable in config.secret_variables.values():
        hint = "give it with Environment= or EnvironmentFile= in 'systemctl edit', or use a credential"
        click.echo(f"pycarp: warning: the service has no variable {variable}; {hint}", err=True)
    secrets = [each.absolute() for each in config.secrets if not each.is_relative_to(handed)]
    read = [source.file.absolute(), *secrets]
    control, state = context.params["control"].absolute(), context.params["state"]
    if context.get_parameter_source("control") is ParameterSource.DEFAULT:
        control = _control_of(name)
    record = context.params["record"]
    folders = [control.parent, state, *([record.parent] if record else [])]
    return ServiceUnit(
        command=_command(),
        arguments=(*_given(context), "--control", str(control)),
        control=("--control", str(control)),
        needed=(*_program(), *read),
        writable=tuple(each for each in dict.fromkeys(folders) if not each.is_relative_to(state_folder.DEFAULT)),
        credentials=credentials,
        awaits_addresses=awaits_addresses,
        user=_user(user, read),
        group=_group(context.params["control_group"]),
        sees_processes=any("process" in check.table for check in config.checks),
        systemd=systemd,
    )


@contextlib.contextmanager
def _handed_over(credentials: dict[str, Path]) -> Iterator[Path]:
    """Yield a folder with the credentials as systemd will show them to the service."""
    before = os.environ.get(CREDENTIALS)
    with tempfile.TemporaryDirectory() as folder:
        for name, file in credentials.items():
            Path(folder, name).symlink_to(file)
        os.environ[CREDENTIALS] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[CREDENTIALS]
            if before is not None:
                os.environ[CREDENTIALS] = before


def _user(wanted: str | None, files: list[Path]) -> str | None:
    """Return the user of the service, None for root; raises UsageError for a user who cannot read the files."""
    try:
        user = User.named(wanted or SERVICE_USER)
    except UsageError:
        if wanted is not None:
            raise
        return None
    if user.uid == 0 or os.geteuid() != 0 or not privileges.may_become_others():
        return user.name if user.uid else None
    with privileges.rehearsed(user):
        unread = [each for each in files if not os.access(each, os.R_OK, effective_ids=True)]
        closed = privileges.closed_folder(unread[0]) if unread else None
    if not unread:
        return user.name
    text = f"user {user.name} may not read {unread[0]}; chgrp {user.name} and chmod 640 let it"
    if closed is not None:
        text += f"; it may not enter {closed} either, which chgrp {user.name} and chmod 750 allow"
    if wanted is not None:
        raise UsageError(text)
    click.echo(f"pycarp: warning: the service runs as root: {text}", err=True)
    return None


def _group(wanted: str | None) -> str | None:
    """Return the group whose members may read, if it exists: without CAP_CHOWN the service must be in it."""
    readers(wanted)
    return wanted or (SERVICE_GROUP if privileges.group_id(SERVICE_GROUP) is not None else None)


def _control_of(name: str) -> Path:
    """Return where the commands look for the service of the default name, or a path of its own for another one."""
    usual = default_path()
    if name == NAME and usual.is_relative_to(state_folder.DEFAULT):
        return usual
    return state_folder.DEFAULT / f"{name}.sock"


def _given(context: click.Context) -> Iterator[str]:
    """Yield the arguments of ``pycarp run`` as they were given, but with absolute paths and without ``--control``."""
    for parameter in context.command.params:
        key = str(parameter.name)
        if key == "control" or context.get_parameter_source(key) is ParameterSource.DEFAULT:
            continue
        option = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
        for word in _words(context.params[key]):
            yield from (*option, word)


def _words(value: Any) -> Iterator[str]:
    match value:
        case Path():
            yield str(value.absolute())
        case dict():
            yield from (f"{key}={each}" for key, each in value.items())
        case tuple():
            yield from (f"{key}={each}" for key, each in value)
        case _:
            yield str(value)


def _command() -> tuple[str, ...]:
    """Return the command that starts this program: the one that was called, or else the interpreter."""
    called = shutil.which(sys.argv[0])
    if called is not None and Path(called).name == "pycarp":
        return (str(Path(called).absolute()),)
    return (str(Path(sys.executable).absolute()), "-m", "pycarp")


def _program() -> Iterator[Path]:
    """Yield the folders and files from which this program runs."""
    for each in (*_command(), sys.executable, sys.prefix, sys.base_prefix, pycarp.__file__, *sys.path):
        if os.path.isabs(each):
            yield from (Path(each), Path(each).resolve())


def _installed_systemd() -> int:
    """Return the version of systemd here; the first with notify-reload if there is none."""
    try:
        argv = ["systemctl", "--version"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=_SYSTEMCTL_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return NOTIFY_RELOAD_SINCE
    found = re.match(r"systemd (\d+)", said.stdout)
    return int(found[1]) if found else NOTIFY_RELOAD_SINCE


def _systemctl(*words: str) -> None:
    """Run ``systemctl``, and wait until it has ended; raises CarpError with what it says if it fails."""
    argv = ["systemctl", *words]
    try:
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as exc:
        said = str(exc.strerror)
    else:
        if not ended.returncode:
            return
        said = "; ".join(ended.stderr.splitlines()) or f"exit status {ended.returncode}"
    raise CarpError(f"the unit is written, but '{shlex.join(argv)}' failed: {said}")


def _write(path: Path, text: str, *, is_forced: bool) -> bool:
    """Write a file atomically; return False if it has this text already."""
    with _named_errors(path):
        if path.is_symlink():
            raise CarpError(
                f"{path} leads to {os.readlink(path)}: if it is masked, 'systemctl unmask {path.stem}' first"
            )
        if path.exists():
            if path.read_text(errors="replace") == text:
                return False
            if not is_forced:
                raise CarpError(f"{path} is otherwise: see how with --dry-run, and replace it with --force")
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                os.fchmod(descriptor, _MODE)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    return True


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Raise an error of the system as one line about the file."""
    try:
        yield
    except OSError as exc:
        hint = "; run as root, or name another file with --output" if isinstance(exc, PermissionError) else ""
        raise file_error(f"cannot use {path}{hint}", exc) from exc
