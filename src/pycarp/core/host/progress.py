"""What a host changes while it repeats its advertisement, or receives a repeated one: a checkpoint copies only that.

A MASTER that repeats its advertisement (``master.repeat``) and a BACKUP that receives a repeated one
(``reactions.receive_repeated``) change a few times and the counters of the codec. Nothing else has changed since the
host was last copied.
"""

from copy import copy
from operator import attrgetter
from typing import NamedTuple

from msgspec.structs import replace

from pycarp.core.host.context import Context, HostCheckpoint
from pycarp.core.host.decision import PeerKey
from pycarp.core.host.states import Backup, Master
from pycarp.vocabulary import Family

_TIMES = ("advertise_at_ns", "advertised_at_ns", "alive_at_ns", "was_alive_at_ns", "slot_ns")
_times_of = attrgetter(*_TIMES)


class Progress(NamedTuple):
    """The changes since a host was last copied.

    ``times_ns`` are those of a MASTER; the others are of a BACKUP: its master-down times, and for each followed MASTER
    its last counter and when that was received.
    """

    times_ns: tuple[int, ...] = ()
    down_at_ns: tuple[tuple[Family, int], ...] = ()
    received: tuple[tuple[PeerKey, int, int], ...] = ()

    def applied_to(self, before: HostCheckpoint) -> HostCheckpoint:
        """Return the state of the host with these changes."""
        state, peers = copy(before.state), before.peers
        if isinstance(state, Master):
            for name, at_ns in zip(_TIMES, self.times_ns, strict=True):
                setattr(state, name, at_ns)
        elif isinstance(state, Backup):
            state.master_down_at_ns = dict(self.down_at_ns)
            peers = dict(peers)
            for key, counter, at_ns in self.received:
                peer = peers[key] = copy(peers[key])
                peer.counter, peer.at_ns = counter, at_ns
        return replace(before, state=state, peers=peers)


def progress_of(ctx: Context) -> Progress:
    """Return what may have changed since the host was copied, if only repeated advertisements were sent or received."""
    state = ctx.state
    if isinstance(state, Master):
        return Progress(_times_of(state))
    if isinstance(state, Backup):
        received = []
        for family, source in state.followed.items():
            peer = ctx.peers.get((source, family))
            if peer is not None:
                received.append(((source, family), peer.counter, peer.at_ns))
        return Progress((), tuple(state.master_down_at_ns.items()), tuple(received))
    return Progress()
