"""What a process keeps when it becomes another user; each in a process of its own, which cannot go back."""

import json
import os
import subprocess
import sys

import pytest

from pycarp.errors import UsageError
from pycarp.system import privileges
from pycarp.system.privileges import User
from tests.support.system import require

PROGRAM = """
import json, os
from pycarp.system import privileges
problems = privileges.reduce(privileges.User.named({name!r}))
words = dict(line.rstrip().split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
kept = [words[each] for each in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
print(json.dumps([problems, os.getresuid(), os.getresgid(), os.getgroups(), kept, words["NoNewPrivs"]]))
"""
TWO = f"{1 << 12 | 1 << 13:016x}"


def test_a_user_is_found_by_name_and_by_number() -> None:
    root = User.named("root")

    assert (root.name, root.uid, root.gid) == ("root", 0, 0)
    assert 0 in root.groups
    assert User.named("0") == root


@pytest.mark.parametrize("name", ["nobody-of-this-name", "4000000000", "99999999999999999999"])
def test_a_user_who_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"there is no user '{name}' on this machine"):
        User.named(name)


def test_the_present_user_is_that_of_this_process() -> None:
    present = User.present()

    assert (present.uid, present.gid, set(present.groups)) == (os.geteuid(), os.getegid(), set(os.getgroups()))


@pytest.mark.system
@pytest.mark.parametrize("name", ["nobody", "root"])
def test_two_capabilities_are_kept_and_no_others(name: str) -> None:
    require()
    user = User.named(name)
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(name=name)], capture_output=True, text=True, check=True)

    problems, uids, gids, groups, kept, no_new_privileges = json.loads(done.stdout)
    assert (problems, uids, gids) == ([], [user.uid] * 3, [user.gid] * 3)
    assert set(groups) == set(user.groups)
    assert (kept, no_new_privileges) == ([TWO] * 5, "1")


@pytest.mark.system
def test_files_are_used_as_another_user_would_and_then_as_before() -> None:
    require()
    before = (os.geteuid(), os.getegid(), os.getgroups(), privileges.may_become_others())
    nobody = User.named("nobody")
    with privileges.rehearsed(nobody):
        during = (os.geteuid(), os.getegid(), set(os.getgroups()))
        with pytest.raises(PermissionError):
            os.listdir("/root")

    assert during == (nobody.uid, nobody.gid, set(nobody.groups))
    assert (os.geteuid(), os.getegid(), os.getgroups(), privileges.may_become_others()) == before
