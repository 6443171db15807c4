"""ucarp 1.5.2, the user-space CARP that Debian ships."""

from pycarp.auth.digest import DigestLayout
from pycarp.dialects import rules
from pycarp.dialects.base import ArpForm, Dialect, ErrorBudget, Limits
from pycarp.wire import ethernet, ip

UCARP = Dialect(
    name="ucarp",
    layouts=(DigestLayout.ORIGINAL,),  # captured
    claim=rules.demote_by_suppressing,  # carp.md 6.3
    compare=rules.faster_wins,  # carp.md 5.1
    keeps_on_tie=rules.keep_with_lower_address,  # captured, carp.md 5.1
    master_down_ns=rules.master_down_skew_thrice,  # measured: 4.215 s at advbase 1, advskew 100
    tolerated_ns=rules.master_down_skew_once,  # carp.md 5.1: dead_ratio x advbase + skew/256
    bows_out=False,  # carp.md 5.3: exit, signals and link loss are silent
    farewell=True,  # captured: one more ordinary advertisement when it yields
    announce_again_after=2,  # captured: ARP at 3.031 and 5.031 s
    reasserts=True,  # captured: at once, and with the second following advertisement
    drops_own_source=True,  # carp.md 4.2
    send_errors=ErrorBudget(failures=3, successes=3, demotion=1),  # carp.md 6.3: any count means 240
    source_mac=ethernet.ucarp_mac,  # captured
    tos=ip.TOS_LOW_DELAY,  # captured
    identification=None,  # random
    arp=ArpForm(own_target_mac=True, with_reply=False),  # captured
    limits=Limits(advskew_max=255, addresses=1),  # carp.md 8.6
)
"""ucarp 1.5.2."""
