// The states of a host within a span of time, as a picture and as a sentence. The height says the state, too.

import { age, drawing, plural } from "./elements.js";

const WIDTH = 1000;
const LEAST = 3; // A state that lasted for a moment only can still be seen.
const SHAPES = { MASTER: [0, 20], BACKUP: [11, 9], INIT: [16, 4] };

// Return the stays of a host, the earliest first: state, why it began, and its beginning and end in seconds ago.
export function stays(changes, sinceReceived) {
  return changes.map(([ago, state, why], index) => ({
    state,
    why,
    from: ago + sinceReceived,
    to: index + 1 < changes.length ? changes[index + 1][0] + sinceReceived : 0,
  }));
}

export function draw(all, span) {
  const shown = all.filter((each) => each.to < span);
  const x = (ago) => WIDTH - (Math.min(ago, span) / span) * WIDTH;
  const bars = shown.map((each) => {
    const [top, height] = SHAPES[each.state];
    const left = x(each.from);
    const width = Math.max(x(each.to) - left, LEAST);
    return drawing(
      "rect",
      { class: each.state, x: Math.min(left, WIDTH - width).toFixed(1), y: top, width: width.toFixed(1), height },
      drawing("title", {}, `${each.state} for ${age(each.from - each.to)}: ${each.why}`),
    );
  });
  return drawing(
    "svg",
    { class: "timeline", viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: "none", role: "img", "aria-label": say(shown, span) },
    bars,
  );
}

function say(shown, span) {
  const name = span > 3600 ? "Last day" : "Last hour";
  if (shown.length === 0) return `${name}: nothing is known`;
  const known = Math.min(shown[0].from, span);
  const shares = ["MASTER", "BACKUP", "INIT"].map((state) => {
    const spent = shown.filter((each) => each.state === state);
    const seconds = spent.reduce((sum, each) => sum + Math.min(each.from, span) - each.to, 0);
    return spent.length ? `${state} for ${age(Math.round(seconds))}` : "";
  });
  const changed = shown.filter((each) => each.from < span).length;
  return `${name}, of which ${age(known)} are known: ${shares.filter(Boolean).join(", ")}; ${plural(changed, "change")}`;
}

// Return the labels of a span from its beginning to now, evenly spread.
export function labels(span) {
  const now = Date.now();
  return [1, 0.75, 0.5, 0.25, 0].map((share) =>
    share === 0 ? "now" : new Date(now - share * span * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
  );
}
