"""Notices capabilities that this process lacks. Source: capabilities(7)."""

from collections.abc import Iterator

from pycarp.doctor.finding import Finding, Severity

_CAPABILITIES = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW"}
_REASONS = {
    "CAP_NET_ADMIN": "shared addresses can neither be held nor dropped",
    "CAP_NET_RAW": "advertisements can neither be sent nor received",
}


def findings(status: str) -> Iterator[Finding]:
    """Yield a finding for each capability that is missing; ``status`` is ``/proc/self/status``."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    effective, bounding = (int(fields.get(name, "0").strip() or "0", 16) for name in ("CapEff", "CapBnd"))
    for number, name in _CAPABILITIES.items():
        if effective >> number & 1:
            continue
        is_out_of_reach = not bounding >> number & 1
        way = "and nothing in this container or sandbox can have it" if is_out_of_reach else "and root has it"
        yield Finding(
            kind="capability",
            severity=Severity.PROBLEM if is_out_of_reach else Severity.ADVICE,
            subject="permissions",
            words=f"this process has no {name}, {way}",
            reason=_REASONS[name] if is_out_of_reach else f"{_REASONS[name]} by this user, and less can be examined",
            command=f"docker run --cap-add={name.removeprefix('CAP_')} ..., or what sets the bounding set here"
            if is_out_of_reach
            else "sudo pycarp doctor",
        )
