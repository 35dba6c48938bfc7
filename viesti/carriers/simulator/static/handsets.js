// The page of phones: opens them, keeps them up to date, shows the log when asked.

import { Phone, call, label, readable } from "./phone.js";

const SHOWN_AT_MOST = 24;
const byId = (id) => document.getElementById(id);
const phones = new Map();
let presets = ["deliver"];

async function attempt(action) {
  const notice = byId("notice");
  try {
    await action();
    notice.hidden = true;
  } catch (error) {
    notice.textContent = error.message;
    notice.hidden = false;
  }
}

function arrange() {
  byId("empty").hidden = phones.size > 0;
}

function close(phone) {
  attempt(async () => {
    await call("DELETE", phone.path);
    phone.root.remove();
    phones.delete(phone.number);
    arrange();
  });
}

// New phones come first; those that are shown stay where they are, so that nobody's reply moves.
function show(handset, first = true) {
  const known = phones.get(handset.number);
  if (known) {
    known.show(handset);
    return known;
  }
  if (phones.size >= SHOWN_AT_MOST && !makeRoom()) {
    byId("more").textContent =
      `Only ${SHOWN_AT_MOST} phones are shown; open another by its number.`;
    byId("more").hidden = false;
    return null;
  }
  const phone = new Phone(handset, presets, { attempt, close });
  phones.set(handset.number, phone);
  if (first) byId("phones").prepend(phone.root);
  else byId("phones").append(phone.root);
  phone.list.scrollTop = phone.list.scrollHeight;
  arrange();
  return phone;
}

// The last phone that nobody is writing on gives way.
function makeRoom() {
  for (const root of [...byId("phones").children].reverse()) {
    const phone = [...phones.values()].find((each) => each.root === root);
    if (phone && !root.contains(document.activeElement) && !phone.form.elements.text.value) {
      root.remove();
      phones.delete(phone.number);
      return true;
    }
  }
  return false;
}

async function load() {
  presets = Object.keys(await call("GET", "/presets"));
  const { handsets } = await call("GET", `/handsets?limit=${SHOWN_AT_MOST}`);
  for (const handset of handsets) show(handset, false);
  arrange();
}

async function tellBinds() {
  const binds = byId("binds");
  try {
    const health = await call("GET", "/health");
    const count = health.binds.length;
    const systems = [...new Set(health.binds.map((bind) => bind.system_id))].join(", ");
    binds.textContent = count
      ? `${count} ${count === 1 ? "bind" : "binds"} (${systems}) on port ${health.smpp_port}`
      : `nobody is bound on port ${health.smpp_port}`;
    binds.className = `binds ${count ? "up" : "down"}`;
  } catch {
    binds.textContent = "the simulator does not answer";
    binds.className = "binds down";
  }
}

async function tellNumbers() {
  const { patterns } = await call("GET", "/behaviour");
  const all = await call("GET", "/presets");
  const named = (behaviour) =>
    Object.keys(all).find((name) => JSON.stringify(all[name]) === JSON.stringify(behaviour));
  byId("numbers").replaceChildren(
    ...Object.entries(patterns).flatMap(([number, behaviour]) => {
      const term = document.createElement("dt");
      term.textContent = /^\d+$/.test(number) ? readable(`+${number}`) : number;
      const words = document.createElement("dd");
      words.textContent = label(named(behaviour) ?? "custom");
      return [term, words];
    }),
  );
}

function listen() {
  const events = new EventSource("/events");
  let opened = false;
  events.addEventListener("hello", () => {
    if (opened) attempt(load);
    opened = true;
    tellBinds();
  });
  events.addEventListener("handset", (event) => show(JSON.parse(event.data)));
  events.addEventListener("error", tellBinds);
}

byId("add").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const field = byId("number");
    const phone = show(await call("POST", "/handsets", { number: field.value }));
    field.value = "";
    phone?.root.scrollIntoView({ block: "nearest", inline: "center" });
    phone?.form.elements.text.focus({ preventScroll: true });
  });
});

// The log

const LOG_ROWS = 300;
let logAfter = 0;
let logTimer = 0;

function row(entry) {
  const cells = [
    entry.at.slice(11, 23),
    entry.bind,
    entry.direction === "in" ? "→" : "←",
    entry.command,
    entry.status ? `0x${entry.status.toString(16).toUpperCase().padStart(2, "0")}` : "",
    entry.sequence,
    entry.source ?? "",
    entry.destination ?? "",
    (entry.part ? `[${entry.part.sequence}/${entry.part.total}] ` : "") +
      (entry.text ?? entry.message_id ?? ""),
  ];
  const made = document.createElement("tr");
  if (entry.status) made.className = "bad";
  for (const cell of cells) {
    const data = document.createElement("td");
    data.textContent = cell;
    made.append(data);
  }
  made.lastChild.title = cells.at(-1);
  return made;
}

async function readLog() {
  const query = new URLSearchParams(
    logAfter ? { after: logAfter, limit: 1000 } : { last: LOG_ROWS },
  );
  for (const [name, value] of new FormData(byId("log-filter"))) if (value) query.set(name, value);
  const page = await call("GET", `/log?${query}`);
  logAfter = page.after;
  const rows = byId("log-rows");
  rows.prepend(...page.entries.slice(-LOG_ROWS).reverse().map(row));
  while (rows.children.length > LOG_ROWS) rows.lastChild.remove();
}

async function followLog() {
  clearTimeout(logTimer);
  if (byId("log").hidden) return;
  await attempt(readLog);
  logTimer = setTimeout(followLog, 1000);
}

byId("log-button").addEventListener("click", (event) => {
  const log = byId("log");
  log.hidden = !log.hidden;
  document.body.classList.toggle("with-log", !log.hidden);
  event.currentTarget.setAttribute("aria-expanded", String(!log.hidden));
  followLog();
});
byId("log-filter").addEventListener("input", () => {
  logAfter = 0;
  byId("log-rows").replaceChildren();
  followLog();
});
byId("log-filter").addEventListener("submit", (event) => event.preventDefault());

attempt(load).then(listen);
attempt(tellNumbers);
tellBinds();
setInterval(tellBinds, 5000);
