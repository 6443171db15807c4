"""NetBSD, as its kernel of 2016 (ip_carp.c 1.76) was measured."""

from pycarp.auth.digest import DigestLayout
from pycarp.dialects import rules
from pycarp.dialects.base import ArpForm, Dialect, ErrorBudget, Limits
from pycarp.wire import ethernet, ip

NETBSD = Dialect(
    name="netbsd",
    layouts=(DigestLayout.ORIGINAL,),  # carp.md 3.2, verified
    claim=rules.demote_by_suppressing,  # carp.md 6.2
    compare=rules.faster_wins,  # acceptance.json: skew 100 against 101
    keeps_on_tie=rules.never_keep,  # acceptance.json: equal makes a MASTER yield
    master_down_ns=rules.master_down_skew_once,  # measured 3.401 to 3.410 s at skew 100 with 10 ms ticks
    tolerated_ns=rules.master_down_skew_once,  # acceptance.json: advbase 3 skew 100 stays, advbase 4 takes over
    bows_out=True,  # captures t03: on interface down
    farewell=False,
    announce_again_after=None,  # carp.md section 13: not repeated
    reasserts=False,  # carp.md section 13: none after a partition heals
    drops_own_source=False,  # accepts even its own source address on Ethernet, carp.md section 13
    send_errors=ErrorBudget(failures=3, successes=3, demotion=1),  # carp.md 6.2: any count means 240
    source_mac=ethernet.virtual_mac,  # captured
    tos=ip.TOS_LOW_DELAY,  # captured
    identification=0,  # captured
    arp=ArpForm(own_target_mac=False, with_reply=False),  # captured
    limits=Limits(advskew_max=254, addresses=None),
)
"""NetBSD's kernel."""
