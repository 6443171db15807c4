"""A probe that asks a web server, in this process and bounded: one GET of HTTP/1.1, over TCP or TLS."""

import ssl
from collections.abc import Container
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pycarp.errors import ConfigError
from pycarp.health.destination import Destination
from pycarp.health.health_check import Answer, Finding, Probe, Request
from pycarp.health.probes import reason_of

GOOD_STATUSES = range(200, 400)

_DEFAULT_PORTS = {"http": 80, "https": 443}


def http(
    url: str,
    *,
    statuses: Container[int] = GOOD_STATUSES,
    body: str | bytes = b"",
    host: str = "",
    context: ssl.SSLContext | None = None,
) -> Probe:
    """Return a probe that passes if a GET of ``url`` is answered with a good status and a body that contains ``body``.

    ``statuses`` are the good ones, 200-399 by default; no redirect is followed. Of the response the first 64 KiB are
    read. ``host`` is the name of the site where ``url`` has an address: it is asked for, and the certificate is to have
    it. https verifies the certificate as ``context`` says, by default against the system's authorities. A server that
    refuses the connection, closes it early or does not speak HTTP fails, and so does one that stalls, at the timeout of
    the check. Raises ConfigError if ``url`` is none of http or https, or ``host`` is no name.
    """
    # Imported here because it takes longer than most commands, and not while advertisements are due.
    from pycarp.health.http_response import read_response  # noqa: PLC0415

    parts = parts_of(url)
    if not _is_plain(host):
        raise ConfigError(f"host {host!r} is not the name of a site, such as www.example.org")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    destination, name = Destination(parts.hostname or "", port), host.partition(":")[0] or parts.hostname
    tls = (context or ssl.create_default_context()) if parts.scheme == "https" else None
    authority = parts.netloc.rpartition("@")[2]
    site = urlunsplit((parts.scheme, authority, parts.path, "", ""))
    request = _request_for(parts, host or authority)
    wanted = body.encode() if isinstance(body, str) else body

    async def look() -> Finding:
        try:
            reader, writer = await destination.connect(tls=tls, server_hostname=name if tls else None)
        except ssl.SSLCertVerificationError as exc:
            return Finding(Answer.FAIL, f"{site} has a certificate that is not accepted: {exc.verify_message}")
        except OSError as exc:
            return Finding(Answer.FAIL, f"no connection to {site}: {reason_of(exc)}")
        try:
            writer.write(request)
            status, content = await read_response(reader)
        except OSError as exc:
            return Finding(Answer.FAIL, f"{site} did not answer: {reason_of(exc)}")
        finally:
            writer.transport.abort()
        if status is None:
            return Finding(Answer.FAIL, f"{site} closed the connection without a response of HTTP")
        if status not in statuses:
            return Finding(Answer.FAIL, f"{site} answered with status {status}")
        if wanted not in content:
            return Finding(Answer.FAIL, f"{site} answered with status {status}, but without the wanted text")
        return Finding(Answer.OK, f"{site} answered with status {status}")

    return Request(look, f"{site} did not answer")


def parts_of(url: str, name: str = "url") -> SplitResult:
    """Return the parts of an address of http or https; raises ConfigError, with ``name``, for anything else."""
    try:
        parts = urlsplit(url)
        is_well = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except (AttributeError, TypeError, ValueError):
        is_well = False
    if not is_well or not _is_plain(url):
        raise ConfigError(f"{name} {url!r} is no http:// or https:// address such as http://127.0.0.1:8080/health")
    return parts


def _is_plain(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and all(each.isprintable() and each != " " for each in text)


def _request_for(parts: SplitResult, host: str) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = (
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: pycarp",
        "Accept: */*",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode("ascii")
