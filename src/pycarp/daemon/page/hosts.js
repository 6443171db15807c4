// The list of virtual hosts: a row each, which opens to all that is known of it.

import { age, clock, element, plural, write } from "./elements.js";
import { Outlook, nextOf } from "./outlook.js";
import { draw, stays } from "./timeline.js";

export class HostRow {
  // ``since`` returns the seconds since a message was received; ``actions`` are the buttons, shown where one ``mayAct``.
  constructor(id, { since, actions, mayAct }) {
    this.id = id;
    this.since = since;
    this.host = null;
    this.state = element("span", { class: "state" });
    this.name = element("span", { class: "name" });
    this.key = element("span", { class: "quiet" });
    this.addresses = element("span", { class: "addresses" });
    this.holder = element("span", {});
    this.duration = element("span", { class: "duration" });
    this.why = element("span", { class: "quiet" });
    this.next = element("span", { class: "quiet" });
    this.marks = element("span", { class: "marks" });
    this.line = element("span", { class: "line" });
    this.body = element("div", { class: "body" });
    this.actions = actions;
    this.mayAct = mayAct;
    this.ticking = [];
    this.outlook = null;
    this.root = element(
      "details",
      { id: `host-${id}`, class: "host", toggle: () => this.fill() },
      element(
        "summary",
        {},
        element("span", { class: "first" }, this.state, this.duration),
        element("span", { class: "second" }, this.name, " ", this.key, this.addresses),
        element("span", { class: "third" }, this.holder, this.why, this.next, this.marks),
        this.line,
      ),
      this.body,
      this.actions.root,
    );
  }

  update(host, span) {
    this.host = host;
    const { status } = host;
    this.root.classList.toggle("wrong", Boolean(host.wrong));
    this.state.className = `state ${status.state}`;
    write(this.state, status.state);
    write(this.name, status.name);
    write(this.key, `${status.vhid}@${status.interface}`);
    write(this.addresses, status.addresses.join(" "));
    write(this.holder, holder(host));
    write(this.why, status.last_change?.explanation ?? "");
    this.marks.replaceChildren(...marks(host).map(([text, kind]) => element("span", { class: `mark ${kind}` }, text)));
    this.actions.update(host, this.mayAct());
    this.drawLine(span);
    this.fill();
    this.tick();
  }

  drawLine(span) {
    this.line.replaceChildren(draw(stays(this.host.changes, this.since(this.host.at)), span));
  }

  // Show the ages as they are now.
  tick() {
    const change = this.host.status.last_change;
    write(this.next, nextOf(this.host));
    write(this.duration, change ? `for ${age(change.s_ago + this.since(this.host.at))}` : "");
    for (const [target, text] of this.ticking) write(target, text());
  }

  fill() {
    this.ticking = [];
    this.outlook = null;
    if (!this.root.open) return;
    this.outlook = new Outlook(this.host, (index) => this.left(index));
    this.body.replaceChildren(...sections(this).filter(Boolean));
  }

  // Return how many seconds are left until what can happen next, by its place in the list; null if that is not known.
  left(index) {
    const { leftAt, left } = this.host;
    return index < left.length ? left[index] - this.since(leftAt) : null;
  }

  // Return a text that is written again each second.
  running(text) {
    const target = element("span", {}, text());
    this.ticking.push([target, text]);
    return target;
  }
}

function holder({ status, machines }) {
  if (status.state === "MASTER") return "this machine holds it";
  if (status.state === "INIT") return "takes no part";
  if (status.master === null) return "no master is heard";
  const index = status.heard.findIndex((peer) => peer.source === status.master);
  return `${index < 0 ? status.master : machines[index]} holds it`;
}

// Return what the row of a closed host must not hide.
function marks({ status, wrong }) {
  const found = wrong ? [[wrong, "bad"]] : [];
  if (status.is_drained) found.push(["drained", "note"]);
  else if (status.demotion.some((each) => each.is_wanted)) found.push(["demoted", "note"]);
  if (!status.is_up) found.push(["set down", "note"]);
  if (status.hooks.some((each) => each.error)) found.push(["a hook failed", "bad"]);
  if (status.warnings.length) found.push([plural(status.warnings.length, "warning"), "note"]);
  return found;
}

function sections(row) {
  const { status } = row.host;
  return [
    listed("What is wrong", [
      ...status.alarms.map((each) => [
        element("b", {}, each.name), `: ${each.text}`, each.command ? [". Next: ", element("code", {}, each.command)] : null,
      ]),
      ...status.missing.map((each) => [`without ${each}`]),
      ...(status.address_error ? [[status.address_error]] : []),
      ...status.warnings.map((each) => [each]),
    ]),
    row.outlook.root,
    listed("Drains, demotions and restrictions", held(row)),
    element("section", {}, element("h3", {}, "Claim"), element("p", {}, claim(status))),
    peers(row),
    checks(row),
    listed("Hooks and programs", [
      ...status.hooks.map((each) => [element("b", {}, each.name), ` on ${each.on.join(", ")}`, hookState(each)]),
      ...status.commands.map((each) => [element("b", {}, each.name), each.is_running ? " runs" : " waits for the mastership", ` (pid ${each.pid})`]),
    ]),
    transitions(row),
    settings(status),
  ];
}

function listed(title, items) {
  if (items.length === 0) return null;
  return element("section", {}, element("h3", {}, title), element("ul", {}, items.map((each) => element("li", {}, each))));
}

function held(row) {
  const { status, at } = row.host;
  const ends = (each) =>
    each.ends_in_s === null ? null : [", ends in ", row.running(() => age(each.ends_in_s - row.since(at)))];
  const words = { "no-preempt": "preempts nobody", "backup-only": "stays BACKUP" };
  return [
    ...status.demotion.map((each) => [element("b", {}, each.cause), `: demoted by ${each.amount}`, each.is_wanted ? ", as wanted" : null, ends(each)]),
    ...status.restrictions.map((each) => [element("b", {}, each.cause), `: ${words[each.to] ?? each.to}`, ends(each)]),
  ];
}

function claim(status) {
  const every = (advbase, advskew) => `every ${(advbase + advskew / 256).toFixed(3)} s (advbase ${advbase}, advskew ${advskew})`;
  const now = every(status.effective_advbase, status.effective_advskew);
  const verb = status.state === "MASTER" ? "It advertises" : "As MASTER it would advertise";
  const isDemoted = status.effective_advbase !== status.advbase || status.effective_advskew !== status.advskew;
  return `${verb} ${now}${isDemoted ? `, demoted from ${every(status.advbase, status.advskew)}` : ""}. The shorter interval wins.`;
}

function table(title, headings, rows) {
  return element(
    "section",
    {},
    element("h3", {}, title),
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": title },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, headings.map((each) => element("th", { scope: "col" }, each)))),
        element("tbody", {}, rows.map((cells) => element("tr", {}, cells.map((each) => element("td", {}, each))))),
      ),
    ),
  );
}

function peers(row) {
  const { status, machines } = row.host;
  if (status.heard.length === 0) return element("section", {}, element("h3", {}, "Peers"), element("p", {}, "No other host was heard."));
  return table(
    "Peers",
    ["Machine", "Claims", "Heard", "Decision"],
    status.heard.map((peer, index) => [
      [element("b", {}, machines[index]), machines[index] === peer.source ? "" : ` (${peer.source})`],
      `${(peer.advbase + peer.advskew / 256).toFixed(3)} s`,
      row.running(() => `${age(row.host.heard[index] + row.since(row.host.heardAt))} ago`),
      peer.has_left ? "it has left" : peer.decision,
    ]),
  );
}

function checks(row) {
  const { status, at } = row.host;
  if (status.checks.length === 0) return null;
  const fate = (each) => (each.releases ? "not MASTER meanwhile" : each.by === null ? "last of all" : `demoted by ${each.by}`);
  return table(
    "Checks",
    ["Check", "State", "For", "If it fails", "Detail"],
    status.checks.map((each) => [
      element("b", {}, each.name),
      element("span", { class: `mark ${each.passes ? "good" : "bad"}` }, each.passes ? "passes" : each.s_ago === null ? "not passed yet" : "fails"),
      each.s_ago === null ? "" : row.running(() => age(each.s_ago + row.since(at))),
      fate(each),
      each.detail,
    ]),
  );
}

function hookState(hook) {
  if (hook.is_running) return ", is running";
  return hook.error ? [", ", element("span", { class: "mark bad" }, `failed on ${hook.last_on}: ${hook.error}`)] : null;
}

function transitions(row) {
  const all = stays(row.host.changes, row.since(row.host.at)).reverse();
  if (all.length === 0) return null;
  return table(
    "Transitions of the last day",
    ["At", "State", "Why"],
    all.slice(0, 20).map((each) => [
      clock(new Date(Date.now() - each.from * 1000)),
      element("span", { class: `state ${each.state}` }, each.state),
      each.why,
    ]),
  );
}

function settings(status) {
  const pairs = [
    ["Addresses", status.addresses.join(", ")],
    ["Device", status.location],
    ["Preempts", status.preempt ? "yes" : "no"],
    ["Dialect", status.dialect],
    ["Peers", status.peers.join(", ") || "by multicast"],
    ["Sync group", status.sync_group],
    ["Not authentic", status.rejected ? plural(status.rejected, "advertisement") : ""],
    ["Contested", status.contested ? plural(status.contested, "time") : ""],
    ["Epoch", String(status.epoch)],
  ].filter(([, value]) => value);
  return element(
    "section",
    {},
    element("h3", {}, "Settings"),
    element("dl", {}, pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
  );
}
