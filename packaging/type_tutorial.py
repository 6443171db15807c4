"""Type what pages say, and nothing else, on fresh machines; fail where a command does, or where a page is wrong.

    sudo .venv/bin/python packaging/type_tutorial.py [PAGE]...
    sudo python packaging/type_tutorial.py --debian FOLDER [--bind PATH]... [--copy PATH]... [PAGE]...

The pages are readme (which goes on in the guide docs/howto/run.md), lab, nginx and agent; without a name all of them.

Alone it is quick: it types on overlays of this machine, fetches nothing, takes the virtual environment that runs it for
each that a page makes, and types all pages at once. It needs what .ci/run installs.
With --debian everything is installed as the pages say, on overlays of the folder:
debootstrap --variant=minbase --include=ca-certificates,iproute2 bookworm FOLDER makes one.
--bind shows a folder of this machine to the new ones, read-only, --copy copies one, where packages come from somewhere
else than usual.

At the end it says how many commands were typed for each page, and how long that took.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fresh_machines import ROOT, SOURCE, Machine, Machines, Running, Terminal, TypingError, wait_until

DOCS = ROOT / "docs"
README = ROOT / "README.md"
GUIDE = DOCS / "howto" / "run.md"
LAB = DOCS / "tutorials" / "three-hosts-in-the-lab.md"
NGINX = DOCS / "tutorials" / "two-machines-with-nginx.md"
AGENT = DOCS / "tutorials" / "your-first-agent.md"
SHARED = "192.0.2.10"
PAIR = {"a": "192.0.2.1", "b": "192.0.2.2"}
CLIENT = {"client": "192.0.2.3"}
WITH_PYTHON = "python3-venv"
"""What README and the guide take for granted: a machine with Python. Tutorials say what they need."""
_OF_FAILED_TESTS = 1
_ANSWERED_AGAIN = 5
"""So many answers show that a client is served again after a failure."""


def sections(page: Path) -> dict[str, str]:
    """Return the text of a page by its headings."""
    parts = re.split(r"^## (?:\d\. )?(.+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(text: str) -> list[str]:
    """Return the lines of the shell blocks, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"(^| +)# .*", "", line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def block(text: str, mark: str = "") -> str:
    """Return the one block of code that is not of the shell, or the one with a mark."""
    before = f"<!-- {re.escape(mark)} -->\n" if mark else ""
    (found,) = re.findall(rf"^{before}```(?:toml|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(found)


def type_readme(machines: Machines) -> int:
    """Follow README and the guide, up to an upgrade."""
    text, guide = sections(README), sections(GUIDE)
    a = machines.fresh("a", WITH_PYTHON)
    terminal = a.terminal()
    for command in [*commands(text["See it"]), *commands(guide["Install"])]:
        terminal.type(command)
    b = machines.like(a, "b")
    machines.connect(PAIR)
    typed = _type_pair_of_readme(text["Run it"], a, b)
    _type_guide(guide, a, b)
    return typed


def _type_pair_of_readme(text: str, a: Machine, b: Machine) -> int:
    a.write(SOURCE / "web.toml", block(text))
    b.write(SOURCE / "web.toml", block(text).replace("advskew = 0", "advskew = 100"))
    prepare, check, run, status, hand_over, install = commands(text)[:6]
    terminals = {each: each.terminal() for each in (a, b)}
    for terminal in terminals.values():
        terminal.type(prepare)
        terminal.type(check)
    running = [a.run(run)]
    running[0].wait(partial(a.has_address, SHARED), f"a has {SHARED}")
    running.append(b.run(run))
    running[1].wait(lambda: "INIT -> BACKUP" in running[1].said(), "b takes part")
    for terminal in terminals.values():
        terminal.type(status)
    terminals[a].type(hand_over)
    running[1].wait(partial(b.has_address, SHARED), f"b has {SHARED}")
    for each in running:
        each.interrupt()
    for machine, terminal in terminals.items():
        terminal.type(install)
        machine.look("rm /etc/systemd/system/pycarp.service; rm -r /etc/pycarp")
    return a.typed + b.typed


def _type_guide(guide: dict[str, str], a: Machine, b: Machine) -> None:
    """Follow the guide in one folder, /etc/pycarp, as root."""
    shared = "192.168.1.50"
    for machine, own in ((a, "192.168.1.3/24"), (b, "192.168.1.4/24")):
        machine.look(f"ip addr add {own} dev eth0; mkdir -p /etc/pycarp")
    first = guide["The first configuration"]
    a.write("/etc/pycarp/carp.toml", block(first))
    mode, check, run = [each for each in commands(first) if "=" not in each]
    terminal, other = a.terminal(Path("/etc/pycarp")), b.terminal(SOURCE)
    terminal.type(mode)
    terminal.type(check)
    running = a.run(run)
    running.wait(partial(a.has_address, shared), f"a has {shared}")
    running.interrupt()
    for command in commands(guide["The second host"]):
        terminal.type(command)
    b.write("/etc/pycarp/carp.toml", (a.root / "etc/pycarp/carp-b.toml").read_text())
    for command in commands(guide["As a service"]):
        terminal.type(command)
        other.type(command)
    wait_until(partial(a.has_address, shared), f"a has {shared}")
    upgrade, change = guide["Maintenance and upgrades"].split("A new configuration", 1)
    terminal = a.terminal()
    for command in commands(upgrade):
        terminal.type(command)
    wait_until(partial(b.has_address, shared), f"b has {shared}")
    for command in commands(change):
        terminal.type(command)


def type_lab(machines: Machines) -> int:
    """Follow the tutorial with three hosts in the lab."""
    text = sections(LAB)
    machine = machines.fresh("lab")
    machine.look("mount -t sysfs sysfs /sys")
    terminal = machine.terminal()
    for command in commands(text["Install"]):
        terminal.type(command)
    for command in commands(text["Watch a scripted failure"]):
        terminal.type(command, may_be_late=True)
    keep, *rest = commands(text["Enter the machines"])
    running = machine.run(keep)
    running.wait(lambda: "Ctrl-C" in running.said(), "the lab waits")
    second = machine.terminal()
    for command in rest:
        second.type(command)
    for section in ("Hand the address over", "Pull the cable", "See the packets"):
        for command in commands(text[section]):
            second.type(command)
    running.interrupt()
    if left := machine.look("ip netns list"):
        raise TypingError(f"the lab has left {left}")
    return machine.typed


def type_nginx(machines: Machines) -> int:
    """Follow the tutorial with two machines and nginx; return how many commands there are up to the pair."""
    text = sections(NGINX)
    a = machines.fresh("a")
    terminal = a.terminal()
    for command in commands(text["Install, on both"]):
        terminal.type(command)
    b, client = machines.like(a, "b"), machines.like(a, "client")
    client.typed = 0
    machines.connect({**PAIR, **CLIENT})
    terminals = {each: each.terminal() for each in (a, b)}
    # Debian starts it when it is installed.
    for each in (a, b):
        each.look("nginx")
    (init,) = commands(text["Write the configuration, on a"])
    copying, _then = terminals[a].type(init).split("Then on each of them:")
    for command in re.findall(r"^  (.+)$", copying, re.MULTILINE):
        terminals[a].type(command)
    follow = text["Let the address follow nginx, on both"]
    for each, terminal in terminals.items():
        each.write("/etc/pycarp/carp.toml", f"\n{block(follow)}", append=True)
        for command in [*commands(follow), *commands(text["Start it, on both"])]:
            terminal.type(command)
    wait_until(partial(a.has_address, SHARED), "a is MASTER")
    typed = a.typed + b.typed
    _let_it_fail(commands(text["Let something fail"]), a, b, client, terminals[a])
    return typed


def _has_answers(asking: Running, wanted: int) -> bool:
    return asking.said().count("200") >= wanted


def _let_it_fail(lines: list[str], a: Machine, b: Machine, client: Machine, terminal: Terminal) -> None:
    """Type what lets the MASTER fail while a client asks, and look whether the other machine takes over."""
    ask, *failing = lines
    asking = client.run(ask)
    asking.wait(lambda: "200" in asking.said(), "the client is answered")
    for command in failing:
        terminal.type(command)
        if "KILL" in command:
            # systemd starts the daemon again within a second, and the preferred host takes the address back.
            asking.wait(lambda: a.has_address(SHARED) or b.has_address(SHARED), f"one is MASTER after {command}")
        else:
            owner = b if any(each in command for each in ("stop nginx", " drain")) else a
            asking.wait(partial(owner.has_address, SHARED), f"{owner.name} is MASTER after {command}")
        wanted = asking.said().count("200") + _ANSWERED_AGAIN
        asking.wait(partial(_has_answers, asking, wanted), f"the client is answered after {command}")
    # A request that fails is "000", and the word "failed".
    answers = [each for each in asking.interrupt(-2, 130).split() if each.isdecimal()]
    good = answers.count("200")
    print(f"client: {len(answers)} requests, {good} answered")
    if good < len(answers) * 0.7:
        raise TypingError(f"too many requests were lost: {' '.join(answers)}")


def type_agent(machines: Machines) -> int:
    """Follow the tutorial with the first agent."""
    text = sections(AGENT)
    machine = machines.fresh("dev", WITH_PYTHON)
    terminal = machine.terminal()
    for command in commands(text["Install"]):
        terminal.type(command)
    machine.write(SOURCE / "agent.py", block(text["Write it"]))
    machine.write(SOURCE / "test_agent.py", block(text["Test it"]))
    for command in commands(text["Test it"]):
        terminal.type(command)
    machine.write(SOURCE / "agent.py", block(text["Break it"], "the broken agent"))
    machine.write(SOURCE / "test_split.py", block(text["Break it"], "the test that finds it out"))
    for command in commands(text["Break it"]):
        terminal.type(command, exit_status=_OF_FAILED_TESTS)
    machine.write(SOURCE / "agent.py", block(text["Write it"]))
    for command in commands(text["Break it"]):
        terminal.type(command)
    return machine.typed


PAGES: dict[str, tuple[Callable[[Machines], int], str]] = {
    "readme": (type_readme, "up to README's pair"),
    "lab": (type_lab, "in all"),
    "nginx": (type_nginx, "up to the pair behind nginx, both machines together"),
    "agent": (type_agent, "in all"),
}


def type_page(name: str, debian: Path | None, binds: list[Path], copies: list[Path]) -> str:
    """Type one page in namespaces of its own, which are those of this process; return what is to be said of it."""
    typing, what = PAGES[name]
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            typed = typing(Machines(Path(scratch), debian=debian, binds=binds, copies=copies))
        finally:
            # What runs there ends with this process, and its mounts with it.
            subprocess.run(["umount", "--recursive", "--lazy", scratch], check=True)
    return f"{name}: {typed} commands {what}; {(time.monotonic() - begun_s) / 60:.1f} minutes in all"


@contextlib.contextmanager
def _isolated(argv: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Run this script in namespaces of its own; when it ends, everything in them does."""
    alone = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # The shell, process 1 there, waits for what others have left behind.
    command = [*alone, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, __file__, "--isolated", *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def type_all(names: list[str], argv: list[str], *, at_once: bool) -> int:
    """Type pages, each in a process; return how many failed."""
    failed = 0
    groups = [names] if at_once else [[name] for name in names]
    for group in groups:
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(_isolated([*argv, name])) for name in group]
            for process in processes:
                assert process.stdout is not None
                lines = []
                for line in process.stdout:
                    lines.append(line)
                    if not at_once:
                        print(line, end="", flush=True)
                failed += (status := process.wait()) != 0
                if at_once:
                    # All that was typed where something failed, else only what is said at the end.
                    print("".join(lines if status else lines[-1:]), end="", flush=True)
    return failed


def main() -> None:
    """Follow the pages, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    parser.add_argument("--debian", type=Path, metavar="FOLDER")
    parser.add_argument("--bind", type=Path, action="append", default=[])
    parser.add_argument("--copy", type=Path, action="append", default=[])
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if unknown := [each for each in said.pages if each not in PAGES]:
        parser.error(f"no page is called {unknown[0]}; there are {', '.join(PAGES)}")
    if said.debian and not (said.debian / "usr").is_dir():
        parser.error(f"there is no Debian in {said.debian}")
    if os.geteuid() != 0:
        sys.exit("it needs root")
    # A script that starts this with & has Ctrl-C ignored, and so would all that is typed here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if said.isolated:
        try:
            print(type_page(said.pages[0], said.debian, said.bind, said.copy))
        except TypingError as exc:
            sys.exit(f"{said.pages[0]}: {exc}")
        return
    # What is typed ends with this script also when that is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = [f"--debian={said.debian.resolve()}"] if said.debian else []
    for name in ("bind", "copy"):
        options += [f"--{name}={each.resolve()}" for each in getattr(said, name)]
    sys.exit(type_all(said.pages or [*PAGES], options, at_once=not said.debian and len(said.pages) != 1) and 1)


if __name__ == "__main__":
    main()
