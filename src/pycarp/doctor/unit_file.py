"""Notices a systemd unit of pycarp that is older than the program, or starts another one."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from pycarp.daemon.service_unit import MARK, ServiceUnit
from pycarp.doctor.finding import Finding, Severity

UNITS = Path("/etc/systemd/system")
_OF_ITS_SETTINGS = re.compile(
    r"#|After=|Wants=|Type=|ExecStart=|ExecReload=|LoadCredential=|User=|AmbientCapabilities=|SupplementaryGroups=|"
    r"ReadWritePaths=|ProtectHome=|PrivateTmp=|RestartPreventExitStatus="
)
"""Lines that depend on what the service was installed with; all others are the same in every unit."""


def findings(folder: Path = UNITS) -> Iterator[Finding]:
    """Yield a finding for each unit that ``pycarp service install`` has written and would write otherwise today."""
    try:
        paths = sorted(folder.glob("*.service"))
    except OSError:
        return
    for path in paths:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        if text.startswith(MARK):
            yield from _of_unit(path, text)


def _of_unit(path: Path, text: str) -> Iterator[Finding]:
    today = ServiceUnit(command=("pycarp",), arguments=()).text()
    missing = [line for line in _fixed(today) if line not in _fixed(text)]
    if missing:
        shown = ", ".join(missing[:3]) + (" and more" if len(missing) > 3 else "")
        yield Finding(
            kind="old-unit",
            severity=Severity.WARNING,
            subject=str(path),
            words=f"{path} was written by another version of pycarp: it lacks {shown}",
            reason="the service runs with settings that this version does not count on",
            command=f"pycarp service install --force --name {path.stem} ... && systemctl daemon-reload",
        )
    program = _program(text)
    if program is not None and program.startswith("/") and not Path(program).exists():
        yield Finding(
            kind="unit-without-program",
            severity=Severity.PROBLEM,
            subject=str(path),
            words=f"{path} starts {program}, which is not there",
            reason="the service does not start any more",
            command=f"pycarp service install --force --name {path.stem} ... && systemctl daemon-reload",
        )


def _fixed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not _OF_ITS_SETTINGS.match(line)]


def _program(text: str) -> str | None:
    for line in text.splitlines():
        if line.startswith("ExecStart="):
            try:
                words = shlex.split(line.partition("=")[2])
            except ValueError:
                return None
            return words[0] if words else None
    return None
