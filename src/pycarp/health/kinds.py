"""The kinds of probes by the names that tables use: pycarp's own, and those that other distributions register."""

import inspect
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from pycarp import registry
from pycarp.errors import ConfigError
from pycarp.health import setting
from pycarp.health.health_check import Probe
from pycarp.health.http import GOOD_STATUSES, http, parts_of
from pycarp.health.link_probes import address_in, destination_in, interface, interface_named, route
from pycarp.health.ping import ping, target_in
from pycarp.health.probes import file_exists, tcp
from pycarp.health.processes import process, process_named, systemd, unit_named
from pycarp.health.program_probe import program, words_of
from pycarp.health.resolution import RECORDS, dns, server_in
from pycarp.health.setting import Setting
from pycarp.health.witnesses import witness, witnesses_in


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of probe: ``build`` takes the value of its key, and its settings as keywords, and returns a probe."""

    build: Callable[..., Any]
    value: Setting
    settings: Mapping[str, Setting] = msgspec.field(default_factory=dict)
    required: tuple[str, ...] = ()


def kind_named(name: str) -> Kind:
    """Return a kind; raises ConfigError if there is none of that name, or what is registered cannot be used."""
    return OWN[name] if name in OWN else _registered(registry.load("probe", name, OWN), name)


def names() -> tuple[str, ...]:
    """Return the names of all kinds, pycarp's own first."""
    return (*OWN, *registry.registered("probe"))


def _registered(function: object, name: str) -> Kind:
    """Return the kind of a function whose first parameter is the value, and whose keyword-only ones are settings."""
    try:
        parameters = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]  # or TypeError
    except (TypeError, ValueError):
        parameters = []
    if not callable(function) or not parameters:
        raise ConfigError(f"probe {name!r} is registered as {function!r}, which is no function that takes a value")
    named = [each for each in parameters[1:] if each.kind is each.KEYWORD_ONLY]
    return Kind(
        build=function,
        value=setting.anything(),
        settings={each.name: setting.anything() for each in named},
        required=tuple(each.name for each in named if each.default is each.empty),
    )


def _tcp(endpoint: tuple[str, int]) -> Probe:
    return tcp(*endpoint)


def _http(
    url: str,
    *,
    status: frozenset[int] = frozenset(GOOD_STATUSES),
    body: str = "",
    host: str = "",
    ca_file: ssl.SSLContext | None = None,
    verify: bool = True,
) -> Probe:
    is_tls = parts_of(url).scheme == "https"
    for key, is_used in (("ca_file", ca_file is not None), ("verify", not verify)):
        if is_used and not is_tls:
            raise ConfigError(f"{key} is about the certificate of an https address, and this is one of http")
    if ca_file is not None and not verify:
        raise ConfigError("ca_file says whom to trust, and verify = false says everybody; leave one of them out")
    context = ca_file
    if not verify:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http(url, statuses=status, body=body, host=host, context=context)


def _parse_url(key: str, value: object) -> str:
    return parts_of(cast("str", value), name=key).geturl()


def _parse_server(key: str, value: object) -> str:
    server_in(key, value)
    return str(value)


def _parse_authorities(key: str, value: object) -> ssl.SSLContext:
    path = _CA_FILE.parse(key, value)
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as exc:
        raise ConfigError(f'{key} "{path}" has no certificates that can be used: {exc.strerror or exc}') from exc


_CA_FILE = setting.path("/etc/ssl/private-ca.pem")

_ARGV = Setting(
    parse=lambda _key, value: words_of(value),
    schema={"type": "array", "items": {"type": "string"}, "minItems": 1, "examples": [["/usr/bin/pg_isready"]]},
)

_DESTINATION = Setting(
    parse=destination_in, schema={"type": "string", "examples": ["default", "::/0", "198.51.100.0/24", "198.51.100.7"]}
)

OWN: Mapping[str, Kind] = {
    "exec": Kind(build=program, value=_ARGV),
    "tcp": Kind(build=_tcp, value=setting.endpoint()),
    "http": Kind(
        build=_http,
        value=Setting(parse=_parse_url, schema=setting.text("http://127.0.0.1:8080/health").schema),
        settings={
            "status": setting.statuses(),
            "body": setting.text("ok"),
            "host": setting.text("www.example.org"),
            "ca_file": Setting(parse=_parse_authorities, schema=_CA_FILE.schema),
            "verify": setting.flag(),
        },
    ),
    "dns": Kind(
        build=dns,
        value=setting.text("www.example.org"),
        settings={
            "server": Setting(parse=_parse_server, schema=setting.text("192.0.2.53").schema),
            "record": setting.choice(RECORDS),
            "answer": setting.text("192.0.2.10"),
        },
        required=("server",),
    ),
    "ping": Kind(build=ping, value=Setting(parse=target_in, schema=setting.text("192.0.2.1").schema)),
    "witness": Kind(
        build=lambda witnesses: witness(*witnesses),
        value=Setting(
            parse=witnesses_in,
            schema={
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "examples": [["gateway"]],
            },
        ),
    ),
    "process": Kind(build=process, value=Setting(parse=process_named, schema=setting.text("nginx").schema)),
    "systemd": Kind(build=systemd, value=Setting(parse=unit_named, schema=setting.text("nginx.service").schema)),
    "interface": Kind(
        build=interface,
        value=Setting(parse=interface_named, schema=setting.text("eth0").schema),
        settings={"address": Setting(parse=address_in, schema=setting.text("192.0.2.1").schema)},
    ),
    "route": Kind(
        build=route,
        value=_DESTINATION,
        settings={"through": Setting(parse=interface_named, schema=setting.text("eth0").schema)},
    ),
    "file": Kind(build=file_exists, value=setting.path("/run/service/ready")),
}
"""pycarp's own kinds, in the order in which they are listed."""
