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
            command=_installing(path, text),
        )
    program = next(iter(_started(text)), "")
    if program.startswith("/") and not Path(program).exists():
        yield Finding(
            kind="unit-without-program",
            severity=Severity.PROBLEM,
            subject=str(path),
            words=f"{path} starts {program}, which is not there",
            reason="the service does not start any more",
            command=_installing(path, text),
        )


def _fixed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not _OF_ITS_SETTINGS.match(line)]


def _installing(path: Path, text: str) -> str:
    """Return the command that replaces the unit: the arguments stay, user and credentials are chosen again."""
    words = _started(text)
    arguments = words[words.index("run") + 1 :] if "run" in words else ["FILE"]
    said = shlex.join(["pycarp", "service", "install", "--force", "--name", path.stem, *arguments])
    return f"{said} && systemctl daemon-reload"


def _started(text: str) -> list[str]:
    """Return the words of ExecStart=, without systemd's escapes; none if it cannot be read."""
    for line in text.splitlines():
        if line.startswith("ExecStart="):
            try:
                words = shlex.split(line.partition("=")[2])
            except ValueError:
                return []
            return [each.replace("$$", "$").replace("%%", "%") for each in words]
    return []
