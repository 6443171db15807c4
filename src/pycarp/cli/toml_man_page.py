"""The man page ``pycarp.toml(5)``, from what is said of each key."""

from collections.abc import Iterator

from pycarp.cli.man_page import COMMANDS_SECTION, FILES_SECTION, escaped, reference, title_line
from pycarp.config.toml_keys import KEYS, Key

NAME = "pycarp.toml"

_TABLES = {
    "host": ("[[host]]", "Once for each virtual host."),
    "node": ("[node]", "At most once: the machine."),
    "check": (
        "[[host.check]], [[sync_group.check]], [[check]]",
        "A health check of a host, of a group, or of the machine: one key says what is checked, others how.",
    ),
    "hook": (
        "[[host.hook]], [[sync_group.hook]], [[hook]]",
        "What is called when the state of a host, of a group, or of any host changes.",
    ),
    "failback": ("[host.failback], [failback]", "When a host, or every host, may take its addresses back."),
    "sync_group": ("[[sync_group]]", "Once for each group of hosts that move together."),
    "http": ("[http]", "At most once: where metrics, status and events are served."),
}

_EXAMPLE = """\
[[host]]
name = "web"
interface = "eth0"
vhid = 1
password_file = "/etc/pycarp/web.password"
addresses = ["192.0.2.10/24"]
advskew = 0"""
"""A test reads it."""


def toml_man_page() -> str:
    """Return the page."""
    lines = [
        title_line(NAME, FILES_SECTION),
        ".SH NAME",
        f"{escaped(NAME)} \\- configuration of pycarp in TOML",
        ".SH DESCRIPTION",
        escaped("pycarp run reads this file, pycarp check says all that is wrong in it, and pycarp convert writes it."),
        "Unknown keys are errors.",
        escaped('A duration is text such as "500ms", "2s", "5min" or "1h30min", or a number of seconds.'),
    ]
    for table, (header, words) in _TABLES.items():
        lines += [f".SH {escaped(header)}", escaped(words)]
        for key in KEYS[table]:
            lines += [".TP", f"\\fB{escaped(key.name)}\\fR", escaped(_plain(" ".join(_sentence(key))))]
    lines += [".SH EXAMPLES", ".RS 2", ".nf", escaped(_EXAMPLE), ".fi", ".RE", ".SH SEE ALSO"]
    pages = ("pycarp", "pycarp-run", "pycarp-check", "pycarp-convert")
    lines.append(",\n".join(reference(each, COMMANDS_SECTION) for each in pages))
    return "\n".join(lines) + "\n"


def _sentence(key: Key) -> Iterator[str]:
    yield key.value
    if key.default:
        yield f"({key.default})" if "required" in key.default else f"[default: {key.default}]"


def _plain(words: str) -> str:
    return words.replace("`", "")
