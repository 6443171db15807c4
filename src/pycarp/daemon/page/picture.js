// Who holds what: for each interface a segment, on it a box for each machine, and in it the hosts that it holds.

import { age, element, write } from "./elements.js";

const NAMES_ONLY_FROM = 13; // So many hosts on a segment are shown without their addresses.

// Return for each interface its machines, this one first; hosts are in the box of who holds their addresses.
function segments(hosts, ageOf) {
  const found = new Map();
  for (const host of hosts) {
    const { status } = host;
    if (!found.has(status.interface)) found.set(status.interface, new Map([["", machine("")]]));
    const machines = found.get(status.interface);
    const at = (name) => machines.get(name) ?? machines.set(name, machine(name)).get(name);
    status.heard.forEach((peer, index) => {
      const box = at(host.machines[index]);
      const seconds = ageOf(host, index);
      box.seconds = Math.min(box.seconds, seconds);
      box.isActive ||= !peer.has_left && seconds < 3 * (peer.advbase + peer.advskew / 256) + 1;
      box.hasLeft &&= peer.has_left;
      if (status.state === "MASTER" && !peer.has_left && seconds < 3 * (peer.advbase + peer.advskew / 256)) box.rivals.add(host);
    });
    const master = status.heard.findIndex((peer) => peer.source === status.master);
    if (status.state === "MASTER") at("").holds.push(host);
    else if (status.state === "INIT") at("").absent.push(host);
    else {
      at("").stands.push(host);
      at(status.master === null ? "?" : master < 0 ? status.master : host.machines[master]).holds.push(host);
    }
  }
  return found;
}

function machine(name) {
  return { name, holds: [], stands: [], absent: [], rivals: new Set(), seconds: Infinity, isActive: false, hasLeft: true };
}

export class Picture {
  constructor(target) {
    this.target = target;
    this.shown = "";
    this.ages = [];
    this.places = new Map();
  }

  update(hosts, hostname, ageOf) {
    const found = segments(hosts, ageOf);
    const key = JSON.stringify([hostname, [...found].map(([name, machines]) => [name, [...machines.values()].map(outline)])]);
    if (key !== this.shown) {
      this.shown = key;
      this.draw(found, hostname);
    }
    for (const [name, box] of [...found.values()].flatMap((machines) => [...machines])) {
      const place = this.ages.find(([known, segment]) => known === name && found.get(segment)?.get(name) === box);
      if (place) write(place[2], heard(box));
    }
  }

  draw(found, hostname) {
    this.ages = [];
    const before = this.places;
    this.places = new Map();
    const boxes = [...found].map(([segment, machines]) => {
      const count = [...machines.values()].reduce((sum, each) => sum + each.holds.length + each.absent.length, 0);
      const items = [...machines.values()].map((each) => this.box(each, segment, hostname, count < NAMES_ONLY_FROM, before));
      return element(
        "div",
        { class: "segment" },
        element("h3", {}, segment),
        element("ul", { class: "machines", "aria-label": `Machines on ${segment}` }, items),
      );
    });
    this.target.replaceChildren(...boxes);
  }

  box(each, segment, hostname, withAddresses, before) {
    const isHere = each.name === "";
    const isUnknown = each.name === "?";
    const title = isHere ? hostname : isUnknown ? "nobody known" : each.name;
    const ages = element("span", { class: "quiet" }, isHere ? "this machine" : isUnknown ? "no master is heard" : heard(each));
    if (!isHere && !isUnknown) this.ages.push([each.name, segment, ages]);
    const chips = (hosts, kind) =>
      [...hosts].sort((one, other) => Boolean(other.wrong) - Boolean(one.wrong)).map((host) => {
        const place = `${kind} ${segment} ${each.name}`;
        if (kind === "MASTER") this.places.set(host.id, place);
        const isNew = kind === "MASTER" && before.has(host.id) && before.get(host.id) !== place;
        return chip(host, isUnknown ? "UNKNOWN" : kind, { withAddresses, isNew, isWrong: isHere && Boolean(host.wrong) });
      });
    const part = (words, hosts, kind) =>
      hosts.length ? [element("p", { class: "quiet" }, hosts.length > 3 ? `${words} ${hosts.length}` : words), element("ul", { class: "chips" }, chips(hosts, kind))] : null;
    const isIdle = !isHere && !isUnknown && each.holds.length === 0 && each.rivals.size === 0;
    const isFull = each.holds.length >= NAMES_ONLY_FROM || each.stands.length >= NAMES_ONLY_FROM;
    return element(
      "li",
      { class: `machine${isHere ? " here" : ""}${isUnknown ? " unknown" : ""}${isIdle ? " idle" : ""}${isFull ? " full" : ""}` },
      element("div", { class: "heading" }, element("h4", {}, title), ages),
      part("MASTER of", isUnknown ? [] : each.holds, "MASTER"),
      part("advertises as well", [...each.rivals], "RIVAL"),
      part("hosts without a master", isUnknown ? each.holds : [], "MASTER"),
      part("stands by for", each.stands, "BACKUP"),
      part("takes no part in", each.absent, "INIT"),
    );
  }
}

function heard(box) {
  if (box.isActive) return box.seconds < 2 ? "heard now" : `heard ${age(box.seconds)} ago`;
  if (box.seconds === Infinity) return "";
  return box.hasLeft ? `left, last heard ${age(box.seconds)} ago` : `silent for ${age(box.seconds)}`;
}

function outline(box) {
  const ids = (hosts) => [...hosts].map((host) => [host.id, host.status.name, host.status.addresses, Boolean(host.wrong)]);
  return [box.name, ids(box.holds), ids(box.stands), ids(box.absent), ids(box.rivals)];
}

function chip(host, kind, { withAddresses, isNew, isWrong }) {
  const { name, addresses } = host.status;
  return element(
    "li",
    {},
    element(
      "a",
      { href: `#${encodeURIComponent(`host-${host.id}`)}`, class: `chip ${kind}${isNew ? " arrived" : ""}${isWrong ? " wrong" : ""}` },
      element("b", {}, name),
      withAddresses && kind === "MASTER" ? addresses.map((each) => element("span", {}, each.split("/")[0])) : null,
    ),
  );
}
