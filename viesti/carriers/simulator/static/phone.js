// One phone on the page: its element, and how it is brought up to date.

const LABELS = {
  deliver: "Delivers and confirms",
  deliver_slowly: "Confirms after 5 s",
  undeliverable: "Fails: undeliverable",
  expire: "Fails: expired",
  reject: "Fails: rejected",
  never_confirm: "Never confirms",
  refuse: "Carrier refuses the number",
  throttle: "Carrier throttles",
  no_answer: "Carrier never answers",
  lost_answer: "Delivers, but the answer is lost",
  late_answer: "Carrier answers after 40 s",
  early_receipt: "Receipt before the answer",
  twice_confirmed: "Confirms twice",
  drop_before_answer: "Connection cut before the answer",
  drop_after_answer: "Connection cut after the answer",
  opt_out: "Replies STOP",
  reply: "Replies “Thanks, got it!”",
  custom: "Told by the API",
};

export const label = (preset) => LABELS[preset] ?? preset.replaceAll("_", " ");

const WORDS = {
  DELIVRD: "delivered",
  UNDELIV: "undeliverable",
  EXPIRED: "expired",
  REJECTD: "rejected",
  DELETED: "deleted",
  ENROUTE: "on its way",
  ACCEPTD: "accepted",
  UNKNOWN: "unknown",
};
const FAILED = new Set(["UNDELIV", "EXPIRED", "REJECTD", "DELETED"]);

export async function call(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.error?.message ?? `status ${answer.status}`);
  return document;
}

export function readable(number) {
  const us = /^\+1(\d{3})(\d{3})(\d{4})$/.exec(number);
  return us ? `+1 ${us[1]} ${us[2]} ${us[3]}` : number;
}

function time(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function element(tag, className, content) {
  const made = document.createElement(tag);
  made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

// What became of a received text: the worst state of its parts, and whether it was heard.
function fate(text) {
  if (text.parts_received < text.parts) {
    return { words: `${text.parts_received} of ${text.parts} parts`, mood: "" };
  }
  const parts = text.states.map((state) => state.split(" "));
  const failed = parts.find(([word]) => FAILED.has(word));
  const waiting = parts.find(([word]) => word === "received");
  const [word, how] = failed ?? waiting ?? parts[parts.length - 1];
  if (word === "received") return { words: "no receipt yet", mood: "" };
  const heard = parts.every(([, state]) => state === "acknowledged");
  const words = `${WORDS[word] ?? word} · receipt ${heard ? "taken\u00a0✓" : how}`;
  return { words, mood: failed ? "bad" : word === "DELIVRD" ? "good" : "" };
}

function bubble(text) {
  const item = element("li", `text ${text.direction}`);
  item.append(element("div", "bubble", text.text));
  const words = [time(text.at)];
  let mood = "";
  if (text.direction === "sent") {
    words.push(text.states[0] === "taken" ? "taken\u00a0✓" : "waiting for a bind");
  } else {
    const known = fate(text);
    words.push(known.words);
    mood = known.mood;
  }
  if (text.parts > 1) words.push(`${text.parts} segments`);
  item.append(element("div", `meta ${mood}`, words.join(" · ")));
  return item;
}

export class Phone {
  constructor(handset, presets, hooks) {
    this.number = handset.number;
    this.hooks = hooks;
    const copy = document.getElementById("phone").content.cloneNode(true);
    this.root = copy.querySelector(".phone");
    this.list = this.root.querySelector(".texts");
    this.form = this.root.querySelector(".write");
    this.select = this.root.querySelector("select");
    this.root.querySelector(".number").textContent = readable(this.number);
    this.root.setAttribute("aria-label", `Phone ${this.number}`);
    this.shown = "";
    this.newest = 0;
    for (const preset of [...presets, "custom"]) {
      const option = element("option", "", label(preset));
      option.value = preset;
      option.disabled = preset === "custom";
      this.select.append(option);
    }
    this.select.addEventListener("change", () => this.behave(this.select.value));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(this.form.elements.text.value);
    });
    this.form.elements.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.form.requestSubmit();
      }
    });
    for (const button of this.root.querySelectorAll(".quick button")) {
      button.addEventListener("click", () => this.send(button.textContent));
    }
    this.root.querySelector(".close").addEventListener("click", () => hooks.close(this));
    this.show(handset);
  }

  get path() {
    return `/handsets/${encodeURIComponent(this.number)}`;
  }

  show(handset) {
    this.select.value = handset.preset;
    this.select.classList.toggle("told", handset.preset !== "deliver");
    const texts = JSON.stringify(handset.texts);
    if (texts === this.shown) return;
    const first = this.shown === "";
    this.shown = texts;
    const nearEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 60;
    const items = [];
    let peer = "";
    for (const text of handset.texts) {
      if (text.peer !== peer) {
        peer = text.peer;
        items.push(element("li", "peer", readable(peer)));
      }
      const item = bubble(text);
      if (!first && text.id > this.newest) item.classList.add("fresh");
      items.push(item);
    }
    this.newest = Math.max(this.newest, ...handset.texts.map((text) => text.id));
    this.list.replaceChildren(...items);
    if (first || nearEnd) this.list.scrollTop = this.list.scrollHeight;
    const to = this.form.elements.to;
    // A name cannot be replied to: the field keeps the last number that wrote.
    const numbers = handset.texts.filter((text) => /^\+?\d+$/.test(text.peer));
    if (numbers.length && document.activeElement !== to) to.value = numbers.at(-1).peer;
  }

  async behave(preset) {
    await this.hooks.attempt(async () => {
      this.show(await call("PUT", `${this.path}/behaviour`, { preset }));
    });
  }

  async send(text) {
    const to = this.form.elements.to;
    if (!to.value.trim()) {
      to.focus();
      to.reportValidity();
      return;
    }
    await this.hooks.attempt(async () => {
      await call("POST", `${this.path}/messages`, { to: to.value, text });
      this.form.elements.text.value = "";
    });
  }
}
