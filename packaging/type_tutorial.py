"""Type what pages say, and nothing else, on fresh Debian machines in folders and network namespaces.

    sudo python packaging/type_tutorial.py FOLDER WITH A FRESH DEBIAN [--bind PATH]... [--copy PATH]...

The page is docs/tutorials/two-machines-with-nginx.md; with --pages first the beginning of README and of
docs/howto/run.md, up to the service. FOLDER is made once, and copied here:
debootstrap --variant=minbase --include=ca-certificates,iproute2 bookworm FOLDER. --bind shows a folder of this machine
to the new ones, read-only, --copy copies one, where packages come from somewhere else than usual.

No init system is started: a stand-in for systemctl does what the page asks of it. Each machine has a root, a /run,
a /tmp, a /proc, a name and a network of its own. At the end it says how many commands were typed, and how long it took.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorials" / "two-machines-with-nginx.md"
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "howto" / "run.md"
SHARED = "192.0.2.10"
HOSTS = {"a": "192.0.2.1", "b": "192.0.2.2", "client": "192.0.2.3"}
_WITHIN_S = 60.0
_NOT_WELL = 3

SYSTEMCTL = r"""#!/bin/bash
# Stands in for systemd: it does what the tutorial asks of it, and refuses everything else.
unit=/etc/systemd/system/pycarp.service
run() {
    mkdir -p /run/pycarp /var/lib/pycarp
    setsid $(sed -n 's/^ExecStart=//p' $unit) </dev/null >>/var/log/pycarp.log 2>&1 &
    echo $! >/run/pycarp.pid
    for _ in $(seq 100); do [ -S /run/pycarp/pycarp.sock ] && break; sleep 0.1; done
}
case "$*" in
daemon-reload) ;;
"enable --now pycarp") run ;;
"status pycarp") kill -0 "$(cat /run/pycarp.pid)" ;;
"stop nginx") nginx -s stop ;;
"start nginx") nginx ;;
"kill --signal=KILL pycarp") kill -9 "$(cat /run/pycarp.pid)"; sleep 1; run ;;
*) echo "systemctl $*: not of the tutorial" >&2; exit 1 ;;
esac
"""
STAND_INS = {
    "sudo": '#!/bin/sh\nexec "$@"\n',
    "ssh": "#!/bin/sh\n# The roots of all machines are below /machines.\nhost=${1#root@}; shift\n"
    'exec chroot "/machines/$host" "$@"\n',
    "scp": '#!/bin/sh\nto=${3#root@}\nexec cp -p "$2" "/machines/${to%%:*}${to#*:}"\n',
    "systemctl": SYSTEMCTL,
}
_POLICY = "#!/bin/sh\nexit 101\n"


class Typist:
    """Types commands on machines, shows and counts them."""

    def __init__(self, folder: Path, tag: str, binds: list[Path]) -> None:
        self.folder = folder
        self.tag = tag
        self.binds = binds
        self.typed: dict[str, int] = dict.fromkeys(HOSTS, 0)
        self._holders: dict[str, int] = {}

    def root(self, host: str) -> Path:
        """Return the root of a machine."""
        return self.folder / host

    def mounts(self, host: str, *, sees_others: bool) -> str:
        """Return shell commands that give a machine what is its own; run in a mount namespace."""
        root = self.root(host)
        lines = [f"mount -t tmpfs tmpfs {root}/{each}" for each in ("run", "tmp")]
        lines.append(f"mount -t proc proc {root}/proc")
        for bind in self.binds:
            lines += [f"mkdir -p {root}{bind}", f"mount --bind -o ro {bind} {root}{bind}"]
        for other in [each for each in ("a", "b") if sees_others and self.root(each).exists()]:
            lines += [f"mkdir -p {root}/machines/{other}", f"mount --bind {self.root(other)} {root}/machines/{other}"]
        return "\n".join(lines)

    @contextmanager
    def running(self, host: str) -> Iterator[None]:
        """Keep a machine: its namespaces live as long as a process in them."""
        namespace = f"{self.tag}-{host}"
        ready = self.folder / f"{host}.ready"
        script = f"set -e\nhostname {host}\n{self.mounts(host, sees_others=True)}\ntouch {ready}\nexec sleep 1200"
        argv = ["ip", "netns", "exec", namespace, "unshare", "--mount", "--uts", "--propagation", "private"]
        with subprocess.Popen([*argv, "sh", "-c", script]) as holder:
            self._holders[host] = holder.pid
            try:
                wait_until(ready.exists, f"{host} is made")
                yield
            finally:
                holder.kill()
                del self._holders[host]
                ready.unlink()

    def argv(self, host: str, command: str) -> list[str]:
        """Return how a command is run on a machine."""
        shell = ["chroot", str(self.root(host)), "/bin/bash", "-c", f"cd /root/pycarp; {command}"]
        if host not in self._holders:
            script = f'set -e\n{self.mounts(host, sees_others=False)}\nexec "$@"'
            return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *shell]
        return ["nsenter", "--target", str(self._holders[host]), "--mount", "--uts", "--net", *shell]

    def look(self, host: str, command: str) -> str:
        """Run a command that is not of the page, and return what it prints."""
        return subprocess.run(self.argv(host, command), capture_output=True, text=True, check=False).stdout

    def type(self, host: str, command: str) -> str:
        """Run a command of the page; end with what it said if it fails."""
        self.typed[host] += 1
        print(f"{host}$ {command}", flush=True)
        done = subprocess.run(self.argv(host, command), capture_output=True, text=True, check=False)
        ends_s = time.monotonic() + _WITHIN_S
        while done.returncode == _NOT_WELL and time.monotonic() < ends_s:
            # As the page says: after some seconds.
            time.sleep(1)
            done = subprocess.run(self.argv(host, command), capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Return when something is so; end when it does not become so within a minute."""
    ends_s = time.monotonic() + _WITHIN_S
    while not is_so():
        if time.monotonic() > ends_s:
            sys.exit(f"not so within {_WITHIN_S:.0f} s: {what}")
        time.sleep(0.2)


def sections(page: Path) -> dict[str, str]:
    """Return the text of a page by its headings."""
    parts = re.split(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(text: str) -> list[str]:
    """Return the lines of the shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def addition(text: str) -> str:
    """Return the configuration of a section, or what it adds to one."""
    (found,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(found)


@contextmanager
def network(tag: str) -> Iterator[None]:
    """Make a switch, and a namespace for each machine; remove them at the end."""
    names = [f"{tag}-{each}" for each in ("switch", *HOSTS)]
    made: list[str] = []
    try:
        for name in names:
            _ip("netns", "add", name)
            made.append(name)
        _ip("-n", names[0], "link", "add", "br0", "type", "bridge")
        _ip("-n", names[0], "link", "set", "dev", "br0", "up")
        for host, address in HOSTS.items():
            inside = f"{tag}-{host}"
            _ip("-n", inside, "link", "add", "eth0", "type", "veth", "peer", "name", host, "netns", names[0])
            _ip("-n", names[0], "link", "set", "dev", host, "master", "br0", "up")
            _ip("-n", inside, "addr", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", inside, "link", "set", "dev", link, "up")
        yield
    finally:
        for name in made:
            shown = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
            for pid in shown.split():
                os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def prepare(base: Path, root: Path, copies: list[Path]) -> None:
    """Make a fresh machine: a copy of a Debian, with the stand-ins, and no service that starts by itself."""
    subprocess.run(["cp", "-a", "--one-file-system", str(base), str(root)], check=True)
    for each in copies:
        target = root / each.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        # A folder is copied into the one that is there.
        subprocess.run(["cp", "-rT", str(each), str(target)], check=True)
    for name, text in {**STAND_INS, "policy-rc.d": _POLICY}.items():
        path = root / ("usr/sbin" if name == "policy-rc.d" else "usr/local/bin") / name
        path.write_text(text)
        path.chmod(0o755)


def fresh(typist: Typist, base: Path, copies: list[Path]) -> None:
    """Make machine a anew, and clone the source there."""
    if typist.root("a").exists():
        shutil.rmtree(typist.root("a"))
    prepare(base, typist.root("a"), copies)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(typist.root("a") / "root" / "pycarp")], check=True)
    typist.typed["a"] += 1
    print("a$ git clone ... pycarp && cd pycarp", flush=True)


def play_pages(typist: Typist, base: Path, copies: list[Path]) -> None:
    """Follow the beginning of README, and of the guide; what a page has at hand is not at hand before it says so."""
    readme, guide = sections(README), sections(GUIDE)
    fresh(typist, base, copies)
    (see,) = commands(readme["See it"])
    typist.type("a", see)
    for command in commands(guide["Install"]):
        typist.type("a", command)
    with network(typist.tag), typist.running("a"):
        play_readme(typist, readme["Run it"])
        play_guide(typist, guide)


def play_readme(typist: Typist, text: str) -> None:
    """Follow README's pair on one machine, whose peer is another one that never answers."""
    (typist.root("a") / "root" / "pycarp" / "web.toml").write_text(addition(text))
    for command in commands(text):
        bare = command.partition("#")[0].strip()
        if " run " in bare:
            _type_in_foreground(typist, bare, ["sudo pycarp status"])
        elif not any(each in bare for each in (" status", " handover ")):
            typist.type("a", bare)
    typist.look("a", "rm /etc/systemd/system/pycarp.service")


def play_guide(typist: Typist, guide: dict[str, str]) -> None:
    """Follow the guide up to the service."""
    typist.look("a", "ip addr add 192.168.1.3/24 dev eth0")
    first = guide["The first configuration"]
    (typist.root("a") / "etc" / "pycarp" / "carp.toml").write_text(addition(first))
    for command in commands(first):
        if command.startswith("pycarp run"):
            _type_in_foreground(typist, command, [])
        elif not re.match(r"#|\w+=", command):
            typist.type("a", command)
    for command in commands(guide["The second host"]):
        typist.type("a", f"cd /etc/pycarp && {command}")
    for command in commands(guide["As a service"]):
        typist.type("a", command)


def _type_in_foreground(typist: Typist, command: str, beside: list[str]) -> None:
    """Type a command that stays, others beside it, and Ctrl-C."""
    typist.typed["a"] += 1
    print(f"a$ {command}", flush=True)
    with subprocess.Popen(typist.argv("a", f"exec {command.removeprefix('sudo ')}"), stderr=subprocess.PIPE) as running:
        time.sleep(8)
        for each in beside:
            typist.type("a", each)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=10)[1].decode()
    if running.returncode:
        sys.exit(f"exit status {running.returncode}\n{said}")


def play(typist: Typist, base: Path, copies: list[Path]) -> None:
    """Follow the page."""
    text = sections(TUTORIAL)
    install, write, follow, start, fail = (
        next(text[each] for each in text if each.startswith(f"{n}. ")) for n in range(1, 6)
    )
    fresh(typist, base, copies)
    for command in commands(install):
        # A fresh image has no lists of packages yet, and nobody sits here to answer.
        answered = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y"
        typist.type("a", command.replace("apt install", f"sh -c '{answered} $*' sh"))
    # The same on b, whose reader types the same.
    typist.typed["b"] = typist.typed["a"]
    for host in ("b", "client"):
        subprocess.run(["cp", "-a", "--one-file-system", str(typist.root("a")), str(typist.root(host))], check=True)
    with ExitStack() as machines:
        machines.enter_context(network(typist.tag))
        for host in HOSTS:
            machines.enter_context(typist.running(host))
        for host in ("a", "b"):
            subprocess.run(typist.argv(host, "nginx"), check=True)
        (init,) = commands(write)
        printed = typist.type("a", init)
        copying, _then = printed.split("Then on each of them:")
        for command in re.findall(r"^  (.+)$", copying, re.MULTILINE):
            typist.type("a", command)
        for host in ("a", "b"):
            with (typist.root(host) / "etc" / "pycarp" / "carp.toml").open("a") as file:
                file.write(f"\n{addition(follow)}")
            for command in [*commands(follow), *commands(start)]:
                typist.type(host, command)
        wait_until(partial(_is_master, typist, "a"), "a is MASTER")
        print(typist.look("a", "pycarp status"))
        _let_it_fail(typist, commands(fail))


def _let_it_fail(typist: Typist, lines: list[str]) -> None:
    """Type what lets the MASTER fail while a client asks, and look whether the other machine takes over."""
    asking, *failing = lines
    log = typist.folder / "asked"
    with (
        log.open("w") as out,
        subprocess.Popen(typist.argv("client", asking), stdout=out, stderr=subprocess.STDOUT) as client,
    ):
        for command in failing:
            typist.type("a", command)
            leaves = any(each in command for each in ("stop nginx", " drain", "KILL"))
            owner = "b" if leaves else "a"
            wait_until(partial(_is_master, typist, owner), f"{owner} is MASTER after {command}")
        client.kill()
    answers = log.read_text().split()
    print(f"{len(answers)} requests: {answers.count('200')} answered, {len(answers) - answers.count('200')} not")


def _is_master(typist: Typist, host: str) -> bool:
    shown = typist.look(host, "ip -4 -o addr show")
    return f" {SHARED}/" in shown


def main() -> None:
    """Follow the page, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("--pages", action="store_true")
    parser.add_argument("--bind", type=Path, action="append", default=[])
    parser.add_argument("--copy", type=Path, action="append", default=[])
    said = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("it needs root")
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        typist = Typist(Path(folder), f"pctut{os.getpid()}", said.bind)
        if said.pages:
            play_pages(typist, said.base, said.copy)
            print(f"commands typed for README and the guide: {typist.typed['a']}")
            typist.typed["a"] = 0
        play(typist, said.base, said.copy)
    counts = ", ".join(f"{count} on {host}" for host, count in typist.typed.items() if count)
    print(f"commands typed: {counts}; {(time.monotonic() - begun_s) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
