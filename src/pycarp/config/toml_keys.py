"""What each key of pycarp's TOML says: the source of the schema, of the man page, and of the tables of the reference.

Code in texts stands between backticks.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """A key, the value that it takes, and what holds without it."""

    name: str
    value: str
    default: str = ""


KEYS: dict[str, tuple[Key, ...]] = {
    "host": (
        Key("interface", "name of the network device", "required"),
        Key("vhid", "1-255, the same on every host that shares the addresses", "required"),
        Key("addresses", "shared addresses with prefix length, IPv4 and IPv6; the same on every host", "required"),
        Key("password", "up to 19 octets", "one of these four is required"),
        Key("password_file", "file whose first line is the password, relative to the configuration"),
        Key(
            "password_credential",
            "name of a credential of systemd (`LoadCredential=`), a file in `$CREDENTIALS_DIRECTORY`",
        ),
        Key("password_env", "name of a variable of the environment"),
        Key("name", "what people call the host", "`VHID@INTERFACE`"),
        Key("advbase", "seconds, 1-255; 0, where advskew alone counts, with `universal` and `openbsd`", "1"),
        Key("advskew", "1/256 s, 0-254 (255 with `openbsd` and `ucarp`)", "0"),
        Key("preempt", "take over from a slower master", "`false`"),
        Key("dialect", "`universal`, `freebsd`, `freebsd9`, `openbsd`, `netbsd`, `ucarp`", "`universal`"),
        Key(
            "peers",
            "addresses of the other hosts, to speak to them instead of to the group; "
            "of one behind a router, the address that it sends from",
            "`[]`",
        ),
        Key("multicast_group", "another IPv4 group", "224.0.0.18"),
        Key("broadcasts", "Ethernet broadcast instead of multicast", "`false`"),
        Key("dead_ratio", "intervals until a silent master is dead", "3"),
        Key("lladdr", "MAC address that was set on an OpenBSD peer's interface"),
        Key("groups", "interface groups by which it can be demoted", '`["carp"]`'),
        Key("neutral", "leave the addresses alone at the start", "`false`"),
        Key("ignores_link", "take part even while the link is down", "`false`"),
        Key(
            "mac_mode",
            "whose MAC address answers: `virtual` (00:00:5e:00:01:VHID, on a device of its own), `interface`, "
            "or `auto`, which probes",
            "`auto`; `interface` with `ucarp`",
        ),
        Key(
            "announce_every_s",
            "seconds after which a MASTER announces its addresses again while nothing happens, 0 for never",
            "60 with `universal`, else 0",
        ),
        Key("peer_dialects", "whose systems share the vhid, so that what cannot work with them is refused", "`[]`"),
        Key("check", "its health checks, written as `[[host.check]]` below it"),
        Key("hook", "its hooks, written as `[[host.hook]]` below it"),
        Key("failback", "its failback, written as `[host.failback]` below it", "that of every host"),
    ),
    "node": (
        Key("hostname", "what `pycarp status` calls the machine"),
        Key("transport", "as `pycarp run --transport`, which wins", "`auto`"),
        Key("actuator", "as `pycarp run --actuator`, which wins", "`auto`"),
        Key("monitor", "who observes the interfaces: `netlink`, or a name that another package registers", "`auto`"),
        Key(
            "external_change_limit",
            "a host whose addresses others change so often within a minute makes itself the last of all; 0 for never",
            "5",
        ),
        Key(
            "sysctls",
            "a table of `allow`, `preempt`, `log`, `demotion`, `senderr_demotion_factor`, `ifdown_demotion_factor`",
        ),
    ),
    "sync_group": (
        Key("name", "what log and status call it", "required"),
        Key("hosts", "names of two hosts or more; the first one leads", "required"),
        Key("check", "checks of the group, written as `[[sync_group.check]]` below it"),
        Key("hook", "hooks of the group, written as `[[sync_group.hook]]` below it"),
    ),
    "http": (
        Key("listen", 'list of `"ADDRESS:PORT"`, `"[ADDRESS]:PORT"` and `"unix:/PATH"`', '`["127.0.0.1:9711"]`'),
        Key("names", "list of the names by which callers may ask; every address and `localhost` may be used anyway"),
        Key(
            "token_file",
            "file whose first line lets who sends it drain hosts and hand them over, "
            "of 16 to 256 visible ASCII characters",
        ),
    ),
    "failback": (
        Key(
            "startup_hold",
            "duration for which a host that begins to listen takes over only from a MASTER that it has heard",
            "0",
        ),
        Key("failback_delay", "duration for which it could have preempted before it does", "0"),
        Key("min_dwell", "duration for which it preempts nobody after it failed as MASTER", "0"),
        Key(
            "failback",
            '`"auto"`, `"manual"` (until `pycarp failback HOST`), or a time of day such as `"02:00-04:00"`',
            '`"auto"`',
        ),
        Key("damping", 'table of `half_life` (`"15min"`), `suppress` (2000), `reuse` (750), `longest` (`"1h"`)'),
    ),
    "hook": (
        Key(
            "on",
            "list of `master`, `backup`, `lost`, `fault`, `conflict-won`, `before-hold`, `after-hold`, `before-drop`",
            "required",
        ),
        Key("run", "list: a program and its arguments", "one of these two is required"),
        Key("shell", "a line for /bin/sh"),
        Key(
            "name",
            "what log and status call it; no two hooks of a host have the same, those of every host included",
            "file name of the program",
        ),
        Key("timeout", "duration, up to an hour, after which the program is ended with its children", '`"10s"`'),
        Key(
            "confirm_for", "duration for which the state must have lasted before the hook is called, up to an hour", "0"
        ),
        Key("retries", "how often a hook that failed is tried again, 0-100", "0"),
        Key(
            "on_failure",
            "`ignore`, `demote` (by 240 until the hook succeeds), "
            "or `release` (the host is the last of all until then)",
            "`ignore`",
        ),
    ),
    "check": (
        Key("name", "what log and status call the check", "required"),
        Key("exec", "list: a program and its arguments, which is to end with exit status 0", "one kind is required"),
        Key("tcp", "`ADDRESS:PORT` that is to accept a connection"),
        Key("http", "URL that is to answer a GET with a good status"),
        Key("dns", "name that a DNS server is to resolve"),
        Key("ping", "address that is to answer an echo request of ICMP"),
        Key("witness", "list of addresses and `gateway`, of which any is to answer"),
        Key("process", "name of a process that is to live, or the path of a file with its number"),
        Key("systemd", "unit that systemd is to count as active"),
        Key("interface", "interface that is to be up and have a carrier"),
        Key("route", "`default`, a network or an address to which there is to be a route"),
        Key("file", "path of a file or folder that is to exist"),
        Key("every", "duration between two runs, 50 ms to a day", '`"1s"`'),
        Key("timeout", "duration after which a run without an answer is over", '`"2s"`'),
        Key("rise", "how often in a row it must pass to be good again", "2"),
        Key("fall", "how often in a row it must fail to be bad", "3"),
        Key("by", "amount of demotion while it fails; without it the host is the last of all"),
        Key("unknown", "what a run without an answer counts as: `fail`, `ok`, or `unknown` for nothing", '`"fail"`'),
        Key("gate", "keep the host from being MASTER before the check has passed once", "`false`"),
        Key("release", "let go of the addresses while it fails, even if nobody else takes them", "`false`"),
        Key("status", "of http: good statuses", '`"200-399"`'),
        Key("body", "of http: text that the answer contains"),
        Key("host", "of http: name of the site, where the URL has an address"),
        Key("ca_file", "of http: file with the certificates that are trusted"),
        Key("verify", "of http: look at the certificate of the server", "`true`"),
        Key("server", "of dns: server that is asked, `ADDRESS` or `ADDRESS:PORT`", "required"),
        Key("record", "of dns: type of the record", '`"A"`'),
        Key("answer", "of dns: value that one of the records is to have"),
        Key("address", "of interface: address that it is to have as well"),
        Key("through", "of route: interface that it is to lead through"),
    ),
}
"""By the name of the table."""
