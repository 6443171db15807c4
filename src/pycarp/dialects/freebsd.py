"""FreeBSD 10 and newer: the vhid is attached to addresses of the real interface."""

from pycarp.auth.digest import DigestLayout
from pycarp.dialects import rules
from pycarp.dialects.base import ArpForm, Dialect, ErrorBudget, Limits
from pycarp.wire import ethernet

FREEBSD = Dialect(
    name="freebsd",
    layouts=(DigestLayout.ORIGINAL,),  # carp.md 3.2, 3.3
    claim=rules.demote_by_adding,  # carp.md 6.1
    compare=rules.faster_wins,  # carp.md 5.1
    keeps_on_tie=rules.never_keep,  # carp.md 5.1: equal means yield
    master_down_ns=rules.master_down_skew_once,  # carp.md 5.2
    tolerated_ns=rules.master_down_skew_once,  # carp.md 5.1, BACKUP test 3
    bows_out=False,  # carp.md 5.3: FreeBSD 10 and newer leave silently
    farewell=False,
    announce_again_after=None,  # carp.md 5.3: one round
    reasserts=False,
    drops_own_source=False,  # carp.md 4.4
    send_errors=ErrorBudget(failures=3, successes=3, demotion=240),  # senderr_demotion_factor, carp.md 6.1
    source_mac=ethernet.virtual_mac,  # carp.md 1.4
    tos=0xE0,  # net.inet.carp.dscp 56, FreeBSD 12 and newer, carp.md 1.2
    identification=None,
    arp=ArpForm(own_target_mac=False, with_reply=False),  # carp.md section 7
    limits=Limits(advskew_max=254, addresses=None),
)
"""FreeBSD 10 and newer."""
