"""Makes a host from the parsed words of a carp interface, with the checks that all such grammars need."""

from collections.abc import Collection, Iterable
from typing import Any

from pycarp.auth.key import PASSPHRASE_MAX, Passphrase
from pycarp.config.carp_words import CarpWords, Complain
from pycarp.config.problems import CUT_BY_THE_BSDS
from pycarp.config.shell_script import Word
from pycarp.core.host_config import DEFAULT_GROUPS, HostConfig
from pycarp.core.host_settings import problems_of
from pycarp.dialects import Dialect
from pycarp.errors import ConfigError, SettingProblem, SettingProblems


def build_host(said: CarpWords, *, link: str, name: str, dialect: Dialect, complain: Complain) -> HostConfig | None:
    """Return the host; None, with a problem reported, if something is missing or cannot work."""
    secret = None if said.passphrase is None else secret_of(said.passphrase, complain)
    settings: dict[str, Any] = {name: number for name, (_word, number) in said.numbers.items()}
    settings |= {} if secret is None else {"passphrase": secret}
    settings |= {"addresses": said.interfaces} if said.addresses else {}
    settings |= {
        "interface": link,
        "dialect": dialect,
        "name": name,
        "peers": tuple(address for _word, address in said.peers),
        "multicast_group": said.multicast_group,
        "lladdr": said.lladdr,
        "groups": tuple(
            dict.fromkeys(each for each in (*DEFAULT_GROUPS, *said.groups) if each not in said.left_groups)
        ),
    }
    if not {"passphrase", "vhid", "addresses"} <= settings.keys():
        _complain_of(problems_of(settings), said, complain)
        return None
    try:
        return HostConfig(**settings)
    except SettingProblems as exc:
        _complain_of(exc.problems, said, complain)
    return None


def _complain_of(problems: Iterable[SettingProblem], said: CarpWords, complain: Complain) -> None:
    """Report problems of settings, each at its place."""
    places = {name: word for name, (word, _number) in said.numbers.items()}
    if said.passphrase is not None:
        places["passphrase"] = said.passphrase
    items = {
        "addresses": [word for word, _address, _length in said.addresses],
        "peers": [word for word, _address in said.peers],
    }
    for problem in problems:
        where = places.get(problem.setting, said.where)
        if problem.setting in items and problem.index is not None:
            where = items[problem.setting][problem.index]
        elif problem.setting == "addresses":
            where = items["addresses"][-1]
        complain(where, problem.text, problem.hint)


def complain_of_missing(said: CarpWords, complain: Complain) -> None:
    """Report a missing vhid or password, unless it may be among the words that were not understood."""
    if said.has_faults:
        return
    if "vhid" not in said.numbers:
        complain(said.where, "vhid is missing", "add vhid N, the same on every host that shares the address")
    if said.passphrase is None:
        complain(said.where, "pass is missing", "add pass SECRET; without it anybody could take the address")


def secret_of(word: Word, complain: Complain) -> Passphrase | None:
    """Return the password; None, with a problem reported that does not show it, if it cannot be one."""
    try:
        return Passphrase(word.text)
    except ConfigError as exc:
        complain(word, str(exc), CUT_BY_THE_BSDS if len(word.text.encode()) > PASSPHRASE_MAX else "")
    except UnicodeError:
        # The message of the exception would show a part of the password.
        complain(word, "pass is not UTF-8", "save the file as UTF-8")
    return None


def complain_of_scopes(said: CarpWords, names: Collection[str], complain: Complain) -> None:
    """Complain about link-local addresses that name another interface than the one they stand on: its ``names``."""
    for word, scope in said.scopes:
        if scope not in names:
            known = " or ".join(f"%{name}" for name in dict.fromkeys(names))
            complain(word, f"the address belongs to {scope}, and stands on another interface", f"write {known}")


def notes_of(said: CarpWords, file: str) -> list[str]:
    """Return what was understood, but is not done, each with its place."""
    return [f"{file}:{word.line}: {note}" for word, note in said.notes]
