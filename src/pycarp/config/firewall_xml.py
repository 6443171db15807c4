"""The config.xml of OPNsense and pfSense: virtual IPs of mode carp. Source: OPNsense's model of virtual IPs.

Both run FreeBSD's CARP. An alias with a vhid, or in pfSense on ``_vip`` of a virtual IP, is one more address of it.
Both set ``net.inet.carp.preempt``, OPNsense unless ``disablepreempt`` says otherwise.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from typing import Any

from pycarp.auth.key import PASSPHRASE_MAX
from pycarp.config.host_building import secret_of
from pycarp.config.model import NodeConfig
from pycarp.config.netmask_words import why_no_host_has
from pycarp.config.parents import NoParentError, Parents, unused_renames
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.shell_script import Word
from pycarp.config.source_text import plain
from pycarp.config.xml_elements import Element, XmlError
from pycarp.config.xml_elements import read as read_xml
from pycarp.core.host_config import HostConfig
from pycarp.dialects import UNIVERSAL, Dialect
from pycarp.errors import SettingProblem, SettingProblems
from pycarp.vocabulary import CARP_GROUPS, HostKey, InterfaceAddress, LinkFacts

_ROOTS = ("opnsense", "pfsense")
_SECTIONS = ("interfaces", "virtualip", "hasync", "sysctl", "system", "virtualip_carp_maintenancemode")
_PREFIX = "net.inet.carp."
_PREEMPT = f"{_PREFIX}preempt"
_SYSCTLS = ("allow", "log", "demotion", "senderr_demotion_factor", "ifdown_demotion_factor")
_OFF = ("", "0", "no", "off", "false")
_OF_A_VIP = "_vip"
_UNSAFE = re.compile(r"[\s'\"\\]")
_NUMBERS = {"vhid": "vhid", "advbase": "advbase", "advskew": "advskew"}
_OTHER_MODES = {
    "proxyarp": "pycarp answers for no addresses that it does not share",
    "other": "it is routed here, and nobody answers for it",
}


def read(
    text: str,
    *,
    file: str,
    links: Sequence[LinkFacts] = (),
    renames: Mapping[str, str] | None = None,
    dialect: Dialect = UNIVERSAL,
) -> NodeConfig:
    """Return the hosts of the virtual IPs; arguments and errors are those of ``rcconf.read``.

    ``renames`` may name an interface as the firewall does (``lan``), or its device (``em0``).
    """
    reader = _Reader(file, Parents({}, links), renames or {}, dialect)
    try:
        root = read_xml(plain(text), _SECTIONS)
    except XmlError as exc:
        raise ConfigProblems([Problem(file, exc.line, exc.column, str(exc), exc.hint)]) from None
    config = reader.read(root)
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return config


@dataclass(slots=True)
class _Vip:
    """A virtual IP of mode carp, and the aliases that go with it."""

    element: Element
    link: str
    aliases: list[Element] = field(default_factory=list)

    @property
    def vhid(self) -> str:
        return self.element.text_of("vhid")


class _Reader:
    """Collects hosts, and problems instead of stopping at the first."""

    def __init__(self, file: str, parents: Parents, renames: Mapping[str, str], dialect: Dialect) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._parents = parents
        self._renames = renames
        self._dialect = dialect
        self._notes: list[str] = []
        self._devices: dict[str, str] = {}
        self._hosts: list[HostConfig] = []
        self._places: dict[HostKey, tuple[int, int]] = {}
        self._preempts = True

    def read(self, root: Element) -> NodeConfig:
        """Return what the file says."""
        if root.name not in _ROOTS:
            self._complain(root, f"this is <{root.name}>, and not the config.xml of OPNsense or pfSense")
            return NodeConfig(hosts=())
        self._devices = {
            each.name: each.text_of("if") or each.name
            for section in root.all("interfaces")
            for each in section.children
        }
        sysctls = self._sysctls(root)
        self._read_node(root)
        for vip in self._vips(root):
            self._add(vip)
        if not self._hosts and not self.problems:
            self._complain(root, "no virtual IP of mode carp is here", "give the file of a firewall that has one")
        names = [*self._devices, *self._devices.values()]
        for complaint, hint in unused_renames(self._renames, names):
            self._complain(root, complaint, hint)
        system = root.first("system")
        return NodeConfig(
            hosts=tuple(self._hosts),
            hostname=system.text_of("hostname") if system else "",
            sysctls=sysctls,
            notes=tuple(self._notes),
            own=self._own(root),
            places=self._places,
        )

    def _read_node(self, root: Element) -> None:
        """Read what is said about the machine as a whole."""
        for each in root.all("hasync"):
            off = each.first("disablepreempt")
            if off is not None and off.text.lower() not in _OFF:
                self._preempts = False
            if each.text_of("pfsyncenabled").lower() not in _OFF or each.text_of("pfsyncinterface"):
                self._note(each, "pfsync: pycarp moves addresses only; conntrackd takes connections along")
            if each.text_of("synchronizetoip"):
                self._note(each, "synchronizetoip: pycarp copies no configuration to the other host")
        for each in root.all("virtualip_carp_maintenancemode"):
            self._note(each, "maintenance mode: left out; pycarp drain --all --persist does the same")

    def _sysctls(self, root: Element) -> tuple[tuple[str, int], ...]:
        found: list[tuple[str, int]] = []
        for item in (item for section in root.all("sysctl") for item in section.all("item")):
            name, value = item.text_of("tunable"), item.text_of("value")
            if not name.startswith(_PREFIX) or value == "default":
                continue
            if not re.fullmatch(r"-?[0-9]{1,9}", value):
                self._complain(item, f"{name} is {value!r}, which is no whole number", "write a number")
            elif name == _PREEMPT:
                self._preempts = value != "0"
            elif name.removeprefix(_PREFIX) in _SYSCTLS:
                found.append((name, int(value)))
            else:
                self._note(item, f"{name}: pycarp has no such sysctl")
        return tuple(found)

    def _vips(self, root: Element) -> list[_Vip]:
        entries = [each for section in root.all("virtualip") for each in section.all("vip")]
        vips = [_Vip(each, self._link(each)) for each in entries if each.text_of("mode") == "carp"]
        for each in entries:
            if each.text_of("mode") != "carp":
                self._attach(each, vips)
        return vips

    def _attach(self, entry: Element, vips: Sequence[_Vip]) -> None:
        """Give an alias to its virtual IP; note one that belongs to none."""
        mode, address = entry.text_of("mode"), entry.text_of("subnet")
        if why := _OTHER_MODES.get(mode):
            self._note(entry, f"{mode} {address}: {why}")
            return
        interface, vhid = entry.text_of("interface"), entry.text_of("vhid")
        for vip in vips:
            unique = vip.element.text_of("uniqid")
            is_of = unique and interface == _OF_A_VIP + unique
            if is_of or (vhid and vhid == vip.vhid and interface == vip.element.text_of("interface")):
                vip.aliases.append(entry)
                return
        if vhid or interface.startswith(_OF_A_VIP):
            self._complain(entry, f"{address} belongs to a virtual IP that is not here", "take it out, or add that one")
        else:
            self._note(entry, f"{mode or 'alias'} {address}: it is not shared; give it to the machine itself")

    def _link(self, entry: Element) -> str:
        """Return what the interface of a virtual IP is called here; complain about one that cannot be."""
        name = entry.text_of("interface")
        if not name:
            return ""
        device = self._devices.get(name, name)
        link = self._renames.get(name) or self._renames.get(device) or device
        try:
            self._parents.check(link)
        except NoParentError as exc:
            self._complain(
                entry.first("interface") or entry, str(exc), exc.hint.replace(f"--map {link}=", f"--map {name}=")
            )
        return link

    def _add(self, vip: _Vip) -> None:
        entry = vip.element
        missing = [each for each in ("interface", "vhid", "subnet", "password") if not entry.text_of(each)]
        for each in missing:
            self._complain(entry, f"{each} is missing", f"add <{each}>; every host of the set has one")
        numbers = self._numbers(entry)
        addresses = [self._address(each) for each in (entry, *vip.aliases) if each.text_of("subnet")]
        secret = self._secret(entry)
        if missing or numbers is None or None in addresses or secret is None:
            return
        settings: dict[str, Any] = {
            "interface": vip.link,
            "passphrase": secret,
            "addresses": tuple(each for each in addresses if each is not None),
            "name": self._name(entry),
            "preempt": self._preempts,
            "dialect": self._dialect,
            **self._peers(entry),
            **numbers,
        }
        try:
            host = HostConfig(**settings)
        except SettingProblems as exc:
            self._complain_of(exc.problems, vip)
            return
        if any(each.key == host.key for each in self._hosts):
            hint = "give each virtual IP of an interface a vhid of its own, or make one an alias with that vhid"
            self._complain(entry, f"vhid {host.vhid} stands twice on {host.interface}", hint)
            return
        self._hosts.append(host)
        self._places[host.key] = (entry.line, entry.column)

    def _numbers(self, entry: Element) -> dict[str, int] | None:
        """Return the numbers that are said; None if one is none, which is complained about."""
        found: dict[str, int] = {}
        is_right = True
        for name in _NUMBERS:
            text = entry.text_of(name)
            if re.fullmatch(r"[0-9]{1,9}", text):
                found[name] = int(text)
            elif text:
                is_right = False
                self._complain(entry.first(name) or entry, f"{name} {text!r} is no whole number", "write a number")
        return found if is_right else None

    def _address(self, entry: Element) -> InterfaceAddress | None:
        text, length = entry.text_of("subnet"), entry.text_of("subnet_bits")
        where = entry.first("subnet") or entry
        try:
            address = ip_interface(f"{text}/{length}" if length else text)
        except ValueError:
            self._complain(
                where, f"{text}/{length} is no address with a prefix length", "correct <subnet>, <subnet_bits>"
            )
            return None
        if why := why_no_host_has(address.ip):
            self._complain(where, why)
            return None
        return address

    def _secret(self, entry: Element) -> Any:
        where = entry.first("password")
        if where is None or not where.text:
            return None
        octets = where.text.encode()
        if len(octets) > PASSPHRASE_MAX:
            self._note(where, f"password: FreeBSD uses its first {PASSPHRASE_MAX} octets, and so does this")
        elif _UNSAFE.search(where.text):
            why = "releases of the firewall differ in blanks, quotes and backslashes; choose one of letters and digits"
            self._note(where, f"password: {why}")
        kept = octets[:PASSPHRASE_MAX].decode("utf-8", "ignore")
        return secret_of(
            Word(kept, where.line, where.column), lambda _word, text, hint: self._complain(where, text, hint)
        )

    def _peers(self, entry: Element) -> dict[str, Any]:
        """Return the peers, and the multicast group if another one stands in their place, as settings."""
        texts = [entry.text_of("peer"), entry.text_of("peer6")]
        if entry.text_of("carp_mode") == "ucast":
            texts.append(entry.text_of("carp_peer"))
        found: dict[str, Any] = {"peers": ()}
        for text in filter(None, texts):
            try:
                address = ip_address(text)
            except ValueError:
                self._complain(entry, f"peer {text} is no address", "write the address of the other host")
                continue
            if not address.is_multicast:
                found["peers"] += (address,)
            elif address not in CARP_GROUPS.values():
                found["multicast_group"] = address
        return found

    def _name(self, entry: Element) -> str:
        """Return the description, if no other virtual IP has the same; else nothing."""
        name = " ".join(entry.text_of("descr").split())
        return name if name.isprintable() and name not in [each.name for each in self._hosts] else ""

    def _own(self, root: Element) -> dict[str, tuple[InterfaceAddress, ...]]:
        """Return the machine's own addresses, as far as the file says them."""
        found: dict[str, tuple[InterfaceAddress, ...]] = {}
        for each in (each for section in root.all("interfaces") for each in section.children):
            device = self._devices[each.name]
            link = self._renames.get(each.name) or self._renames.get(device) or device
            for address, length in (("ipaddr", "subnet"), ("ipaddrv6", "subnetv6")):
                try:
                    own = ip_interface(f"{each.text_of(address)}/{each.text_of(length)}")
                except ValueError:
                    continue  # "dhcp" and the like.
                found[link] = (*found.get(link, ()), own)
        return found

    def _complain_of(self, problems: Sequence[SettingProblem], vip: _Vip) -> None:
        for problem in problems:
            where = vip.element.first(problem.setting) or vip.element
            if problem.setting == "addresses" and problem.index is not None:
                where = (vip.element, *vip.aliases)[problem.index]
            self._complain(where, problem.text, problem.hint)

    def _complain(self, where: Element, text: str, hint: str = "") -> None:
        self.problems.append(Problem(self._file, where.line, where.column, text, hint))

    def _note(self, where: Element, text: str) -> None:
        self._notes.append(f"{self._file}:{where.line}: {text}")
