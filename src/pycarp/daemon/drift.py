"""Compares a running daemon with the configuration that it read: live changes, and what a reload does to them. Pure."""

from collections.abc import Iterable, Mapping

from pycarp.core.host_config import HostConfig
from pycarp.daemon.control_messages import Drift, Value
from pycarp.daemon.reconfiguration import IN_PLACE, differing
from pycarp.vocabulary import HostKey

SETS_BACK, LEAVES, TAKES_FILE, REMOVES, ADDS = (
    "sets it back",
    "leaves it",
    "sets what the file says now",
    "removes the host",
    "adds it again",
)

_SAVED = frozenset({"advbase", "advskew", "addresses", "passphrase"})
"""The settings that ``ifconfig`` changes in a host and that a file can hold."""


def drift_of_hosts(
    loaded: Mapping[HostKey, HostConfig],
    running: Iterable[HostConfig],
    file: Mapping[HostKey, HostConfig],
) -> list[Drift]:
    """Return the settings of hosts that differ from the loaded ones; without those that the ``file`` has by now."""
    running = tuple(running)
    here = {config.key for config in running}
    found = [_ended(config) for key, config in loaded.items() if key not in here and key in file]
    for config in running:
        before, after = loaded.get(config.key), file.get(config.key)
        if before is None or before == config:
            continue
        found += [
            _drift(name, before, config, after)
            for name in sorted(differing(before, config) & IN_PLACE)
            if after is None or getattr(after, name) != getattr(config, name)
        ]
    return found


def _ended(config: HostConfig) -> Drift:
    return Drift(name=config.name, setting="ended", file=False, running=True, reload=ADDS, can_be_saved=False)


def value_of(config: HostConfig, name: str) -> Value:
    """Return a setting as JSON has it: addresses as texts, a password never."""
    value = getattr(config, name)
    if name == "passphrase":
        return None
    if isinstance(value, tuple):
        return [getattr(each, "name", str(each)) for each in value]
    if isinstance(value, bool | int) or value is None:
        return value
    return str(getattr(value, "value", getattr(value, "name", value)))


def line(drift: Drift) -> str:
    """Return a drift in one line."""
    return f"{drift.name}: {_what(drift)} while it ran; reload {drift.reload}"


def setting_name(name: str) -> str:
    """Return the TOML name of a setting of a host."""
    return {"passphrase": "password"}.get(name, name)


def _drift(name: str, loaded: HostConfig, running: HostConfig, file: HostConfig | None) -> Drift:
    fate = REMOVES
    if file is not None:
        fate = SETS_BACK if getattr(file, name) == getattr(loaded, name) else TAKES_FILE
    return Drift(
        name=running.name,
        setting=setting_name(name),
        file=value_of(loaded, name),
        running=value_of(running, name),
        reload=fate,
        can_be_saved=name in _SAVED and file is not None,
    )


def _what(drift: Drift) -> str:
    match drift.setting:
        case "password":
            return "the password was changed"
        case "addresses":
            return _what_addresses(drift)
        case "down":
            return "it was set down"
        case "ended":
            return "it ended with its last address"
        case "handed over":
            return "it handed its addresses over"
        case "value":
            return f"changed from {drift.file} to {drift.running}"
        case setting:
            return f"{setting} was changed from {drift.file} to {drift.running}"


def _what_addresses(drift: Drift) -> str:
    assert isinstance(drift.file, list)
    assert isinstance(drift.running, list)
    come = [each for each in drift.running if each not in drift.file]
    gone = [each for each in drift.file if each not in drift.running]
    said = [f"{' '.join(each)} {word}" for each, word in ((come, "added"), (gone, "removed")) if each]
    return " and ".join(said) or "addresses put in another order"
