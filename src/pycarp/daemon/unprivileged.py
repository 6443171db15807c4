"""Which user the daemon is going to be, and whether it can work as that one; then it becomes it.

Called once, before any thread is started. What needs more than the two capabilities comes before: the configuration is
read, the folders below ``/run`` are made, limits are raised, journals of network namespaces that are gone are removed.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pycarp.config.model import NodeConfig
from pycarp.daemon.scheduling import be_punctual
from pycarp.errors import ConfigError, UsageError
from pycarp.system import privileges
from pycarp.system.files import safe_files
from pycarp.system.guardian import guardian_program
from pycarp.system.privileges import User
from pycarp.system.recovery import state_folder, state_owner
from pycarp.system.recovery.dead_daemons import forget_vanished

SERVICE_USER = "pycarp"
"""Who the daemon is without ``--user``, where there is such a user."""

_ROOT = "root"


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon reads and writes while it runs: the configuration, sockets, states, a recording."""

    config: Path
    control: Path
    state: Path
    record: Path | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What is to be logged about it: what the daemon is, and what is not as it should be."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def become_unprivileged(config: NodeConfig, paths: Paths, *, user: str | None, readers: int | None) -> Outcome:
    """Give up what a daemon does not need; return what there is to say about it.

    ``user`` is a name that the operator gave. Without one root becomes ``SERVICE_USER`` if there is one, else stays
    root; and keeps everything where files in other people's folders could not be used otherwise. ``readers`` is the
    group to which the control socket will be given. Raises UsageError when it cannot work as the user that was named.
    """
    if sys.platform != "linux":
        return Outcome()
    if os.geteuid() != 0:
        return _reduce_only(user)
    forget_vanished(paths.state)
    warnings: list[str] = []
    for named in _candidates(user):
        candidate = replace(named, groups=(*named.groups, *([] if readers is None else [readers])))
        problems = list(_problems(candidate, config, paths))
        unread = list(_unreadable(candidate, config, paths))
        if problems and user is not None:
            raise UsageError(f"cannot run as user {user}: {problems[0]}")
        if user is not None or not problems + unread:
            return _become(
                candidate, config, paths, [*warnings, *(f"pycarp reload will fail: {each}" for each in unread)]
            )
        warnings.append(f"does not run as {_described(candidate)}: {(problems + unread)[0]}")
    return Outcome(warnings=tuple(warnings))


def _candidates(user: str | None) -> list[User]:
    root = replace(User.present(), name=_ROOT)
    if user is not None:
        named = User.named(user)
        if named.uid != root.uid and not privileges.may_become_others():
            raise UsageError(f"cannot become user {user} without CAP_SETUID and CAP_SETGID; let systemd's User= do it")
        return [named if named.uid != root.uid else root]
    try:
        return [*([User.named(SERVICE_USER)] if privileges.may_become_others() else []), root]
    except UsageError:
        return [root]


def _described(user: User) -> str:
    return "root without the right to pass over permissions" if user.uid == 0 else f"user {user.name}"


def _reduce_only(user: str | None) -> Outcome:
    if user is not None and User.named(user).uid != os.geteuid():
        raise UsageError(f"only root can become user {user}; start pycarp as root or as {user}")
    return _outcome(_reduced(User.present()), ())


def _become(user: User, config: NodeConfig, paths: Paths, warnings: list[str]) -> Outcome:
    state_owner.give(paths.state, uid=user.uid, gid=user.gid)
    if paths.state == state_folder.DEFAULT:
        # Without it nothing but drains is lost by a reboot, which pycarp drain says then.
        with contextlib.suppress(ConfigError):
            state_owner.give(state_folder.LASTING, uid=user.uid, gid=user.gid)
    if _is_ours_to_make(paths.control):
        state_owner.give(paths.control.parent, uid=user.uid, gid=user.gid)
    # Real-time scheduling is for those with CAP_SYS_NICE, and stays.
    be_punctual(config.hosts)
    with privileges.guardian_may_be_protected():
        problems = _reduced(user)
    return _outcome(problems, warnings)


def _reduced(user: User) -> list[str]:
    """Reduce, and return what could not be given up; UsageError when the user cannot be changed."""
    try:
        return privileges.reduce(user)
    except OSError as exc:
        if user.uid != os.geteuid():
            raise UsageError(f"cannot become user {user.name}: {exc.strerror or exc}") from exc
        return [f"cannot give up capabilities: {exc.strerror or exc}"]


def _outcome(problems: list[str], warnings: tuple[str, ...] | list[str]) -> Outcome:
    return Outcome(notes=(f"runs as {privileges.in_words()}",), warnings=(*warnings, *problems))


def _is_ours_to_make(control: Path) -> bool:
    """Return whether the folder of the control socket is the one that daemons make themselves."""
    return control.parent == state_folder.DEFAULT


def _problems(user: User, config: NodeConfig, paths: Paths) -> Iterator[str]:
    """Yield why the daemon could not work as a user."""
    folders = [] if _is_ours_to_make(paths.control) else [paths.control.parent]
    folders += [paths.record.parent] if paths.record else []
    folders += [paths.state] if paths.state.exists() and not _will_be_given(paths.state, user) else []
    with privileges.rehearsed(user):
        for program in _program():
            if not _may(program, os.R_OK):
                yield f"it may not read the program {program}; install pycarp where everybody may read it"
        for folder in folders:
            if folder.is_dir() and not _may(folder, os.W_OK | os.X_OK):
                yield f"it may not write in {folder}; choose a folder of that user"


def _will_be_given(state: Path, user: User) -> bool:
    owner = state.stat().st_uid
    return owner in (0, user.uid) or state_folder.given_to(state) == owner


def _unreadable(user: User, config: NodeConfig, paths: Paths) -> Iterator[str]:
    with privileges.rehearsed(user):
        for file in [paths.config, *config.secrets]:
            if not _may(file, os.R_OK):
                hint = "put it into a folder of root" if user.uid == 0 else f"chgrp {user.name} and chmod 640 let it"
                yield f"it may not read {file}; {hint}"


def _program() -> list[Path]:
    found = [Path(sys.executable).resolve(), Path(guardian_program.__file__).resolve()]
    pyroute2 = importlib.util.find_spec("pyroute2")
    return found + ([Path(pyroute2.origin)] if pyroute2 and pyroute2.origin else [])


def _may(path: Path, mode: int) -> bool:
    return os.access(safe_files.absolute(path), mode, effective_ids=True)
