// What can happen next to a host, and when at the earliest: in a line, and in full with what runs down.

import { element, write } from "./elements.js";

const tenths = (seconds) => (seconds <= 0 ? "now" : `in ${seconds.toFixed(1)} s`);

// Return what a closed host says of its next state; empty where only a better host would change it.
export function nextOf(host) {
  const { status, outlook } = host;
  if (status.state === "INIT") return outlook.length ? `takes part as soon as ${outlook[0].condition}` : "";
  if (status.state !== "BACKUP" || outlook.length === 0) return "";
  if (outlook[0].in_s === null) return `takes over as soon as ${outlook[0].condition}`;
  const after = patience(host);
  const turn = after === null ? "takes over unless a MASTER advertises" : `takes over ${hundredths(after)} after its last advertisement`;
  return turn + preemption(status);
}

// Return how long after an advertisement of the master this host takes over, in seconds; null without a master.
function patience({ status, heard, next }) {
  const master = status.heard.findIndex((peer) => peer.source === status.master);
  return master < 0 || next === null ? null : next + heard[master];
}

// Write a span that is told by differences of times, so that the last digit stands still.
const hundredths = (seconds) => `${(seconds + 0.0001).toFixed(2)} s`;

function preemption({ preempt, restrictions }) {
  if (!preempt) return "; does not preempt";
  const causes = restrictions.filter((each) => each.to === "no-preempt").map((each) => each.cause);
  return causes.length ? `; preempts nobody: ${causes.join(", ")}` : "";
}

// The list of what can happen next. What runs down is for the eyes; a screen reader has what it runs down from.
export class Outlook {
  constructor(host, left) {
    this.left = left;
    this.running = [];
    this.root =
      host.outlook.length === 0
        ? null
        : element(
            "section",
            { class: "outlook" },
            element("h3", {}, "What can happen next"),
            element("ul", {}, host.outlook.map((each, index) => this.way(host, each, index))),
          );
    this.tick();
  }

  way(host, { state, condition, reason, in_s }, index) {
    const words = element("span", {}, ` ${condition} `, element("span", { class: "quiet" }, `(${reason})`));
    const next = element("b", {}, state);
    if (in_s === null) return element("li", {}, next, " as soon as", words);
    const time = element("span", { class: "countdown", "aria-hidden": "true" });
    const whole = patience(host) ?? in_s;
    const bar = element("span", { class: "left", "aria-hidden": "true" });
    this.running.push({ index, time, bar, whole });
    const spoken = element("span", { class: "unseen" }, `${hundredths(whole)} after the last advertisement`);
    return element("li", {}, next, " ", time, spoken, " if", words, element("span", { class: "run", "aria-hidden": "true" }, bar));
  }

  // Show what is left now.
  tick() {
    for (const { index, time, bar, whole } of this.running) {
      const seconds = this.left(index);
      if (seconds === null) continue;
      write(time, tenths(seconds));
      bar.style.transform = `scaleX(${Math.min(Math.max(seconds / whole, 0), 1)})`;
    }
  }
}
