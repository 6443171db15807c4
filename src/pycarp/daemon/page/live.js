// The connection to the daemon: one stream of server-sent events, opened again until it lasts.

const SILENT_MS = 3500; // The daemon says something each second.
const AGAIN_MS = [500, 1000, 2000, 4000, 5000];

// Follow the daemon. ``take`` gets the name and the content of each message; ``lost`` is called with the number of
// seconds since the last one, again and again while there is no connection.
export function follow(take, lost) {
  let source = null;
  let heardAt = performance.now();
  let isThere = false;
  let failures = 0;
  let waiting = null;

  function open() {
    clearTimeout(waiting);
    waiting = null;
    source?.close();
    source = new EventSource("api/live");
    const mine = source;
    const openedAt = performance.now();
    for (const name of ["everything", "update"]) {
      mine.addEventListener(name, (message) => {
        if (mine !== source) return;
        heardAt = performance.now();
        isThere = true;
        failures = 0;
        take(name, JSON.parse(message.data));
      });
    }
    mine.addEventListener("error", () => {
      if (mine === source) fail();
    });
    setTimeout(() => {
      // The program that answers at the address now accepts the connection and sends nothing.
      if (mine === source && heardAt < openedAt) fail();
    }, 2 * SILENT_MS);
  }

  function fail() {
    source?.close();
    source = null;
    isThere = false;
    if (waiting === null) waiting = setTimeout(open, AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)]);
    report();
  }

  function report() {
    if (!isThere) lost((performance.now() - heardAt) / 1000);
  }

  function tryNow() {
    if (!isThere && document.visibilityState === "visible") {
      failures = 0;
      open();
    }
  }

  setInterval(() => {
    if (isThere && performance.now() - heardAt > SILENT_MS) fail();
    else report();
  }, 500);
  addEventListener("online", tryNow);
  addEventListener("offline", () => fail());
  document.addEventListener("visibilitychange", tryNow);
  open();
}
