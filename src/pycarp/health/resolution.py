"""A probe that asks a DNS server for a name, in this process, with dnspython, which the extra ``dns`` brings."""

import importlib.util
from ipaddress import ip_address

from pycarp.errors import ConfigError
from pycarp.health.health_check import Answer, Finding, Probe, Request
from pycarp.health.probes import reason_of

RECORDS = ("A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT")

PORT = 53


def dns(name: str, *, server: str, record: str = "A", answer: str = "") -> Probe:
    """Return a probe that passes if a server resolves a name, and fails if it says no or nothing.

    ``server`` is an address, or ``ADDRESS:PORT``; ``record`` is one of ``RECORDS``. With ``answer`` one of the records
    is to be this, such as ``"192.0.2.10"``. Raises ConfigError for values that cannot work, and without dnspython.
    """
    if importlib.util.find_spec("dns") is None:
        raise ConfigError("dns needs dnspython: pip install 'pycarp[dns]'")
    # Imported here because it takes a twentieth of a second, and most checks are others.
    from pycarp.health import dns_query  # noqa: PLC0415

    address, port = server_in("server", server)
    if record not in RECORDS:
        raise ConfigError(f"record {record!r} is none of {', '.join(RECORDS)}")
    # Made once to find what is wrong with it, and again for each run, with another number.
    dns_query.query_for(str(name), record)

    async def look() -> Finding:
        try:
            response = await dns_query.ask(dns_query.query_for(name, record), address, port)
        except OSError as exc:
            return Finding(Answer.FAIL, f"{server} did not answer: {reason_of(exc)}")
        return dns_query.judge(response, server, name, record, answer)

    return Request(look, f"{server} did not answer")


def server_in(key: str, value: object) -> tuple[str, int]:
    """Return address and port of a server; raises ConfigError for what has none."""
    text = value if isinstance(value, str) else ""
    address, port = text, str(PORT)
    if text.startswith("[") or text.count(":") == 1:
        address, _colon, port = text.rpartition(":")
        address = address.removeprefix("[").removesuffix("]")
    try:
        number = int(port) if port.isdecimal() and port.isascii() and len(port) < 6 else 0
        if not 1 <= number <= 65535:
            raise ConfigError(f"{key} {value!r}: port {port} is outside 1-65535")
        return str(ip_address(address)), number
    except ValueError:
        way_out = 'write one such as "192.0.2.53", "2001:db8::53" or "127.0.0.1:5353"'
        raise ConfigError(f"{key} {value!r} is no address; {way_out}") from None
