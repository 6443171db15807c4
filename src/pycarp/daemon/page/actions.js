// What who has the token may do: drain, end that, hand over. Each is confirmed; the token is kept by this page alone,
// until it is closed or loaded again, and never stands in an address.

import { element, write } from "./elements.js";

const HANDED_OVER = "handed over"; // The cause of the demotion that a hand-over leaves.

let token = "";

const KINDS = {
  handover: {
    verb: "Hand over",
    title: (name) => `Hand ${name} over?`,
    text: "This machine drops the addresses, and the next host takes them over. It stays demoted until you take the hand-over back. If nobody takes over, this machine takes the addresses back.",
    request: () => ({ timeout_s: 5, is_back: false }),
    done: (reply) => `${reply.master} is MASTER after ${(reply.took_s * 1000).toFixed(1)} ms.`,
  },
  back: {
    verb: "Take back",
    type: "handover",
    title: (name) => `Take the hand-over of ${name} back?`,
    text: "This machine is demoted no longer. With preempt it takes the addresses over if its claim is the better one.",
    request: () => ({ timeout_s: 5, is_back: true }),
    done: () => "The hand-over is taken back.",
  },
  drain: {
    verb: "Drain",
    title: (name) => `Drain ${name}?`,
    text: "The next host takes the addresses over, and this machine stays the last of all, also after a restart of the daemon, until you undrain it.",
    hasReason: true,
    request: (form) => ({
      reason: form.reason.value.trim(),
      for_s: form.duration.value ? Number(form.duration.value) : null,
      is_forced: form.forced.checked,
    }),
    done: (reply) => reply.hosts.map((each) => drained(each)).join(" ") + (reply.warning ? ` Warning: ${reply.warning}` : ""),
  },
  undrain: {
    verb: "Undrain",
    title: (name) => `Undrain ${name}?`,
    text: "This machine takes part again as it did before. With preempt it takes the addresses over if its claim is the better one.",
    request: () => ({}),
    done: (reply) => `It is drained no longer.${reply.warning ? ` Warning: ${reply.warning}` : ""}`,
  },
};

function drained({ host, was_master, master, answers }) {
  if (!was_master) return `${host} is drained.`;
  const proof = answers === false ? ", but nobody answers for all of its addresses yet" : "";
  return master === null ? `${host} is drained, and no other MASTER is known.` : `${host} is drained: ${master} is MASTER${proof}.`;
}

// The buttons of a host; which there are depends on its state.
export class HostActions {
  constructor() {
    this.host = null;
    this.mayAct = false;
    this.buttons = Object.entries(KINDS).map(([kind, { verb }]) => [
      kind,
      element("button", { type: "button", click: () => ask(kind, this.host.status.name, this.host.id) }, `${verb}…`),
    ]);
    this.root = element("div", { class: "actions", hidden: true }, this.buttons.map(([, button]) => button));
  }

  update(host, mayAct) {
    this.host = host;
    const { state, is_drained, demotion } = host.status;
    const isHandedOver = demotion.some((each) => each.cause === HANDED_OVER);
    const fitting = {
      handover: state === "MASTER" && !is_drained,
      back: isHandedOver,
      drain: !is_drained,
      undrain: is_drained,
    };
    this.root.hidden = !mayAct;
    for (const [kind, button] of this.buttons) button.hidden = !fitting[kind];
  }
}

// Return the buttons for all hosts of the machine.
export function buttonsForAll() {
  return ["drain", "undrain"].map((kind) =>
    element("button", { type: "button", click: () => ask(kind, "every host of this machine", null) }, `${KINDS[kind].verb} all…`),
  );
}

// Ask whether that is meant, for the token if there is none yet, and do it.
function ask(kind, name, host) {
  const { verb, title, text, hasReason } = KINDS[kind];
  const said = element("p", { class: "outcome", role: "status" });
  const close = element("button", { type: "button", click: () => dialog.close() }, "Cancel");
  const go = element("button", { type: "submit", class: "go" }, verb);
  const secret = element("label", { hidden: token !== "" }, "Token ",
    element("input", { name: "token", type: "password", autocomplete: "current-password", required: token === "" }));
  const fields = element(
    "fieldset",
    {},
    element("legend", { class: "unseen" }, verb),
    hasReason ? reasonFields() : null,
    // For the password managers of browsers.
    element("input", { type: "text", autocomplete: "username", value: `pycarp on ${location.host}`, hidden: true }),
    secret,
  );
  const form = element(
    "form",
    {
      submit: async (event) => {
        event.preventDefault();
        if (form.token.value) token = form.token.value;
        go.disabled = fields.disabled = true;
        write(said, "Asking the daemon…");
        const { isDone, isWrongToken, message } = await send(kind, form, host);
        write(said, message);
        said.className = `outcome ${isDone ? "good" : "bad"}`;
        if (isDone) {
          go.hidden = fields.hidden = true;
          write(close, "Close");
          close.focus();
          return;
        }
        go.disabled = fields.disabled = false;
        if (isWrongToken) {
          token = "";
          secret.hidden = false;
          form.token.required = true;
          form.token.value = "";
          form.token.focus();
        }
      },
    },
    element("h2", { id: "asked" }, title(name)),
    element("p", {}, text),
    fields,
    said,
    element("div", { class: "choice" }, close, go),
  );
  const dialog = element("dialog", { "aria-labelledby": "asked", close: () => dialog.remove() }, form);
  document.body.append(dialog);
  dialog.showModal();
}

function reasonFields() {
  const options = [["", "until undrained"], ["900", "for 15 minutes"], ["3600", "for an hour"], ["14400", "for four hours"]];
  return [
    element("label", {}, "Reason ", element("input", { name: "reason", type: "text", maxlength: "200", autocomplete: "off" })),
    element("label", {}, "How long ", element("select", { name: "duration" }, options.map(([value, name]) => element("option", { value }, name)))),
    element("label", { class: "check" }, element("input", { name: "forced", type: "checkbox" }), " also if nobody takes over"),
  ];
}

async function send(kind, form, host) {
  const { type, request, done } = KINDS[kind];
  const body = JSON.stringify({ type: type ?? kind, host, ...request(form) });
  try {
    const response = await fetch("api/control", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body,
    });
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    const reply = isJson ? await response.json() : { message: await response.text() };
    if (response.ok) return { isDone: true, message: done(reply) };
    return { isDone: false, isWrongToken: response.status === 401, message: `Refused: ${reply.message}` };
  } catch (error) {
    return { isDone: false, message: `No answer, so it is not known whether that was done: ${error.message}` };
  }
}
