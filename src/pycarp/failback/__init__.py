"""Failback under control: when a preferred host that is back takes its addresses from the host that serves them.

``await follow(host, FailbackPolicy(failback_delay_s=60, min_dwell_s=600))`` runs until the host departs. It restricts
the host, see ``VirtualHost.restrict``; peers learn nothing of it.
"""

from pycarp.failback.failback_follower import FailbackFollower, follow
from pycarp.placement.damping import Damping
from pycarp.placement.failback_state import Cause, Hold
from pycarp.placement.policy import FailbackPolicy

__all__ = ["Cause", "Damping", "FailbackFollower", "FailbackPolicy", "Hold", "follow"]
