"""Replies of many lines on the control socket, which last until the caller hangs up."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import msgspec

from pycarp.daemon.control_messages import Reply

Send: TypeAlias = Callable[[Reply], Awaitable[None]]
"""Sends one line; raises OSError when the caller has gone, or has read nothing for too long."""


class Stream(msgspec.Struct, frozen=True):
    """An answer of many lines. ``run`` sends them, and is cancelled when the caller hangs up.

    A CarpError of ``run`` becomes the last line.
    """

    run: Callable[[Send], Coroutine[Any, Any, None]]
