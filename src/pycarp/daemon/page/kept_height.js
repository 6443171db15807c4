// Parts of the page keep the greatest height that they have had, so that what is below them stays where it is read.

const MOST = "60vh"; // What is kept of it.

const kept = new Map();
let width = innerWidth;

// Keep the height that a part has now, if it is the greatest until now.
export function keepHeight(target) {
  const height = target.offsetHeight;
  if (height <= (kept.get(target) ?? 0)) return;
  kept.set(target, height);
  target.style.minHeight = `min(${height}px, ${MOST})`;
}

function letGo() {
  for (const target of kept.keys()) target.style.minHeight = "";
  kept.clear();
}

addEventListener("resize", () => {
  // Only the height changes as a phone hides its address bar.
  if (innerWidth !== width) letGo();
  width = innerWidth;
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") letGo();
});
