"""The settings by name from which a system's start script makes the arguments of ucarp.

FreeBSD's rc.conf (``ucarp_vhid``), Debian's ifupdown (``ucarp-vid``) and the files below /etc/ucarp (``ID``) differ
in the names and in what they take for granted, not in what becomes of it.
"""

import difflib
from collections.abc import Collection, Mapping

import msgspec

from pycarp.config.shell_script import Word
from pycarp.config.ucarp_hosts import UNKNOWN_SOURCE, UcarpHosts

_PLACEHOLDERS = {"interface": "eth0", "vhid": "1", "addr": "192.0.2.1"}


class Setting(msgspec.Struct, frozen=True):
    """A value, where it stands, and in which file. Its ``repr`` shows no value, as it may be a password."""

    name: str
    value: Word
    file: str

    def __repr__(self) -> str:
        return f"Setting({self.name})"


def start(
    hosts: UcarpHosts,
    where: Word,
    settings: Mapping[str, Setting],
    *,
    flags: Collection[str] = (),
    more: Collection[str] = (),
    prefix: int | None = None,
) -> None:
    """Add the host of settings by ucarp's long options; ``flags`` are those without a value, ``more`` finished words.

    An own address that is missing is none that pycarp needs. What else is missing the caller has complained about:
    a placeholder stands for it, so that all problems are found at once.
    """
    missing = {} if "passfile" in settings else {"pass": "x"}
    missing = {option: value for option, value in (_PLACEHOLDERS | missing).items() if option not in settings}
    arguments = [*more, *(f"--{option}={setting.value.text}" for option, setting in settings.items())]
    arguments += [f"--{flag}" for flag in flags]
    arguments += [f"--{option}={value}" for option, value in missing.items()]
    if "srcip" not in settings:
        arguments.append(f"--srcip={UNKNOWN_SOURCE}")
    places = {option: (setting.file, setting.value) for option, setting in settings.items()}
    hosts.add(where, arguments, places=places, prefix=prefix, is_complete=not missing)


def complain_of_blanks(hosts: UcarpHosts, settings: Mapping[str, Setting], who: str) -> None:
    """Complain about values with blanks, where the system's script would cut them into several arguments."""
    for each in settings.values():
        if len(each.value.text.split()) != 1:
            what = "is empty" if not each.value.text.strip() else "has a blank"
            hosts.complain(each.value, f"{each.name} {what}, and {who} does not quote it", "write it without")


def likely(name: str, known: Collection[str]) -> str:
    """Return the name that was meant; empty if it resembles none."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    return close[0] if close else ""
