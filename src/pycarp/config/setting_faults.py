"""Which settings of a virtual host are wrong, each judged by itself, so that all of them are reported at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pycarp.core.host_config import HostConfig
from pycarp.dialects import UNIVERSAL
from pycarp.errors import ConfigError

_SOUND: dict[str, Any] = {"interface": "eth0", "vhid": 1, "passphrase": "x", "advskew": 1}
"""With an advskew of 0 an advbase of 0 would not fit together."""
_SOUND_ADDRESSES = ("240.0.0.1/32", "100::1/128")
"""One for each family: nobody shares them."""

LISTS = ("addresses", "peers")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a setting; ``index`` is the position in a list, None for the whole setting."""

    setting: str
    index: int | None
    text: str


def faults_of(settings: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of settings of ``HostConfig``, of which any may be missing; none if they do not fit together.

    ``settings["dialect"]``, if there is one, must be a dialect.
    """
    sound = _SOUND | {"dialect": settings.get("dialect", UNIVERSAL)}
    faults = list(_faults_of_addresses(settings.get("addresses", ()), sound))
    is_shared_known = "addresses" in settings and not faults
    shared = tuple(settings["addresses"]) if is_shared_known else _sound_addresses(sound)
    for index, peer in enumerate(settings.get("peers", ())):
        if text := _complaint(sound | {"addresses": shared, "peers": (peer,)}):
            faults.append(Fault("peers", index, text))
    for setting, value in settings.items():
        if setting not in LISTS and (text := _complaint(sound | {"addresses": shared, setting: value})):
            faults.append(Fault(setting, None, text))
    return faults


def _faults_of_addresses(addresses: tuple[object, ...], sound: dict[str, Any]) -> Iterator[Fault]:
    is_sound = True
    for index, address in enumerate(addresses):
        if text := _complaint(sound | {"addresses": (address,)}):
            yield Fault("addresses", index, text)
            is_sound = False
    if is_sound and addresses and (text := _complaint(sound | {"addresses": tuple(addresses)})):
        yield Fault("addresses", None, text)


def _sound_addresses(sound: dict[str, Any]) -> tuple[str, ...]:
    """Return an address of each family, or of one if the dialect takes no more."""
    return next(
        each for each in (_SOUND_ADDRESSES, _SOUND_ADDRESSES[:1]) if not _complaint(sound | {"addresses": each})
    )


def _complaint(settings: dict[str, Any]) -> str:
    try:
        HostConfig(**settings)
    except ConfigError as exc:
        return str(exc)
    except UnicodeError:
        return "this is not UTF-8"
    return ""
