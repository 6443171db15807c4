"""FreeBSD up to 9: cloned ``carpN`` interfaces, demotion by suppressing. Source: ip_carp.c of 9.3."""

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

FREEBSD9 = Dialect(
    name="freebsd9",
    hash_order=HashOrder.SORTED,  # carp.md 3.2: sources of 2006 sign in the order of configuration instead
    layouts=(DigestLayout.ORIGINAL,),  # carp.md 3.2: an automatic link-local of carpN counts as well
    signs_lladdr=False,  # carp.md 3.4: OpenBSD only
    limits=Limits(),  # carp.md 3.5, 8.1
    counter=CounterMode.ADOPT,  # carp.md 1.5
    v6_checksum=ChecksumForm.PLAIN,  # carp.md section 2
    claim=rules.demote_by_suppressing,  # suppress_preempt, carp.md 6.2
    compare=rules.faster_wins,  # carp.md 5.1
    keeps_on_tie=rules.never_keep,  # carp.md 5.1: equal means yield
    preempts_demoted=False,  # carp.md 5.1: OpenBSD only
    advertises_recovery=False,  # carp.md 6.2: only the change from 0 to 1
    master_down_ns=rules.master_down_skew_once,  # carp.md 5.2
    tolerated_ns=rules.master_down_skew_once,  # carp.md 5.1, BACKUP test 3
    bow_out=Claim(advbase=255, advskew=255),  # carp.md 5.3: on ifconfig carp0 down
    farewell=Farewell.NONE,  # carp.md 5.3
    source_mac=ethernet.virtual_mac,  # carp.md 1.4
    ttl=TtlRule.ALWAYS,  # carp.md 4.2
    destination=DestinationRule.ANY,  # carp.md 4.2: not tested
    tos=ip.TOS_LOW_DELAY,  # carp.md 1.2
    identification=None,  # carp.md 1.2: the kernel generates it
    drops_own_source=False,  # carp.md 4.4
    vrrp3=False,  # carp.md section 9
    address_mac=AddressMac.VIRTUAL,  # carp.md section 7
    arp=ArpForm(own_target_mac=False, link_source=True, with_reply=False),  # carp.md section 7
    announce_again_after=None,  # carp.md 5.3: one round
    reasserts=False,  # carp.md 5.1
    answers_weaker=False,  # the next advertisement does
    yield_grace_ns=0,  # its MASTERs do not wait
    takeover_listen_ns=0,  # its MASTERs do not wait
    defers_to_better_master=False,  # carp.md 5.1: it judges each advertisement alone
    announce_every_s=0,  # its MASTERs do not repeat it
    drops_at_start=True,  # a kernel starts without addresses; a process may have a predecessor that left some
    unknown_link_is_up=False,  # carp.md 5.3: link state must be exactly UP
    needs_allow=False,  # carp.md 5.3, 13: it ignores advertisements
    send_errors=ErrorBudget(failures=3, successes=3, demotion=1),  # carp.md 6.2: any count means 240
    link_down_demotion=1,  # carp.md 6.2
)
"""FreeBSD 9 and older."""
