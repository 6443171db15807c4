"""CARP, the Common Address Redundancy Protocol, for Python and Linux.

Several hosts share IP addresses: one is MASTER and answers for them, the others are BACKUP and listen; when the
master falls silent, the next one takes the addresses over::

    async with pycarp.Node() as node:
        web = await node.add(pycarp.HostConfig(
            interface="eth0", vhid=1, passphrase="secret", addresses=["192.0.2.10/24"]))
        await web.wait_for(pycarp.State.MASTER)

The packages are layers; each imports only from those below it::

    10 cli                                   the command
     9 lab, doctor, daemon                   one process each; what keeps hosts from working
     8 config | testing                      text to settings; clusters for other people's tests
     7 aio                                   Node, VirtualHost: clock, network and machine of the runtime
     6 transports | actuators | monitors     datagrams, addresses, links
     5 inspection | recording | sim          captures explained; lives written down and replayed; plans simulated
     5 system                                the operating system
    --- all below is pure: no clock, no socket, no task, no log ---
     5 runtime                               what every shell does alike: inbox, sends, timers, addresses
     5 placement                             where hosts belong: failback policies, sync groups
     4 core                                  when things happen
     3 dialects                              how each CARP differs
     2 auth                                  key, digest, counter
     1 wire                                  octets to values and back
     0 errors, vocabulary
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycarp import dialects
    from pycarp.actuators import Actuator, CommandActuator, NullActuator
    from pycarp.aio.callback_queue import Callback
    from pycarp.aio.mastership import LossReason, Mastership, MastershipLost
    from pycarp.aio.node import Node
    from pycarp.aio.virtual_host import VirtualHost
    from pycarp.auth.key import Passphrase
    from pycarp.core.events import (
        ActuationFailed,
        AddressesChangedByOthers,
        AddressesHeld,
        AdvertisementRejected,
        ConflictWon,
        DecisionChange,
        DemotionChange,
        Departed,
        Event,
        EventsMissed,
        FloodChange,
        LoopStalled,
        MasterHeard,
        Mismatch,
        PeerMismatch,
        RestrictionChange,
        SettingsChange,
        StateChange,
    )
    from pycarp.core.flood import PacketFilter
    from pycarp.core.host.decision import Decision
    from pycarp.core.host_config import HostConfig
    from pycarp.core.inputs import AddressesDisturbed, AdminChanged
    from pycarp.core.outlook import Outlook, outlook
    from pycarp.core.restriction import Restriction
    from pycarp.core.settings import Settings
    from pycarp.core.snapshot import EngineSnapshot, HostSnapshot
    from pycarp.core.state import Reason, State
    from pycarp.core.statistics import DropReason, Statistic
    from pycarp.dialects import ArpForm, Dialect
    from pycarp.errors import (
        ActuatorError,
        CaptureError,
        CaptureFileError,
        CarpError,
        ConfigError,
        ControlError,
        DecodeError,
        HandOverError,
        NodeFailedError,
        RecordingError,
        RecordingFileError,
        SettingProblem,
        SettingProblems,
        TransportError,
        UsageError,
    )
    from pycarp.monitors import LinkForgetting, Monitor, StaticMonitor
    from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket
    from pycarp.system.guardian.guardian import Guardian, GuardianFired, GuardianLost, GuardianNews, GuardianRestarted
    from pycarp.transports import (
        AddressFollowing,
        GroupJoining,
        MemoryBus,
        PacketFiltering,
        PacketPreparing,
        SettingAside,
        SourceChoosing,
        Transport,
    )
    from pycarp.transports.udp import UdpTransport
    from pycarp.vocabulary import (
        Address,
        Datagram,
        Family,
        HostKey,
        InterfaceAddress,
        LinkFacts,
        MacAddress,
        MacMode,
        Outgoing,
    )

__version__ = "0.1.0"

__all__ = [
    "ActuationFailed",
    "Actuator",
    "ActuatorError",
    "Address",
    "AddressFollowing",
    "AddressesChangedByOthers",
    "AddressesDisturbed",
    "AddressesHeld",
    "AdminChanged",
    "AdvertisementRejected",
    "ArpForm",
    "Callback",
    "CaptureError",
    "CaptureFileError",
    "CarpError",
    "CleanUpStep",
    "CommandActuator",
    "ConfigError",
    "ConflictWon",
    "ControlError",
    "Datagram",
    "Decision",
    "DecisionChange",
    "DecodeError",
    "DemotionChange",
    "Departed",
    "Dialect",
    "DropReason",
    "EngineSnapshot",
    "Event",
    "EventsMissed",
    "Family",
    "FloodChange",
    "GroupJoining",
    "Guardian",
    "GuardianFired",
    "GuardianLost",
    "GuardianNews",
    "GuardianRestarted",
    "HandOverError",
    "HostConfig",
    "HostKey",
    "HostSnapshot",
    "InterfaceAddress",
    "LinkFacts",
    "LinkForgetting",
    "LoopStalled",
    "LossReason",
    "MacAddress",
    "MacMode",
    "MasterHeard",
    "Mastership",
    "MastershipLost",
    "MemoryBus",
    "Mismatch",
    "Monitor",
    "Node",
    "NodeFailedError",
    "NullActuator",
    "Outgoing",
    "Outlook",
    "PacketFilter",
    "PacketFiltering",
    "PacketPreparing",
    "Passphrase",
    "PeerMismatch",
    "PreparedPacket",
    "Reason",
    "RecordingError",
    "RecordingFileError",
    "Restriction",
    "RestrictionChange",
    "SettingAside",
    "SettingProblem",
    "SettingProblems",
    "Settings",
    "SettingsChange",
    "SourceChoosing",
    "State",
    "StateChange",
    "StaticMonitor",
    "Statistic",
    "Transport",
    "TransportError",
    "UdpTransport",
    "UsageError",
    "VirtualHost",
    "__version__",
    "dialects",
    "outlook",
]

_NAMES_OF = {
    "pycarp.actuators": ("Actuator", "CommandActuator", "NullActuator"),
    "pycarp.aio.callback_queue": ("Callback",),
    "pycarp.aio.virtual_host": ("VirtualHost",),
    "pycarp.aio.mastership": ("LossReason", "Mastership", "MastershipLost"),
    "pycarp.aio.node": ("Node",),
    "pycarp.auth.key": ("Passphrase",),
    "pycarp.core.events": (
        "ActuationFailed",
        "AddressesChangedByOthers",
        "AddressesHeld",
        "AdvertisementRejected",
        "ConflictWon",
        "DecisionChange",
        "DemotionChange",
        "Departed",
        "Event",
        "EventsMissed",
        "FloodChange",
        "LoopStalled",
        "MasterHeard",
        "Mismatch",
        "PeerMismatch",
        "RestrictionChange",
        "SettingsChange",
        "StateChange",
    ),
    "pycarp.core.flood": ("PacketFilter",),
    "pycarp.core.host.decision": ("Decision",),
    "pycarp.core.host_config": ("HostConfig",),
    "pycarp.core.inputs": ("AddressesDisturbed", "AdminChanged"),
    "pycarp.core.outlook": ("Outlook", "outlook"),
    "pycarp.core.restriction": ("Restriction",),
    "pycarp.core.settings": ("Settings",),
    "pycarp.core.snapshot": ("EngineSnapshot", "HostSnapshot"),
    "pycarp.core.state": ("Reason", "State"),
    "pycarp.core.statistics": ("DropReason", "Statistic"),
    "pycarp.dialects": ("ArpForm", "Dialect"),
    "pycarp.errors": (
        "ActuatorError",
        "CaptureError",
        "CaptureFileError",
        "CarpError",
        "ConfigError",
        "ControlError",
        "DecodeError",
        "HandOverError",
        "NodeFailedError",
        "RecordingError",
        "RecordingFileError",
        "SettingProblem",
        "SettingProblems",
        "TransportError",
        "UsageError",
    ),
    "pycarp.monitors": ("LinkForgetting", "Monitor", "StaticMonitor"),
    "pycarp.system.guardian.clean_up_steps": ("CleanUpStep", "PreparedPacket"),
    "pycarp.system.guardian.guardian": (
        "Guardian",
        "GuardianFired",
        "GuardianLost",
        "GuardianNews",
        "GuardianRestarted",
    ),
    "pycarp.transports": (
        "AddressFollowing",
        "GroupJoining",
        "MemoryBus",
        "PacketFiltering",
        "PacketPreparing",
        "SettingAside",
        "SourceChoosing",
        "Transport",
    ),
    "pycarp.transports.udp": ("UdpTransport",),
    "pycarp.vocabulary": (
        "Address",
        "Datagram",
        "Family",
        "HostKey",
        "InterfaceAddress",
        "LinkFacts",
        "MacAddress",
        "MacMode",
        "Outgoing",
    ),
}
"""What is exported from which module. Imported at its first use: all of it takes a fifth of a second."""

_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> object:
    """Return what is exported under a name; AttributeError if nothing is."""
    if name == "dialects":
        return import_module("pycarp.dialects")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pycarp' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the names of all that is exported, whether it was used or not."""
    return sorted({*globals(), *__all__})
