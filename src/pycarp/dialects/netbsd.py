"""NetBSD, as its kernel of 2016 (ip_carp.c 1.76) was measured; its IPv6 as 1.120 (2023) has it."""

from pycarp.auth.counter import CounterMode
from pycarp.auth.digest import DigestLayout, HashOrder
from pycarp.dialects import rules
from pycarp.dialects.dialect import (
    AddressMac,
    ArpForm,
    Claim,
    DestinationRule,
    Dialect,
    ErrorBudget,
    Farewell,
    Limits,
    TtlRule,
)
from pycarp.wire import ethernet, ip
from pycarp.wire.advertisement import ChecksumForm

NETBSD = Dialect(
    name="netbsd",
    hash_order=HashOrder.SORTED,  # carp.md section 13, measured: ascending whatever the order of entry
    layouts=(DigestLayout.ORIGINAL,),  # carp.md 3.2, verified
    signs_lladdr=False,  # carp.md 3.4: OpenBSD only
    limits=Limits(),  # carp.md 3.5, 8.5
    counter=CounterMode.ADOPT,  # carp.md 1.5
    v6_checksum=ChecksumForm.PSEUDO,  # carp.md section 2: from about 1.120 on; older ones send no IPv6
    claim=rules.demote_by_suppressing,  # carp.md 6.2
    compare=rules.faster_wins,  # acceptance.json: skew 100 against 101
    keeps_on_tie=rules.never_keep,  # acceptance.json: equal makes a MASTER yield
    preempts_demoted=False,  # carp.md 5.1: OpenBSD only
    advertises_recovery=False,  # carp.md 6.2: only the change from 0 to 1
    master_down_ns=rules.master_down_skew_once,  # measured 3.401 to 3.410 s at skew 100 with 10 ms ticks
    tolerated_ns=rules.master_down_skew_once,  # acceptance.json: advbase 3 skew 100 stays, advbase 4 takes over
    bow_out=Claim(advbase=255, advskew=255),  # captures t03: on interface down
    farewell=Farewell.NONE,  # carp.md 5.3
    source_mac=ethernet.virtual_mac,  # captured
    ttl=TtlRule.ALWAYS,  # acceptance.json
    destination=DestinationRule.GROUP_OR_PEER,  # acceptance.json: what comes to its own address is not accepted
    tos=ip.TOS_LOW_DELAY,  # captured
    identification=0,  # captured
    drops_own_source=False,  # accepts even its own source address on Ethernet, carp.md section 13
    vrrp3=False,  # carp.md section 9
    address_mac=AddressMac.VIRTUAL,  # carp.md section 7
    arp=ArpForm(own_target_mac=False, link_source=True, with_reply=False),  # captured
    announce_again_after=None,  # carp.md section 13: not repeated
    reasserts=False,  # carp.md section 13: none after a partition heals
    answers_weaker=False,  # the next advertisement does
    yield_grace_ns=0,  # its MASTERs do not wait
    takeover_listen_ns=0,  # its MASTERs do not wait
    defers_to_better_master=False,  # carp.md 5.1: it judges each advertisement alone
    announce_every_s=0,  # its MASTERs do not repeat it
    drops_at_start=True,  # a kernel starts without addresses; a process may have a predecessor that left some
    unknown_link_is_up=True,  # carp.md 5.3: only explicit DOWN is down
    needs_allow=False,  # carp.md 5.3, 13: it ignores advertisements
    send_errors=ErrorBudget(failures=3, successes=3, demotion=1),  # carp.md 6.2: any count means 240
    link_down_demotion=1,  # carp.md 5.3; capture t06
)
"""NetBSD's kernel."""
