"""The exceptions of pycarp, by whose fault they are.

::

    CarpError
    ├── ConfigError           the caller's settings are wrong; raised before anything runs
    │   ├── SettingProblems       all that is wrong with the settings of one call, as a list
    │   ├── ConfigProblems        all that is wrong with a file, with lines and columns; of pycarp.config
    │   ├── UcarpProblems         all that is wrong with a command line of ucarp; of pycarp.config.ucarp_options
    │   ├── CaptureFileError      see below
    │   └── RecordingFileError    see below
    ├── UsageError            right settings, wrong moment or wrong thread: node closed, host in the wrong state
    ├── NodeFailedError       the node stopped because of a failure, which is the __cause__
    ├── DecodeError           octets are not what they claim; caught in the engine and counted
    ├── TransportError        opening or configuring a transport failed; __cause__ is the OSError
    ├── ActuatorError         changing addresses failed; at run time it travels as data in a report
    │   └── DeviceNameError       the device of a host cannot have its name; of pycarp.system
    ├── CaptureError          a file of packets ends within a packet
    │   └── CaptureFileError      it cannot be opened, or is no capture; a ConfigError, too
    ├── RecordingError        a recording cannot be read or written; names the file and the line
    │   └── RecordingFileError    it cannot be opened, or is no recording; a ConfigError, too
    ├── HandOverError         no other host took the addresses over
    ├── MastershipLost        the body of a mastership was ended, for its reason; of pycarp.aio
    ├── ScenarioError         a scenario cannot be read; of pycarp.sim
    └── ControlError          the daemon refused or could not answer

A call with a time limit of its own raises Python's ``TimeoutError``. Errors of the network are counted, never
raised. A bug of pycarp raises ``AssertionError`` or any other exception. No message contains a passphrase.
"""

from collections.abc import Iterable

import msgspec


class CarpError(Exception):
    """The base class of every exception that pycarp raises on purpose."""


class ConfigError(CarpError):
    """Settings that cannot work: the message names the value, the bound and the way out."""


class SettingProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong with settings.

    ``setting`` is the name of the setting, empty for several that do not fit together, and ``index`` the position in
    its list, None for the whole setting. ``text`` has the value and its bound; ``hint`` is the way out, where ``text``
    does not say it.
    """

    setting: str
    text: str
    hint: str = ""
    index: int | None = None

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text


class SettingProblems(ConfigError):  # noqa: N818  (it is plural: the problems of one call)
    """All that is wrong with the settings of one call, in ``problems``; the message has one a line."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(each) for each in self.problems))


class UsageError(CarpError):
    """A call that is legal, but not in this moment."""


class NodeFailedError(CarpError):
    """The node failed, dropped its addresses and stopped; ``__cause__`` is the failure."""


class DecodeError(CarpError):
    """Octets that are not what they claim to be."""


class TransportError(CarpError):
    """A transport could not be opened; the operating system's error is the cause."""


class ActuatorError(CarpError):
    """Addresses could not be held, dropped or announced."""


class CaptureError(CarpError):
    """A capture of packets cannot be read, or not to its end."""


class CaptureFileError(CaptureError, ConfigError):
    """The named file cannot be opened, or is no capture of packets."""


class RecordingError(CarpError):
    """A recording cannot be read, or cannot be written."""


class RecordingFileError(RecordingError, ConfigError):
    """The named file cannot be opened, or is no recording."""


class HandOverError(CarpError):
    """No other host took the addresses over."""


class ControlError(CarpError):
    """The daemon could not be reached, or refused."""
