"""INIT: the host does not take part, because its link or its administrator is down, or because it leaves."""

from pycarp.core.events import Departed
from pycarp.core.host.context import Context
from pycarp.core.host.states import Init
from pycarp.core.host.transitions import become_backup, wait_for_every_other
from pycarp.core.inputs import (
    ActuationReported,
    AddressesDisturbed,
    EnvironmentChanged,
    HostReconfigured,
)
from pycarp.core.state import Reason


def environment_changed(ctx: Context, state: Init, _event: EnvironmentChanged) -> None:
    """Become BACKUP once link and administrator are up, unless the drop of the addresses is still under way."""
    if ctx.environment.is_ready and state.leaving_epoch is None and not state.is_final:
        become_backup(ctx, Reason.READY)
        if state.handed_over:
            wait_for_every_other(ctx)


def actuated(ctx: Context, state: Init, event: ActuationReported) -> None:
    """Bow out once the addresses are dropped, so that no peer takes over before; then end or become BACKUP again."""
    if event.error is not None:
        ctx.publish_failure(event)
        return
    ctx.forget_previous(event)
    if event.epoch != state.leaving_epoch:
        return
    if state.owes_bow_out and ctx.environment.link_is_up:
        ctx.bow_out()
    ctx.state = Init(is_final=state.is_final, handed_over=state.handed_over)
    if state.is_final:
        ctx.publish(Departed(key=ctx.key, at_ns=ctx.now_ns))
    else:
        environment_changed(ctx, ctx.state, EnvironmentChanged(ctx.environment))


def reconfigured(ctx: Context, state: Init, event: HostReconfigured) -> None:
    """Apply the settings; if the addresses changed, drop all of them before the host may leave."""
    is_leaving = state.leaving_epoch == ctx.epoch
    if ctx.reconfigure(event):
        ctx.drop()
    if is_leaving:
        state.leaving_epoch = ctx.epoch


def disturbed(ctx: Context, state: Init, _event: AddressesDisturbed) -> None:
    """Drop the addresses again, because another program may have added them."""
    is_leaving = state.leaving_epoch == ctx.epoch
    ctx.epoch += 1
    ctx.drop(force=True)
    if is_leaving:
        state.leaving_epoch = ctx.epoch
