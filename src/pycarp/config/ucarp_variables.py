"""ucarp in FreeBSD's rc.conf: ``ucarp_enable="YES"`` and its variables. Source: the rc script of the port net/ucarp."""

from collections.abc import Collection, Mapping

from pycarp.config.shell_script import Assignment, Word
from pycarp.config.ucarp_hosts import UcarpHosts
from pycarp.config.ucarp_settings import Setting, complain_of_blanks, likely, start

_PREFIX = "ucarp_"
_OPTIONS = {
    "ucarp_if": "interface",
    "ucarp_src": "srcip",
    "ucarp_addr": "addr",
    "ucarp_vhid": "vhid",
    "ucarp_passfile": "passfile",
    "ucarp_pass": "pass",
    "ucarp_advbase": "advbase",
    "ucarp_advskew": "advskew",
    "ucarp_upscript": "upscript",
    "ucarp_downscript": "downscript",
    "ucarp_deadratio": "deadratio",
    "ucarp_facility": "facility",
    "ucarp_xparam": "xparam",
}
_SWITCHES = {"ucarp_preempt": "preempt", "ucarp_shutdown": "shutdown"}
_ENABLE = "ucarp_enable"
_FLAGS = "ucarp_flags"
_KNOWN = {*_OPTIONS, *_SWITCHES, _ENABLE, _FLAGS}
_GENERAL = ("chdir", "chroot", "env", "fib", "group", "groups", "nice", "user", "prepend", "oomprotect")
_OF_EVERY_SCRIPT = {_PREFIX + each for each in _GENERAL}
_REQUIRED = ("ucarp_if", "ucarp_src", "ucarp_addr")
_YES, _NO = frozenset({"yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0", ""})


def interfaces(variables: Mapping[str, Assignment]) -> list[str]:
    """Return the interface that ucarp is given, if it is."""
    named = variables.get("ucarp_if")
    return [named.value] if named else []


def read(variables: Mapping[str, Assignment], hosts: UcarpHosts) -> str:
    """Add the virtual host that FreeBSD's script would start; return why it starts none where ucarp is spoken of."""
    said = {name: each for name, each in variables.items() if name.startswith(_PREFIX)}
    if not said:
        return ""
    meant = _complain_of_names(said, hosts)
    enable = said.get(_ENABLE)
    if enable is None or (enable.is_certain and not _is_yes(enable, hosts)):
        if said.keys() & _OPTIONS.keys():
            hosts.note(next(iter(said.values())).name.line, f"{_ENABLE} is not YES, so ucarp is not started")
        return f"{_ENABLE} is not YES, so FreeBSD would not start ucarp"
    doubtful = [each for name, each in said.items() if name in _KNOWN and not each.is_certain]
    for each in doubtful:
        hosts.complain(each.name, each.why_uncertain(), "write the value itself")
    if not doubtful:
        _start(said, enable, meant, hosts)
    return ""


def _start(said: Mapping[str, Assignment], enable: Assignment, meant: Collection[str], hosts: UcarpHosts) -> None:
    """Add the host; what was ``meant`` by a variable that is unknown is not missing."""
    settings = {
        option: Setting(name, _value(said[name]), hosts.file)
        for name, option in _OPTIONS.items()
        if name in said and said[name].value
    }
    for name in _REQUIRED:
        if _OPTIONS[name] not in settings and name not in meant:
            hosts.complain(enable.name, f"{name} is missing", f'add {name}="..."')
    if not {"pass", "passfile"} & settings.keys() and not {"ucarp_pass", "ucarp_passfile"} & {*meant}:
        hosts.complain(enable.name, "ucarp_pass is missing", "add ucarp_passfile, or ucarp_pass")
    if "pass" in settings and "passfile" in settings:
        hosts.note(settings.pop("pass").value.line, "ucarp_passfile counts, not ucarp_pass")
    complain_of_blanks(hosts, {name: each for name, each in settings.items() if name != "xparam"}, "FreeBSD's script")
    settings.setdefault("vhid", Setting("ucarp_vhid", Word("1", enable.name.line, 1), hosts.file))
    flags = [flag for name, flag in _SWITCHES.items() if name in said and _is_yes(said[name], hosts)]
    more = [word.text for word in said[_FLAGS].words()] if _FLAGS in said else []
    start(hosts, enable.name, settings, flags=flags, more=more)


def _complain_of_names(said: Mapping[str, Assignment], hosts: UcarpHosts) -> list[str]:
    """Complain about variables that resemble known ones, and return these."""
    unknown = {name: likely(name, _KNOWN) for name in said if name not in _KNOWN | _OF_EVERY_SCRIPT}
    for name, meant in unknown.items():
        if meant:
            hosts.complain(said[name].name, f"unknown variable {name}", f"did you mean {meant}?")
    return [meant for meant in unknown.values() if meant]


def _is_yes(said: Assignment, hosts: UcarpHosts) -> bool:
    text = said.value.strip().lower()
    if text not in _YES | _NO:
        hosts.complain(_value(said), f"{said.name.text} is neither YES nor NO", "write YES or NO")
    return text in _YES


def _value(said: Assignment) -> Word:
    first = said.characters[0] if said.characters else said.name
    return Word(said.value, first.line, first.column)
