"""Makes a first configuration: commented TOML for every host of a set, from a few decisions."""

import json
import re
import secrets
import string
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_interface

import msgspec

from pycarp.core.host_settings import problems_of
from pycarp.errors import ConfigError, UsageError
from pycarp.vocabulary import Address, InterfaceAddress

CONFIGURATION = "/etc/pycarp/carp.toml"
"""The path of the configuration on each host."""

HOSTS_MOST = 50
_LAST_ADVSKEW = 200
_USUAL_STEP = 100
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_LETTERS = string.ascii_letters + string.digits
PASSWORD_LENGTH = 19
"""The most octets that a password can have: 113 bits of chance."""

_CHECK = """\
# A check of the service moves the addresses when the service fails. For one, take the # away:
# [[host.check]]
# name = "service"
# tcp = "127.0.0.1:80"
# every = "2s"
"""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions for a set of hosts, the preferred one first.

    ``interfaces`` has the interface of each host by its name; ``own`` the addresses from which each one sends, where
    they speak to each other instead of to the group. ``password_file`` is as the files of the hosts name it.

    Raises ConfigError for names that cannot be those of files, for more than 50 hosts, and for what is no virtual host.
    """

    hosts: tuple[str, ...]
    interfaces: Mapping[str, str]
    vhid: int
    addresses: tuple[InterfaceAddress, ...]
    name: str
    password_file: str
    preempt: bool = True
    advbase: int = 1
    own: Mapping[str, tuple[Address, ...]] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_hosts(self.hosts)
        check_name(self.name)
        _check_own(self)
        for host in self.hosts:
            if problems := problems_of(self.settings_of(host)):
                raise ConfigError("\n".join(dict.fromkeys(map(str, problems))))

    @property
    def advskews(self) -> dict[str, int]:
        """The advskew of each host: 100 apart, or closer together for more than three hosts."""
        step = min(_USUAL_STEP, _LAST_ADVSKEW // max(len(self.hosts) - 1, 1))
        return {host: number * step for number, host in enumerate(self.hosts)}

    def peers_of(self, host: str) -> tuple[Address, ...]:
        """Return the addresses of the other hosts; none if they speak to the group."""
        return tuple(each for other in self.hosts if other != host for each in self.own.get(other, ()))

    def settings_of(self, host: str) -> dict[str, object]:
        """Return the settings of a host but its password, as ``HostConfig`` calls them."""
        return {
            "interface": self.interfaces[host],
            "vhid": self.vhid,
            "addresses": self.addresses,
            "name": self.name,
            "advbase": self.advbase,
            "advskew": self.advskews[host],
            "preempt": self.preempt,
            "peers": self.peers_of(host),
        }

    def text_of(self, host: str) -> str:
        """Return the TOML of a host, with comments."""
        return "".join(f"{each}\n" for each in self._lines(host)) + f"\n{_CHECK}"

    def _lines(self, host: str) -> Iterator[str]:
        shared = ", ".join(str(each.ip) for each in self.addresses)
        yield f"# Host {host}, written by pycarp init: {_listed(self.hosts)} share {shared}."
        yield f"# It goes to {CONFIGURATION} there. After a change: pycarp check, then pycarp reload."
        yield ""
        yield "[[host]]"
        yield "# What status and log call it; so is the device that carries the virtual MAC address."
        yield f"name = {_quoted(self.name)}"
        yield "# The network device on which clients reach the addresses."
        yield f"interface = {_quoted(self.interfaces[host])}"
        yield "# The same on every host of the set, and used by no other CARP or VRRP set of the segment: 1-255."
        yield f"vhid = {self.vhid}"
        yield "# The same on every host. No machine has them as addresses of its own."
        yield f"addresses = [{', '.join(_quoted(str(each)) for each in self.addresses)}]"
        yield "# A file whose first line is the password, the same on every host; only its owner may read it."
        yield f"password_file = {_quoted(self.password_file)}"
        yield "# Seconds between advertisements, the same on every host; a MASTER that misses three is relieved."
        yield f"advbase = {self.advbase}"
        ranks = ", ".join(f"{each} {advskew}" for each, advskew in self.advskews.items())
        yield f"# 1/256 s more; the host with the smallest is preferred: {ranks}."
        yield f"advskew = {self.advskews[host]}"
        yield f"# {self._about_preempt()}"
        yield f"preempt = {json.dumps(self.preempt)}"
        if peers := self.peers_of(host):
            yield "# The own addresses of the other hosts: advertisements go to them instead of to a multicast group."
            yield f"peers = [{', '.join(_quoted(str(each)) for each in peers)}]"

    def _about_preempt(self) -> str:
        if self.preempt:
            return "Take over from a host with a larger advskew; false leaves the addresses where they are."
        return "Leave the addresses where they are; true takes over from a host with a larger advskew."


def password() -> str:
    """Return a password that nobody can guess, of letters and digits that need no quotes anywhere."""
    return "".join(secrets.choice(_LETTERS) for _ in range(PASSWORD_LENGTH))


def check_hosts(hosts: Sequence[str]) -> None:
    """Raise ConfigError unless these can be the names of the hosts of a set, and of their files."""
    if not 1 <= len(hosts) <= HOSTS_MOST:
        raise ConfigError(f"{len(hosts)} hosts; a set has 1-{HOSTS_MOST}, as in --hosts a,b")
    for each in hosts:
        _check_plain(each, "a name of a host", "--hosts a,b")
    if twice := sorted({each for each in hosts if hosts.count(each) > 1}):
        raise ConfigError(f"host {twice[0]} is named twice; give each host of the set a name of its own")


def check_name(name: str) -> None:
    """Raise ConfigError unless this can be the name of a virtual host, and of its password file."""
    _check_plain(name, "a name of a virtual host here", "--name carp1")


def _check_plain(name: str, what: str, example: str) -> None:
    if not _PLAIN.fullmatch(name):
        rule = "up to 63 letters, digits, '.', '_' and '-', because files are called so"
        raise ConfigError(f"{name!r} is not {what}: {rule}; as in {example}")


def _check_own(proposal: Proposal) -> None:
    if not proposal.own:
        return
    if strange := [each for each in proposal.own if each not in proposal.hosts]:
        raise ConfigError(
            f"--unicast names {strange[0]}, which is no host of the set; it has {_listed(proposal.hosts)}"
        )
    for host in proposal.hosts:
        for shared in proposal.addresses:
            if not any(each.version == shared.version for each in proposal.own.get(host, ())):
                family = f"IPv{shared.version}"
                raise ConfigError(
                    f"--unicast has no {family} address of {host}, and {shared.ip} is shared in {family}; "
                    f"as in --unicast {host}=ADDRESS"
                )


def with_prefix(text: str, networks: Sequence[InterfaceAddress], link: str) -> InterfaceAddress:
    """Return a shared address; one without a prefix length has that of the network of ``link`` in which it is.

    Raises UsageError for text that is no address, for an address in none of the ``networks`` without a prefix length,
    and for one that stands for its whole network.
    """
    try:
        address = ip_interface(text)
    except ValueError:
        raise UsageError(f"{text!r} is no IPv4 or IPv6 address; write it as 192.0.2.10/24 or 2001:db8::10/64") from None
    if "/" not in text:
        fitting = [each for each in networks if each.version == address.version and address.ip in each.network]
        if not fitting:
            there = ", ".join(str(each.network) for each in networks) or "none"
            raise UsageError(
                f"{text} is in no network of {link}, which has {there}; add a prefix length, as in "
                f"{text}/{24 if address.version == 4 else 64}, or name another --interface"
            )
        address = ip_interface(f"{address.ip}/{fitting[0].network.prefixlen}")
    network = address.network
    if address.version == 4 and network.num_addresses > 2 and address.ip in (network[0], network[-1]):
        raise UsageError(f"{address} is the network or the broadcast address of {network}; choose one between them")
    return address


def _quoted(text: str) -> str:
    """Return text as a string of TOML."""
    return json.dumps(text, ensure_ascii=False)


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
