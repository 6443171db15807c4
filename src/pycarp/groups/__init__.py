"""Groups: virtual hosts of one node that move together, such as the two sides of a router.

``await follow("router", wan, lan)`` runs until the hosts depart.
"""

from pycarp.groups.sync_group import SyncGroup, follow
from pycarp.placement.share import Share, shares

__all__ = ["Share", "SyncGroup", "follow", "shares"]
