"""Reads what ``iptables-legacy-save`` prints as a listing of nftables, so that its rules are followed alike. Pure.

A match that is not understood makes a rule one that perhaps applies. Source: iptables(8), iptables-extensions(8).
"""

import shlex
from collections.abc import Iterator
from typing import Any

_HOOKS = {"PREROUTING": "prerouting", "INPUT": "input", "OUTPUT": "output", "POSTROUTING": "postrouting"}
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
_NOTHING = frozenset({"LOG", "NFLOG", "MARK", "CONNMARK", "TRACE", "CT", "NOTRACK"})
_WITHOUT_EFFECT = {"-m": 1, "--match": 1, "--comment": 1, "--log-prefix": 1, "--log-level": 1, "--reject-with": 1}
_NUMBERED = {"icmpv6": "ipv6-icmp", "ipv6-icmp": "ipv6-icmp", "vrrp": "vrrp", "carp": "vrrp"}


def listing_of(text: str, family: str) -> dict[str, list[dict[str, Any]]]:
    """Return the chains and rules of a save as those of a family, ``ip`` or ``ip6``; lines of no sense are left out."""
    entries: list[dict[str, Any]] = []
    table, counts = "", dict[tuple[str, str], int]()
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            name, policy, *_counts = [*line[1:].split(), "", ""]
            entries.append({"chain": _chain(family, table, name, policy)})
        elif line.startswith("-A "):
            words = _words(line)
            chain = words[1] if len(words) > 1 else ""
            number = counts[table, chain] = counts.get((table, chain), 0) + 1
            place = {"family": family, "table": table, "chain": chain}
            entries.append({"rule": place | {"handle": number, "expr": list(_expression(words[2:], family))}})
    return {"nftables": entries}


def _chain(family: str, table: str, name: str, policy: str) -> dict[str, Any]:
    chain: dict[str, Any] = {"family": family, "table": table, "name": name}
    if name in _HOOKS:
        chain |= {"hook": _HOOKS[name], "policy": policy.lower()}
    return chain


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _expression(words: list[str], family: str) -> Iterator[dict[str, Any]]:
    """Yield the statements of a rule; its verdict is the last one."""
    verdict: dict[str, Any] | None = None
    is_negated = False
    left = list(words)
    while left:
        word = left.pop(0)
        value = left.pop(0) if left and word != "!" and not left[0].startswith("-") else ""
        if word == "!":
            is_negated = True
            continue
        if word in ("-j", "--jump", "-g", "--goto"):
            verdict = _verdict(value, "goto" if word in ("-g", "--goto") else "jump")
        elif word not in _WITHOUT_EFFECT:
            yield _match(word, value, family, "!=" if is_negated else "==")
        is_negated = False
    if verdict is not None:
        yield verdict


def _verdict(target: str, how: str) -> dict[str, Any]:
    if target in _VERDICTS:
        return {_VERDICTS[target]: None}
    return {"counter": None} if target in _NOTHING else {how: {"target": target}}


def _match(word: str, value: str, family: str, operator: str) -> dict[str, Any]:
    lefts: dict[str, Any] = {
        "-p": {"meta": {"key": "l4proto"}},
        "-i": {"meta": {"key": "iifname"}},
        "-o": {"meta": {"key": "oifname"}},
        "-s": {"payload": {"protocol": family, "field": "saddr"}},
        "-d": {"payload": {"protocol": family, "field": "daddr"}},
        "--dport": {"payload": {"protocol": "udp", "field": "dport"}},
        "--sport": {"payload": {"protocol": "udp", "field": "sport"}},
        "--ctstate": {"ct": {"key": "state"}},
        "--state": {"ct": {"key": "state"}},
        "--pkt-type": {"meta": {"key": "pkttype"}},
    }
    if word not in lefts:
        return {"xt": {"name": word}}
    return {"match": {"op": operator, "left": lefts[word], "right": _right(word, value)}}


def _right(word: str, value: str) -> Any:
    if word in ("-s", "-d"):
        address, slash, length = value.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}} if slash and length.isdigit() else address
    if word in ("--ctstate", "--state"):
        return value.lower().split(",")
    if word in ("-i", "-o"):
        return value[:-1] + "*" if value.endswith("+") else value
    if value.isdigit():
        return int(value)
    return _NUMBERED.get(value, value)
