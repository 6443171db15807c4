"""The default: accepts what anybody sends, sends what everybody accepts."""

from pycarp.auth.digest import DigestLayout
from pycarp.dialects import rules
from pycarp.dialects.base import ArpForm, Dialect, ErrorBudget, Limits
from pycarp.wire import ethernet, ip

UNIVERSAL = Dialect(
    name="universal",
    layouts=(DigestLayout.WITHOUT_LINK_LOCAL, DigestLayout.ORIGINAL),  # OpenBSD sends and accepts so, carp.md 3.3
    claim=rules.demote_by_adding_gently,  # graded, so that several demoted hosts still differ
    compare=rules.faster_wins,
    keeps_on_tie=rules.keep_with_lower_address_or_fresh,  # settles with ucarp and with the BSDs, carp.md section 13
    master_down_ns=rules.master_down_skew_once,
    tolerated_ns=rules.master_down_skew_once,
    bows_out=True,  # everybody understands it, carp.md 5.3
    farewell=False,  # it makes a BSD MASTER of equal interval yield too, carp.md section 10
    announce_again_after=2,  # harmless, and heard by switches that missed the first
    reasserts=True,  # clients that learned the loser's MAC during a split come back at once
    drops_own_source=True,  # looping bridges and hypervisor uplinks exist, carp.md 4.4
    send_errors=ErrorBudget(failures=3, successes=3, demotion=240),
    source_mac=ethernet.virtual_mac,
    tos=ip.TOS_LOW_DELAY,
    identification=None,
    arp=ArpForm(own_target_mac=False, with_reply=True),  # some equipment heeds only one of the two forms
    limits=Limits(advskew_max=254, addresses=None),
)
"""What pycarp speaks unless told otherwise."""
