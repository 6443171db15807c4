// The page of a daemon: what it says, as it says it.

import { age, clock, element, plural, write } from "./elements.js";
import { follow } from "./live.js";
import { keepHeight } from "./kept_height.js";
import { Picture } from "./picture.js";
import { HostRow } from "./hosts.js";
import { HostActions, buttonsForAll } from "./actions.js";
import { labels } from "./timeline.js";

const EVENTS_MOST = 300;
const WRONG_SHOWN = 6;
const FILTERS_FROM = 9;
const COUNT_MS = 250;
const HOUR = 3600;
const DAY = 24 * HOUR;

const at = (id) => document.getElementById(id);
const now = () => performance.now();
const since = (moment) => (now() - moment) / 1000;

const hosts = new Map(); // By vhid@interface, in the order of the daemon.
const rows = new Map();
const picture = new Picture(at("picture"));
let node = null;
let nodeAt = 0;
let version = "";
let seq = 0;
let isLost = false;
let mayAct = false;
let span = null; // Seconds; not chosen yet.

const idOf = (status) => `${status.vhid}@${status.interface}`;
const ageOf = (host, index) => host.heard[index] + since(host.heardAt);

function receive(name, message) {
  regain();
  takeRights(message.may_act);
  if (name === "everything") receiveAll(message);
  else receiveUpdate(message);
  picture.update([...hosts.values()], node.hostname, ageOf);
  showVerdict();
  addEvents(message.events);
  document.body.classList.remove("waiting");
  if (document.visibilityState === "visible") ["verdict", "picture"].map(at).forEach(keepHeight);
}

function takeRights(is) {
  if (is === mayAct) return;
  mayAct = is;
  at("all").hidden = !mayAct;
  for (const [id, row] of rows) row.actions.update(hosts.get(id), mayAct);
}

function receiveAll({ version: of, node: all, hosts: views, events }) {
  version = of;
  if (span === null) choose(all.uptime_s < HOUR ? HOUR : DAY);
  // A daemon that was started again counts from 1.
  if (node && node.pid !== all.pid) {
    seq = 0;
    at("events").replaceChildren();
  }
  receiveNode(all);
  const ids = new Set(views.map((each) => idOf(each.status)));
  for (const id of [...hosts.keys()]) if (!ids.has(id)) drop(id);
  views.forEach(receiveHost);
}

function receiveUpdate({ uptime_s, node: all, hosts: views, gone, heard_s_ago, outlook_in_s, next_s }) {
  if (all) receiveNode(all);
  else {
    node.uptime_s = uptime_s;
    nodeAt = now();
  }
  gone.forEach(drop);
  views.forEach(receiveHost);
  for (const [id, ages] of Object.entries(heard_s_ago)) {
    const host = hosts.get(id);
    if (host) Object.assign(host, { heard: ages, heardAt: now(), next: next_s[id] });
  }
  for (const [id, left] of Object.entries(outlook_in_s)) {
    const host = hosts.get(id);
    if (host) Object.assign(host, { left, leftAt: now() });
  }
}

function receiveNode(all) {
  node = all;
  nodeAt = now();
  write(at("machine"), node.hostname || "this machine");
  showCounters();
}

function timesOf(outlook) {
  return { left: outlook.filter((each) => each.in_s !== null).map((each) => each.in_s), leftAt: now() };
}

function receiveHost(view) {
  const id = idOf(view.status);
  const before = hosts.get(id);
  const host = { ...view, id, at: now(), heard: view.status.heard.map((each) => each.heard_s_ago), heardAt: now(), next: view.status.next_s, ...timesOf(view.outlook) };
  hosts.set(id, host);
  if (!rows.has(id)) {
    rows.set(id, new HostRow(id, { since, actions: new HostActions(), mayAct: () => mayAct }));
    at("list").append(rows.get(id).root);
  }
  rows.get(id).update(host, span);
  if (before && before.status.state !== view.status.state) {
    write(at("said"), `${view.status.name} is ${view.status.state}: ${view.status.last_change?.explanation ?? ""}`);
  }
  filter();
}

function drop(id) {
  hosts.delete(id);
  rows.get(id)?.root.remove();
  rows.delete(id);
}

// The verdict

function showVerdict() {
  const all = [...hosts.values()];
  const wrong = all.filter((each) => each.wrong);
  const noted = all.filter(({ status }) => status.is_drained || !status.is_up || status.demotion.some((each) => each.is_wanted));
  const kind = wrong.length ? "bad" : noted.length ? "note" : "good";
  const counts = ["MASTER", "BACKUP", "INIT"]
    .map((state) => [state, all.filter((each) => each.status.state === state).length])
    .filter(([, count]) => count)
    .map(([state, count]) => (state === "INIT" ? `INIT in ${count}` : `${state} of ${count}`));
  const lines = [
    ...wrong.slice(0, WRONG_SHOWN).map((each) => [link(each), ` ${each.wrong}`, advice(each)]),
    ...(wrong.length > WRONG_SHOWN ? [[`and ${wrong.length - WRONG_SHOWN} more`]] : []),
    ...(wrong.length ? [] : noted.slice(0, WRONG_SHOWN).map((each) => [link(each), ` ${noteOf(each.status)}`])),
  ];
  const made = [
    element("p", { class: "title" }, headline(all.length, wrong.length, noted.length)),
    element("p", {}, `This machine is ${counts.join(", ") || "idle"}.`),
    lines.length ? element("ul", {}, lines.map((each) => element("li", {}, each))) : null,
  ].filter(Boolean);
  const target = at("verdict");
  const text = made.map((each) => each.textContent).join("\n");
  if (target.dataset.text !== text) {
    target.dataset.text = text;
    target.className = `verdict ${kind}`;
    target.replaceChildren(...made);
  }
  showTitle(wrong.length);
}

function headline(all, wrong, noted) {
  if (all === 0) return "No virtual host is configured";
  if (wrong) return `${wrong} of ${plural(all, "virtual host")} ${wrong === 1 ? "needs" : "need"} attention`;
  if (all === 1) return noted ? "As wanted; the virtual host is out of service" : "The virtual host is well";
  if (noted) return `As wanted; ${noted} of ${all} virtual hosts ${noted === 1 ? "is" : "are"} out of service`;
  return `All ${all} virtual hosts are well`;
}

function link(host) {
  return element("a", { href: `#${encodeURIComponent(`host-${host.id}`)}` }, host.status.name);
}

// Return the first reason in full, and the command that shows more.
function advice({ status }) {
  const next = status.alarms.find((each) => each.command);
  const failing = status.checks.filter((each) => !each.passes && each.detail);
  const reasons = [...status.alarms.map((each) => each.text), ...failing.map((each) => each.detail), status.address_error];
  return [`: ${reasons.find(Boolean) ?? ""}`.replace(/^: $/, ""), next ? [". Next: ", element("code", {}, next.command)] : null];
}

function noteOf(status) {
  if (!status.is_up) return "was set down";
  const wanted = status.demotion.find((each) => each.is_wanted);
  return wanted ? `is ${status.is_drained ? "" : "demoted: "}${wanted.cause}` : "is drained";
}

function showTitle(wrong) {
  const mark = isLost ? "✕ " : wrong ? `(${wrong}) ` : "";
  document.title = `${mark}${node?.hostname || "CARP"}: CARP`;
  const icon = document.querySelector("link[rel=icon]");
  const file = isLost || wrong ? "page/icon-alarm.svg" : "page/icon.svg";
  if (icon.getAttribute("href") !== file) icon.setAttribute("href", file);
}

// The connection

function lose(seconds) {
  isLost = true;
  document.body.classList.add("is-lost");
  at("lost").hidden = false;
  const what = node ? `what is shown is ${age(seconds)} old` : "nothing was received yet";
  write(at("lost"), `No connection to the daemon: ${what}. Trying again.`);
  write(at("link-text"), "no connection");
  at("link").className = "link bad";
  showTitle(0);
}

function regain() {
  if (!isLost && at("link").className === "link good") return;
  isLost = false;
  document.body.classList.remove("is-lost");
  at("lost").hidden = true;
  write(at("link-text"), "live");
  at("link").className = "link good";
}

// Events

function addEvents(events) {
  const list = at("events");
  const fresh = events.filter((each) => each.seq > seq);
  if (fresh.length === 0) return;
  seq = fresh.at(-1).seq;
  list.prepend(...fresh.slice(-EVENTS_MOST).reverse().map(eventRow));
  while (list.childElementCount > EVENTS_MOST) list.lastElementChild.remove();
}

function eventRow({ at: moment, level, text, about }) {
  const date = new Date(moment);
  const key = `${about.vhid}@${about.interface}: `;
  const words = [key, `${about.host} `].reduce((rest, each) => (rest.startsWith(each) ? rest.slice(each.length) : rest), text);
  return element(
    "li",
    { class: level },
    element("time", { datetime: moment, title: moment }, clock(date)),
    level === "info" ? null : element("span", { class: `mark ${level === "warning" ? "note" : "bad"}` }, level),
    element("span", {}, about.host ? [element("b", {}, about.host), ` ${words}`] : text),
  );
}

// Counters

function showCounters() {
  const tables = Object.entries(node.links).map(([name, each]) => {
    const counted = Object.entries(each.counters).filter(([, count]) => count);
    const dropped = Object.entries(each.drops).map(([reason, count]) => [`dropped: ${reason}`, count]);
    const floods = each.floods ? [["floods", each.floods]] : [];
    return element(
      "table",
      {},
      element("caption", {}, name),
      element("tbody", {}, [...counted, ...dropped, ...floods].map(([what, count]) =>
        element("tr", {}, element("th", { scope: "row" }, what), element("td", {}, count.toLocaleString())),
      )),
    );
  });
  at("counters").replaceChildren(...tables);
}

function showFooter() {
  if (!node) return;
  const text = `pycarp ${version}, pid ${node.pid}, up ${age(node.uptime_s + since(nodeAt))}, ${node.transport} transport`;
  const line = at("footer").firstElementChild;
  if (line) write(line, text);
  else {
    const links = [["metrics", "Metrics"], ["healthz", "Health"], ["api/status", "Status as JSON"]];
    at("footer").replaceChildren(
      element("p", {}, text),
      element("p", {}, links.flatMap(([href, name]) => [element("a", { href }, name), " "])),
    );
  }
}

// The list

function filter() {
  at("filters").hidden = hosts.size < FILTERS_FROM;
  const words = at("find").value.trim().toLowerCase();
  const only = at("only").value;
  let shown = 0;
  for (const [id, { root }] of rows) {
    const { status, wrong } = hosts.get(id);
    const text = `${status.name} ${id} ${status.addresses.join(" ")} ${status.master ?? ""}`.toLowerCase();
    const isShown = text.includes(words) && (only === "" || only === status.state || (only === "wrong" && wrong !== ""));
    root.hidden = !isShown;
    shown += isShown;
  }
  at("none").hidden = shown > 0 || hosts.size === 0;
}

function drawLines() {
  if (span === null) return;
  for (const row of rows.values()) row.drawLine(span);
  at("axis").replaceChildren(element("span", { class: "labels" }, labels(span).map((each) => element("span", {}, each))));
}

function choose(seconds) {
  span = seconds;
  document.querySelector(`input[name=span][value="${seconds}"]`).checked = true;
  drawLines();
}

function openTarget() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id.startsWith("host-") ? at(id) : null;
  if (!target) return;
  at("find").value = "";
  at("only").value = "";
  filter();
  target.open = true;
  target.querySelector("summary").focus({ preventScroll: true });
  target.scrollIntoView({ block: "nearest" });
}

at("find").addEventListener("input", filter);
at("only").addEventListener("input", filter);
for (const each of document.querySelectorAll("input[name=span]")) {
  each.addEventListener("change", () => choose(Number(each.value)));
}
addEventListener("hashchange", openTarget);
at("all").append(...buttonsForAll());
setInterval(() => {
  // Of a daemon that is lost it is not known what is so still.
  if (isLost) return;
  for (const row of rows.values()) row.tick();
  showFooter();
}, 1000);
setInterval(() => {
  if (isLost) return;
  for (const row of rows.values()) row.outlook?.tick();
}, COUNT_MS);
setInterval(drawLines, 20000);
follow(receive, lose);
