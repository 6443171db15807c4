"""The text of a systemd unit that runs the daemon. Sources: systemd.service(5), systemd.exec(5), systemd.kill(5).

What is not obvious:

- ``KillMode=control-group``: the guardian ignores SIGTERM and the watchdog's SIGABRT, so it can clean up after a daemon
  that died, and systemd waits for it before it starts the next one. ``mixed`` would kill the guardian at once.
- systemd takes death by SIGHUP, SIGINT, SIGPIPE or SIGTERM for a clean end. A daemon never dies of the first three once
  it runs, so ``RestartForceExitStatus`` has them restarted as well; SIGTERM is how an administrator stops it.
- ``ProtectKernelTunables`` would make ``/proc/sys/net`` read-only, which the shared addresses need. The rest of
  ``/proc/sys`` is made read-only by path.
- The only capabilities are CAP_NET_ADMIN and CAP_NET_RAW. Real-time scheduling, locked memory and the OOM score, which
  would need others, are granted by limits.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from pycarp.errors import UsageError

MARK = "# Written by 'pycarp service install'."
"""The first line of a unit that this module has written."""

NOTIFY_RELOAD_SINCE = 253
"""The first version of systemd that knows Type=notify-reload."""

_CAPABILITIES = "CAP_NET_ADMIN CAP_NET_RAW"
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108  # named to find out whether the program is there
_PLAIN_WORD = re.compile(r"[\w@%+=:,./$-]+")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[A-Za-z0-9:_.\\-]{1,200}")
_CREDENTIAL = re.compile(r"[\w.-]{1,255}", re.ASCII)


class ServiceUnit(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit says.

    ``command`` starts pycarp, ``arguments`` are those of ``pycarp run``, ``control`` those that other commands need to
    find this daemon. ``needed`` are the files that the daemon reads. ``credentials`` are names and files.
    ``awaits_addresses`` starts the daemon when the network is configured. ``user`` is root unless it is given,
    ``group`` owns the control socket. ``sees_processes`` shows the daemon those of others. ``systemd`` is the version
    for which the unit is written.
    """

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    control: tuple[str, ...] = ()
    needed: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    credentials: Mapping[str, Path] = msgspec.field(default_factory=dict)
    awaits_addresses: bool = False
    user: str | None = None
    group: str | None = None
    sees_processes: bool = False
    systemd: int = NOTIFY_RELOAD_SINCE

    def text(self) -> str:
        """Return the unit; UsageError for a path or word that cannot stand in one."""
        return "\n".join(
            [
                f"{MARK} Change it with 'systemctl edit', which keeps what you change apart.",
                *self._unit(),
                "",
                "[Service]",
                *self._start(),
                "",
                *self._supervision(),
                "",
                *self._resources(),
                "",
                *self._sandbox(),
                "",
                "[Install]",
                "WantedBy=multi-user.target",
                "",
            ]
        )

    @property
    def temporary(self) -> Path | None:
        """A needed file that is lost when the machine starts again, if there is one."""
        return next((each for each in self.needed if _is_below(each, _TEMPORARY)), None)

    def _unit(self) -> list[str]:
        after = ["network.target", *(["network-online.target"] if self.awaits_addresses else [])]
        return [
            "[Unit]",
            "Description=CARP, shared IP addresses (pycarp)",
            f"After={' '.join(after)}",
            *(["Wants=network-online.target"] if self.awaits_addresses else []),
            "StartLimitIntervalSec=0",
        ]

    def _start(self) -> list[str]:
        has_notify_reload = self.systemd >= NOTIFY_RELOAD_SINCE
        reload = _line(*self.command, "reload", "--force", *self.control)
        return [
            f"Type={'notify-reload' if has_notify_reload else 'notify'}",
            f"ExecStart={_line(*self.command, 'run', *self.arguments)}",
            *([] if has_notify_reload else [f"ExecReload={reload}"]),
            *(f"LoadCredential={name}:{_escaped(str(path))}" for name, path in self.credentials.items()),
        ]

    def _supervision(self) -> list[str]:
        return [
            "Restart=on-failure",
            "RestartSec=1",
            # An address that an interface gets late makes a configuration right that was wrong.
            *([] if self.awaits_addresses else ["RestartPreventExitStatus=2"]),
            "RestartForceExitStatus=SIGHUP SIGINT SIGPIPE",
            "WatchdogSec=10",
            "TimeoutStartSec=120",
            "TimeoutStopSec=10",
            "KillMode=control-group",
            "OOMPolicy=continue",
        ]

    def _resources(self) -> list[str]:
        return [
            "OOMScoreAdjust=-1000",
            "LimitMEMLOCK=256M",
            "LimitRTPRIO=1",
            "LimitNOFILE=65536",
            "RuntimeDirectory=pycarp",
            "RuntimeDirectoryMode=0755",
            "RuntimeDirectoryPreserve=yes",
            "StateDirectory=pycarp",
        ]

    def _sandbox(self) -> list[str]:
        is_at_home = any(_is_below(each, _HOMES) for each in (*self.needed, *self.writable))
        is_temporary = any(_is_below(each, _TEMPORARY) for each in (*self.needed, *self.writable))
        paths = " ".join(_quoted(str(each)) for each in ("/proc/sys/net", *self.writable))
        return [
            *([f"User={self.user}", f"AmbientCapabilities={_CAPABILITIES}"] if self.user else []),
            *([f"SupplementaryGroups={self.group}"] if self.group else []),
            f"CapabilityBoundingSet={_CAPABILITIES}",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "ReadOnlyPaths=/proc/sys",
            f"ReadWritePaths={paths}",
            f"ProtectHome={'read-only' if is_at_home else 'yes'}",
            f"PrivateTmp={'no' if is_temporary else 'yes'}",
            "PrivateDevices=yes",
            "PrivateMounts=yes",
            "DevicePolicy=closed",
            "ProtectClock=yes",
            "ProtectControlGroups=yes",
            "ProtectHostname=yes",
            "ProtectKernelLogs=yes",
            "ProtectKernelModules=yes",
            f"ProtectProc={'default' if self.sees_processes else 'invisible'}",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET",
            "RestrictNamespaces=yes",
            "RestrictSUIDSGID=yes",
            "LockPersonality=yes",
            "MemoryDenyWriteExecute=yes",
            "KeyringMode=private",
            "RemoveIPC=yes",
            "SystemCallArchitectures=native",
            "SystemCallFilter=@system-service",
            "SystemCallErrorNumber=EPERM",
            "UMask=0077",
        ]


def check_name(name: str) -> str:
    """Return the name of a service without ``.service``; UsageError if it cannot be one."""
    short = name.removesuffix(".service")
    if not _NAME.fullmatch(short) or short.startswith((".", "-")):
        raise UsageError(f"{name!r} is no name of a service: letters, digits and :_.- are allowed, at most 200")
    return short


def credential(value: str) -> tuple[str, Path]:
    """Return name and file of ``NAME:FILE``, as in LoadCredential=; UsageError if it is not that."""
    name, colon, file = value.partition(":")
    if not (colon and _CREDENTIAL.fullmatch(name) and file.startswith("/")):
        raise UsageError(f"{value!r} is not NAME:FILE with an absolute path, as in carp0:/etc/pycarp/carp0.secret")
    return name, Path(file)


def _is_below(path: Path, folders: Iterable[str]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _line(program: str, *arguments: str) -> str:
    """Return a command line as systemd reads it; it expands variables in all words but the first."""
    return " ".join([_quoted(program), *(_quoted(each.replace("$", "$$")) for each in arguments)])


def _quoted(word: str) -> str:
    escaped = _escaped(word)
    if _PLAIN_WORD.fullmatch(word):
        return escaped
    backslash, quote = "\\", '"'
    return f'"{escaped.replace(backslash, backslash * 2).replace(quote, backslash + quote)}"'


def _escaped(text: str) -> str:
    """Return text in which systemd finds no specifier; UsageError if it cannot stand on a line."""
    if _CONTROL_CHARACTER.search(text):
        raise UsageError(f"{text!r} has a control character, which cannot stand in a unit")
    return text.replace("%", "%%")
