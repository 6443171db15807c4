"""Writes a plan as a script of ``pycarp.testing`` that somebody who mends the fault can run and change."""

from collections.abc import Iterator

from pycarp import Restriction
from tests.storms.plan import Action, Plan
from tests.storms.run import BY_PROGRAM, ROLLING_S, addresses_of

_NAMES = "abcdefghijklmnopqrstuvwxyz"
_AFTERWARDS_S = 10


def script_of(plan: Plan) -> str:
    """Return a script that does what the plan says, prints the transcript and asserts that nobody was second owner."""
    lines = ["import asyncio", "from pycarp import State", "from pycarp.testing import Cluster, run", "", ""]
    lines += list(_program(plan))
    lines += ["async def main() -> None:", f"    async with Cluster({_settings(plan)}) as c:"]
    conditions = tuple(_conditions(plan))
    lines += [f"        {each}" for each in conditions]
    now_us = 0
    for each in plan.actions:
        if each.at_us > now_us:
            lines.append(f"        await c.advance({(each.at_us - now_us) / 1e6:.6f})".replace("0000)", ")"))
            now_us = each.at_us
        lines += [f"        {_by_program(plan, each, line)}" for line in _line_of(plan, each)]
        if each.do == "heal":
            lines += [f"        {line}" for line in conditions]
    lines += [
        f"        await c.advance({_AFTERWARDS_S})",
        "        print(c.tail())",
        "        c.assert_never_two_owners()",
    ]
    return "\n".join([*lines, "", "", "run(main())", ""])


def _program(plan: Plan) -> Iterator[str]:
    """Yield what a member runs beside its hosts; hosts that are added later are not in it."""
    calls = []
    if plan.failback:
        calls.append("*(failback.follow(each, POLICY) for each in member.node.hosts)")
    if plan.group:
        calls.append('groups.follow("storm", *member.node.hosts)')
    if calls:
        yield "async def program(member):"
        yield from ("    from pycarp import failback, groups", "    from tests.storms.run import POLICY", "")
        yield f"    await asyncio.gather({', '.join(calls)})"
        yield from ("", "")


def _by_program(plan: Plan, action: Action, line: str) -> str:
    """Return a line that a member with a clock of its own carries out."""
    return f"c.{_NAMES[action.who]}.call(lambda: {line})" if plan.clocks and action.do in BY_PROGRAM else line


def _settings(plan: Plan) -> str:
    given = [f"{len(plan.advskews)}, advskews={plan.advskews}"]
    if plan.advbase != 1:
        given.append(f"advbase={plan.advbase}")
    given += [f"{name}=True" for name in ("preempt", "peers") if getattr(plan, name)]
    if plan.vhids != (1,):
        given.append(f"vhids={plan.vhids}")
    if plan.families != (4,):
        given.append(f"addresses={ {vhid: addresses_of(plan, vhid) for vhid in plan.vhids} }")
    if plan.clocks:
        given.append(f"clocks={[1 + each / 1000 for each in plan.clocks]}")
    if plan.group or plan.failback:
        given.append("program=program")
    if any(each.do == "demote_web" for each in plan.actions):
        given.append('groups={1: ("carp", "web")}')
    return ", ".join(given)


def _conditions(plan: Plan) -> Iterator[str]:
    if plan.delay_us != 50:
        yield f"c.delay({plan.delay_us / 1e6:g})"
    if plan.jitter_us:
        yield f"c.jitter({plan.jitter_us / 1e6:g}, seed={plan.seed})"
    if plan.duplicates:
        yield f"c.duplicate({plan.duplicates / 1000:g}, seed={plan.seed})"


def _line_of(plan: Plan, action: Action) -> Iterator[str]:  # noqa: C901  a line an action
    name = _NAMES[action.who]
    member, host, cause, amount = f"c.{name}", f"c.{name}.hosts[{action.vhid}]", repr(action.name), action.amount
    match action.do:
        case "demote":
            yield f"{host}.demote({cause}, by={amount})"
        case "last":
            yield f"{host}.demote({cause}, last=True)"
        case "restrict":
            yield f"{host}.restrict({cause}, {str(tuple(Restriction)[amount])!r})"
        case "unrestrict":
            yield f"{host}.unrestrict({cause})"
        case "restore":
            yield f"{host}.restore({cause})"
        case "demote_node" | "demote_carp" | "demote_web":
            group = "" if action.do == "demote_node" else f", group={action.do.removeprefix('demote_')!r}"
            yield f"{member}.node.demote({cause}, by={amount}{group})"
        case "force":
            yield f"{host}.force(State.{action.name})"
        case "down" | "up":
            yield f"{host}.{action.do}()"
        case "bounce":
            yield from [f"{host}.down()", f"{host}.up()"] * amount
        case "hand_over":
            yield f"call = {member}.run({host}.hand_over(timeout_s={amount / 1000:g}))"
        case "cancel":
            yield "call.cancel()"
        case "advskew":
            yield f"{host}.reconfigure(advskew={amount})"
        case "roll":
            yield from _roll(plan, action)
        case "remove":
            yield f"call = {member}.run({member}.node.remove({host}))"
        case "add":
            yield f"call = {member}.run({member}.node.add({member}.configs[{plan.vhids.index(action.vhid)}]))"
        case "leave" | "start":
            call = "leave" if action.do == "leave" else "restart"
            yield f"task_{name} = asyncio.create_task(c.{call}({name!r}))"
        case "take_away":
            yield f"{member}.actuator.take_away({addresses_of(plan, action.vhid)[0]!r})"
        case "slow":
            yield f"{member}.actuator.slow({cause}, takes_s={amount / 1000:g})"
        case "fail" | "hang":
            yield f"{member}.actuator.{action.do}({cause}{f', after={amount}' if amount else ''})"
        case "repair":
            yield f"{member}.actuator.repair()"
        case "link_down" | "link_up" | "stop" | "continue_" | "kill" | "repair_sends":
            yield f"c.{action.do}({name!r})"
        case "guardian":
            yield f"c.kill({name!r}, guardian=True)"
        case "fail_sends":
            yield f"c.fail_sends({name!r}, {amount or None})"
        case "loss":
            yield f"c.loss({amount / 1000:g}, seed={plan.seed})"
        case "delay":
            yield f"c.delay({amount / 1e6:g})"
        case "partition":
            yield f"c.partition({[_NAMES[each] for each in action.others]})"
        case "heal":
            yield "c.heal()"


def _roll(plan: Plan, action: Action) -> Iterator[str]:
    change = {
        "addresses": f"addresses=[*each.config.addresses, '192.0.2.21/24'], rolling_s={ROLLING_S}",
        "passphrase": f"passphrase='other', rolling_s={ROLLING_S}",
        "advbase": f"advbase={3 - plan.advbase}",
        "preempt": f"preempt={not plan.preempt}",
    }[action.name]
    pause = f"; await asyncio.sleep({action.amount / 1000:g})" if action.amount else ""
    yield f"for each in [host for member in c for host in member.node.hosts]: each.reconfigure({change}){pause}"
