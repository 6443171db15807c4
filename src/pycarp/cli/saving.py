"""Writes the live changes of a running daemon into its file, or into another one."""

from pathlib import Path

from pycarp.cli.refusals import file_error
from pycarp.config import grammars, toml_edit
from pycarp.config.grammars import Grammar
from pycarp.config.toml_edit import HostEdit
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import DriftReply, DriftRequest, HostDrift
from pycarp.errors import ConfigError
from pycarp.system.files.file_replacement import replace_text


def save(control: Path, file: Path | None) -> list[str]:
    """Write the drift into ``file``, or the daemon's own; return a line for each change, without passwords.

    Raises ConfigError for a file that is not TOML, does not fit or cannot be opened, ControlError, and CarpError on a
    full disk.
    """
    drift = request(control, DriftRequest(), DriftReply)
    path = file or Path(drift.file)
    text = grammars.load(path)
    grammar = drift.grammar or grammars.recognise(str(path), text)
    if grammar != Grammar.TOML:
        raise ConfigError(_way_out(path, grammar))
    if not drift.hosts and not drift.sysctls:
        return []
    edits = toml_edit.edit(text, str(path), [_edit(each) for each in drift.hosts], drift.sysctls)
    for secret, password in edits.passwords.items():
        before = grammars.load(secret)
        _, newline, rest = before.partition("\n")
        _replace(secret, password + (newline or "\n") + rest, before)
    if edits.text != text:
        _replace(path, edits.text, text)
    switches = [f"net.inet.carp.{name}: {value}" for name, value in drift.sysctls.items()]
    return [*(f"{each.name}: {_summary(each)}" for each in drift.hosts), *switches]


def _replace(path: Path, text: str, before: str) -> None:
    try:
        replace_text(path, text, expected=before)
    except OSError as exc:
        raise file_error(f"nothing is changed: cannot write {path}", exc) from exc


def _edit(drift: HostDrift) -> HostEdit:
    return HostEdit(
        name=drift.name,
        interfaces=drift.interfaces,
        vhid=drift.vhid,
        advbase=drift.advbase,
        advskew=drift.advskew,
        addresses=drift.addresses,
        password=drift.password,
    )


def _summary(drift: HostDrift) -> str:
    said = [f"{key} {value}" for key in ("advbase", "advskew") if (value := getattr(drift, key)) is not None]
    said += [f"addresses {' '.join(drift.addresses)}"] if drift.addresses is not None else []
    return ", ".join(said + ["the password"] * (drift.password is not None))


def _way_out(path: Path, grammar: str) -> str:
    return (
        f"{path} is {grammar}, and only TOML can be saved into; write the changes there yourself, as pycarp plan shows "
        f"them, or once: pycarp convert {path} --to toml --output pycarp.toml, and run that"
    )
