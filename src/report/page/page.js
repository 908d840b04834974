"use strict";
(() => {
// Text of others goes into the page as text alone: textContent, never markup. Nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id);
const make = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
};
const count = number => number.toLocaleString("en");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const day = 86400e3;
const now = data.at ? Date.parse(data.at) : 0;
const time = text => (text ? Date.parse(text) : 0);
const days = text => (text ? Math.max(0, Math.floor((now - time(text)) / day)) : -1);
const ago = text => {
  if (!text) return "never";
  const since = days(text);
  return since === 0 ? "today" : `${count(since)} d ago`;
};

// Columns of the picture: the names of their nodes, and the node of each use.
const parts = data.uses;
const uses = parts.secret.map((secret, at) => ({
  secret, service: parts.service[at], host: parts.host[at] < 0 ? null : parts.host[at],
  program: parts.program[at] < 0 ? null : parts.program[at], delivery: parts.delivery[at],
  last: parts.last[at] ? `${new Date(parts.last[at] * 1000).toISOString().slice(0, 19)}Z` : null, running: !!parts.running[at],
}));
const ids = list => {
  const known = new Map();
  const names = [];
  const at = list.map(name => {
    if (!known.has(name)) { known.set(name, names.length); names.push(name); }
    return known.get(name);
  });
  return { names, at };
};
const kinds = ids(data.deliveries.map(text =>
  [...new Set(text.split(", ").map(one => one.split(" ")[0] || "none"))].join(", ")));
const owners = ids(data.secrets.map(secret => secret.owner || "no owner"));
const titled = row => row.environment ? `${row.name} · ${row.environment}` : row.name;
const columns = [
  { key: "owner", title: "Owner", share: 0.8, names: owners.names, of: use => owners.at[use.secret] },
  { key: "store", title: "Store", share: 0.7, names: data.stores.map(row => row.name || "no store"), of: use => data.secrets[use.secret].store },
  { key: "secret", title: "Secret", share: 1.6, names: data.secrets.map(titled), of: use => use.secret },
  { key: "service", title: "Service", share: 1.15, names: data.services.map(titled), of: use => use.service },
  { key: "delivery", title: "Delivery", share: 0.8, names: kinds.names, of: use => kinds.at[use.delivery] },
  { key: "program", title: "Program", share: 1.15, names: data.programs.map(row => row.path || "none"), of: use => use.program ?? -1 },
  { key: "host", title: "Host", share: 0.9, names: data.hosts.map(row => row.name), of: use => use.host ?? -1 },
];
for (const column of columns) {
  column.at = Int32Array.from(uses, column.of);
  column.low = column.names.map(name => name.toLowerCase());
}
const column = Object.fromEntries(columns.map((one, index) => [one.key, index]));

// What is known of each secret beside its own row.
const lists = length => Array.from({ length }, () => []);
const usesOf = lists(data.secrets.length);
uses.forEach((use, at) => usesOf[use.secret].push(at));
const findingsOf = lists(data.secrets.length);
data.findings.forEach((finding, at) => finding.secrets.forEach(secret => findingsOf[secret].push(at)));
const sharedOf = lists(data.secrets.length);
data.shared.forEach((group, at) => group.secrets.forEach(secret => sharedOf[secret].push(at)));
const facts = data.secrets.map((secret, at) => {
  const age = days(secret.made);
  const groups = sharedOf[at].map(group => data.shared[group]);
  return {
    age,
    overdue: secret.max_age !== undefined && age >= 0 && now - time(secret.made) > secret.max_age * 1000,
    found: findingsOf[at].length,
    shared: groups.length > 0,
    crosses: groups.some(group => group.environments.length > 1),
    unused: !usesOf[at].some(use => uses[use].running) && (days(secret.last) > 90 || !secret.last),
    services: new Set(usesOf[at].map(use => uses[use].service)).size,
    hosts: new Set(usesOf[at].map(use => uses[use].host)).size,
  };
});

// Filters.
const state = { search: "", owner: "", environment: "", classification: "", age: "", finding: "", chips: [], tab: 0, sort: 0, down: false, row: -1, scroll: 0 };
const ages = [["", "any"], ["30", "over 30 days"], ["90", "over 90 days"], ["365", "over a year"], ["overdue", "overdue"], ["unknown", "not known"]];
const flaws = [["", "any"], ["found", "found in the open"], ["shared", "value is used twice"], ["crosses", "value crosses environments"], ["unused", "unused for 90 days"], ["denied", "denied to somebody"]];
const fill = (id, options) => options.forEach(([value, text]) => {
  const option = make("option", text);
  option.value = value;
  by(id).append(option);
});
const known = field => [["", "any"], ...[...new Set(data.secrets.map(secret => secret[field] || ""))].sort().map(text => [text || "\0", text || "none"])];
const keys = ["owner", "environment", "classification"];
keys.forEach(key => fill(key, known(key)));
fill("age", ages);
fill("finding", flaws);

const fits = (secret, at) => {
  const fact = facts[at];
  if (keys.some(key => state[key] && (secret[key] || "\0") !== state[key])) return false;
  if (state.age === "overdue" ? !fact.overdue : state.age === "unknown" ? fact.age >= 0 : state.age && fact.age <= +state.age) return false;
  if (state.finding === "denied") return secret.denials > 0;
  return !state.finding || !!fact[state.finding];
};

let active = [];
let secrets = [];
const choose = () => {
  const wanted = state.search.toLowerCase();
  const good = data.secrets.map(fits);
  const hits = wanted ? columns.map(one => one.low.map(name => name.includes(wanted))) : null;
  const ok = new Uint8Array(data.secrets.length);
  active = [];
  for (let at = 0; at < uses.length; at++) {
    const secret = uses[at].secret;
    if (!good[secret]) continue;
    if (state.chips.some(chip => columns[chip.column].at[at] !== chip.node)) continue;
    if (hits && !columns.some((one, index) => one.at[at] >= 0 && hits[index][one.at[at]])) continue;
    active.push(at);
    ok[secret] = 1;
  }
  const isFree = state.chips.length === 0 || state.chips.every(chip => chip.column === column.secret);
  secrets = [];
  data.secrets.forEach((secret, at) => {
    const alone = usesOf[at].length === 0 && isFree && good[at]
      && state.chips.every(chip => chip.node === at)
      && (!hits || hits[column.secret][at] || hits[column.store][secret.store] || hits[column.owner][owners.at[at]]);
    if (ok[at] || alone) secrets.push(at);
  });
};

// The picture: the nodes with most uses of each column, and the rest as one.
let drawn = [];
const draw = () => {
  const stage = by("stage");
  const [width, height] = [stage.clientWidth, stage.clientHeight];
  const most = Math.max(4, Math.floor((height - 12) / 22));
  const all = columns.reduce((sum, one) => sum + one.share, 0);
  let left = 10;
  drawn = columns.map((one, index) => {
    const wide = ((width - 20) * one.share) / all;
    const x = left;
    left += wide;
    const weight = new Map();
    for (const at of active) {
      const node = one.at[at];
      if (node >= 0) weight.set(node, (weight.get(node) || 0) + 1);
    }
    const nodes = [...weight].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const shown = nodes.length > most ? nodes.slice(0, most - 1) : nodes;
    const place = new Map();
    const list = shown.map(([node, weight]) => ({ node, weight, text: one.names[node] }));
    list.sort((a, b) => (a.text < b.text ? -1 : 1));
    if (shown.length < nodes.length) list.push({ node: -1, weight: 0, text: `${count(nodes.length - shown.length)} more` });
    const gap = Math.min(30, (height - 12) / Math.max(1, list.length));
    const top = (height - gap * list.length) / 2;
    list.forEach((node, at) => {
      Object.assign(node, { column: index, x, y: top + at * gap + gap / 2, width: wide - (index + 1 < columns.length ? 30 : 0) });
      place.set(node.node, node);
    });
    return { list, place, x, total: nodes.length };
  });
  const heads = columns.map((one, index) => {
    const head = make("div", one.title);
    head.append(make("span", count(drawn[index].total)));
    head.style.left = `${drawn[index].x}px`;
    return head;
  });
  by("heads").replaceChildren(...heads);
  by("nodes").replaceChildren(...drawn.flatMap(one => one.list.map(button)));
  lines();
};

const button = node => {
  const element = make("button", node.text, node.node < 0 ? "more" : "");
  element.type = "button";
  element.title = node.weight ? `${node.text}\n${plural(node.weight, "use")}` : node.text;
  element.style.left = `${node.x}px`;
  element.style.top = `${node.y - 9.5}px`;
  element.style.width = `${node.width}px`;
  node.element = element;
  if (node.node < 0) { element.tabIndex = -1; return element; }
  if (state.chips.some(chip => chip.column === node.column && chip.node === node.node)) element.classList.add("picked");
  if (node.column === column.secret) {
    if (facts[node.node].found) element.classList.add("bad");
    if (facts[node.node].crosses) element.classList.add("shared");
  }
  element.addEventListener("click", () => pick(node.column, node.node));
  element.addEventListener("mouseenter", () => lines(node));
  element.addEventListener("mouseleave", () => lines());
  element.addEventListener("focus", () => lines(node));
  element.addEventListener("keydown", event => move(event, node));
  return element;
};

const lines = lit => {
  const canvas = by("links");
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--link");
  for (let index = 0; index + 1 < columns.length; index++) {
    const links = new Map();
    for (const at of active) {
      const from = columns[index].at[at];
      let next = index + 1;
      while (next < columns.length && columns[next].at[at] < 0) next++;
      if (from < 0 || next === columns.length) continue;
      const a = drawn[index].place.get(from) || drawn[index].place.get(-1);
      const b = drawn[next].place.get(columns[next].at[at]) || drawn[next].place.get(-1);
      if (!a || !b) continue;
      let row = links.get(a);
      if (!row) links.set(a, row = new Map());
      const link = row.get(b) || { weight: 0, lit: false };
      link.weight++;
      link.lit ||= !!lit && columns[lit.column].at[at] === lit.node;
      row.set(b, link);
    }
    for (const [a, row] of links) for (const [b, link] of row) {
      const [x, y] = [a.x + a.width, b.x];
      pen.beginPath();
      pen.moveTo(x, a.y);
      pen.bezierCurveTo((x + y) / 2, a.y, (x + y) / 2, b.y, y, b.y);
      pen.lineWidth = Math.min(9, 1 + Math.log2(link.weight) * 0.7);
      pen.strokeStyle = `rgba(${colour}, ${lit ? (link.lit ? 0.75 : 0.07) : 0.28})`;
      pen.stroke();
    }
  }
};

// A click narrows everything to what passes through the node.
const pick = (index, node) => {
  const before = state.chips.findIndex(chip => chip.column === index && chip.node === node);
  if (before >= 0) state.chips.splice(before, 1);
  else {
    state.chips = state.chips.filter(chip => chip.column !== index);
    state.chips.push({ column: index, node });
  }
  show();
};
const open = secret => {
  state.chips = [{ column: column.secret, node: secret }];
  show();
};
const back = () => {
  if (state.chips.length) state.chips.pop();
  else { state.search = ""; by("search").value = ""; }
  show();
};
const move = (event, node) => {
  const list = drawn[node.column].list.filter(one => one.node >= 0);
  const at = list.indexOf(node);
  const near = (index, y) => {
    for (const step = index < node.column ? -1 : 1; drawn[index]; index += step) {
      const found = drawn[index].list.filter(one => one.node >= 0);
      if (found.length) return found.reduce((a, b) => (Math.abs(a.y - y) <= Math.abs(b.y - y) ? a : b));
    }
  };
  const next = {
    ArrowDown: () => list[at + 1], ArrowUp: () => list[at - 1],
    ArrowRight: () => near(node.column + 1, node.y), ArrowLeft: () => near(node.column - 1, node.y),
  }[event.key];
  if (!next) return;
  event.preventDefault();
  next()?.element.focus();
};

// Tables: only the rows that are in sight are in the page.
const flags = at => {
  const words = [];
  if (facts[at].found) words.push("found");
  if (facts[at].overdue) words.push("overdue");
  if (facts[at].crosses) words.push("crosses");
  else if (facts[at].shared) words.push("same value");
  if (facts[at].unused) words.push("unused");
  return words.join(", ");
};
const text = (title, width, of, style) => ({ title, width, of, style });
const number = (title, of, written) => ({ title, width: "minmax(66px, .45fr)", of, written: written || count, style: () => "number" });
const through = key => () => {
  const found = new Map();
  for (const at of active) {
    const node = columns[column[key]].at[at];
    if (node < 0) continue;
    if (!found.has(node)) found.set(node, { node, secrets: new Set(), services: new Set(), hosts: new Set(), running: 0, last: "" });
    const row = found.get(node);
    const use = uses[at];
    row.secrets.add(use.secret);
    row.services.add(use.service);
    if (use.host !== null) row.hosts.add(use.host);
    row.running += use.running;
    if ((use.last || "") > row.last) row.last = use.last;
  }
  return [...found.values()];
};
const last = row => row.last || "";
const counts = [
  number("Secrets", row => row.secrets.size), number("Services", row => row.services.size),
  number("Hosts", row => row.hosts.size), number("Running", row => row.running),
];
const within = (list, of) => () => { const set = new Set(secrets); return list.filter(row => of(row).some(at => set.has(at))); };
const whole = () => state.chips.length === 0 && !state.search && !keys.some(key => state[key]) && !state.age && !state.finding;
const name = at => titled(data.secrets[at]);
const tables = [
  { title: "Secrets", rows: () => secrets, open: at => pick(column.secret, at), columns: [
    text("Secret", "minmax(150px, 2.2fr)", at => data.secrets[at].name),
    text("Environment", "minmax(88px, .7fr)", at => data.secrets[at].environment || ""),
    text("Store", "minmax(60px, .6fr)", at => data.stores[data.secrets[at].store].name),
    text("Owner", "minmax(60px, .7fr)", at => data.secrets[at].owner || ""),
    text("Class", "minmax(70px, .6fr)", at => data.secrets[at].classification || ""),
    number("Age", at => facts[at].age, age => (age < 0 ? "–" : `${count(age)} d`)),
    number("Versions", at => data.secrets[at].versions),
    number("Services", at => facts[at].services), number("Hosts", at => facts[at].hosts),
    text("Last release", "minmax(92px, .7fr)", at => (data.secrets[at].last || "never").slice(0, 10), () => "number"),
    text("Flags", "minmax(100px, 1.1fr)", flags, () => "bad"),
  ] },
  { title: "Services", rows: through("service"), open: row => pick(column.service, row.node), columns: [
    text("Service", "2fr", row => data.services[row.node].name), text("Environment", "1fr", row => data.services[row.node].environment || ""),
    text("Owner", "1fr", row => data.services[row.node].owner || ""), counts[0], counts[2], counts[3], text("Last release", "1fr", last, () => "number"),
  ] },
  { title: "Programs", rows: through("program"), open: row => pick(column.program, row.node), columns: [
    text("Program", "3fr", row => columns[column.program].names[row.node]), ...counts, text("Last release", "1fr", last, () => "number"),
  ] },
  { title: "Hosts", rows: through("host"), open: row => pick(column.host, row.node), columns: [
    text("Host", "2fr", row => data.hosts[row.node].name), text("Environment", "1fr", row => data.hosts[row.node].environment || ""),
    counts[0], counts[1], counts[3], number("Records", row => data.hosts[row.node].records), text("Last record", "1fr", row => data.hosts[row.node].last || "", () => "number"),
  ] },
  { title: "Findings", rows: () => (whole() ? data.findings : within(data.findings, row => row.secrets)()), open: row => row.secrets.length && open(row.secrets[0]), columns: [
    text("Severity", "80px", row => row.severity, row => (row.severity === "high" ? "bad" : "warn")), text("What", "1.6fr", row => row.title),
    text("Where", "2.4fr", row => (row.line ? `${row.path}:${row.line}` : row.path)), text("Host", "1fr", row => row.host || ""),
    text("Secret", "1.4fr", row => row.secrets.map(name).join(", ")),
  ] },
  { title: "Same values", rows: () => within(data.shared, row => row.secrets)(), open: row => open(row.secrets[0]), columns: [
    text("Secrets", "3fr", row => row.secrets.map(name).join("  =  ")), text("Environments", "1fr", row => row.environments.map(one => one || "none").join(", "), row => (row.environments.length > 1 ? "bad" : "")),
    text("How much", "1fr", row => (row.whole ? "all of it" : "a part, or a former value")),
  ] },
  { title: "Policies", rows: () => within(data.policies, row => row.secrets)(), open: () => {}, columns: [
    text("Policy", "3fr", row => row.id), number("Allowed", row => row.allowed), number("Denied", row => row.denied),
    number("Secrets", row => row.secrets.length), number("Services", row => row.services.length),
  ] },
  { title: "Approvals", rows: () => data.approvals, open: () => {}, columns: [
    text("Time", "170px", row => row.time, () => "number"), text("What", "130px", row => row.kind.replace("_", " "), row => (row.kind === "break_glass" ? "bad" : "")),
    text("Service", "1fr", row => row.service), text("Host", "1fr", row => data.hosts[row.host].name), text("Text", "3fr", row => row.text),
  ] },
  { title: "People", rows: () => within(data.reveals, row => [row.secret])(), open: row => open(row.secret), columns: [
    text("Person", "1fr", row => row.person), text("Secret", "2fr", row => name(row.secret)), text("Host", "1fr", row => data.hosts[row.host].name),
    number("Times", row => row.times), text("Last", "1fr", row => row.last, () => "number"),
  ] },
];
const high = 27;
let rows = [];
const table = () => {
  const tab = tables[state.tab];
  rows = tab.rows().slice();
  const key = tab.columns[state.sort].of;
  const keyed = rows.map(row => [key(row), row]);
  keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  rows = keyed.map(([, row]) => row);
  if (state.down) rows.reverse();
  by("tabs").replaceChildren(...tables.map((one, index) => {
    const element = make("button", one.title);
    element.type = "button";
    element.setAttribute("role", "tab");
    element.setAttribute("aria-selected", index === state.tab);
    element.addEventListener("click", () => { Object.assign(state, { tab: index, sort: 0, down: false, row: -1 }); by("rows").scrollTop = 0; table(); });
    return element;
  }));
  by("heading").style.gridTemplateColumns = tab.columns.map(one => one.width).join(" ");
  by("heading").replaceChildren(...tab.columns.map((one, index) => {
    const element = make("button", index === state.sort ? `${one.title} ${state.down ? "↓" : "↑"}` : one.title);
    element.type = "button";
    element.addEventListener("click", () => { state.down = state.sort === index && !state.down; state.sort = index; table(); });
    return element;
  }));
  by("spacer").style.height = `${rows.length * high}px`;
  by("rows").setAttribute("aria-rowcount", rows.length);
  by("shown").textContent = plural(rows.length, "row");
  scroll();
};
const scroll = () => {
  const tab = tables[state.tab];
  const box = by("rows");
  const first = Math.max(0, Math.floor(box.scrollTop / high) - 4);
  const end = Math.min(rows.length, first + Math.ceil(box.clientHeight / high) + 8);
  const window = by("window");
  window.style.transform = `translateY(${first * high}px)`;
  const list = [];
  for (let at = first; at < end; at++) {
    const row = make("div", undefined, "row");
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", at + 1);
    row.setAttribute("aria-selected", at === state.row);
    row.style.gridTemplateColumns = by("heading").style.gridTemplateColumns;
    for (const one of tab.columns) {
      const value = one.of(rows[at]);
      const shown = one.written ? one.written(value) : String(value);
      const cell = make("div", /^\d{4}-\d\d-\d\dT/.test(shown) && shown.length === 20 ? shown.replace("T", " ").slice(0, 16) : shown, one.style ? one.style(rows[at]) : "");
      cell.setAttribute("role", "gridcell");
      cell.title = shown;
      row.append(cell);
    }
    row.addEventListener("click", () => { state.row = at; tab.open(rows[at]); scroll(); });
    list.push(row);
  }
  window.replaceChildren(...list);
};

// The detail: who would be hit.
const entries = (list, of, most = 40) => {
  const element = make("ul");
  list.slice(0, most).forEach(one => element.append(of(one)));
  if (list.length > most) element.append(make("li", `and ${count(list.length - most)} more`, "soft"));
  return element;
};
const link = (at, more = "") => {
  const element = make("li");
  const inner = make("button", name(at) + more);
  inner.type = "button";
  inner.addEventListener("click", () => open(at));
  element.append(inner);
  return element;
};
const pairs = list => {
  const element = make("dl");
  list.filter(([, value]) => value).forEach(([title, value]) => element.append(make("dt", title), make("dd", value)));
  return element;
};
const ofSecret = at => {
  const secret = data.secrets[at];
  const groups = sharedOf[at].map(group => data.shared[group]);
  const same = [...new Set(groups.flatMap(group => group.secrets))].filter(other => other !== at);
  const hit = [at, ...same].flatMap(one => usesOf[one]);
  const distinct = key => new Set(hit.map(use => uses[use][key]).filter(one => one !== null)).size;
  const out = [make("h2", secret.name), pairs([
    ["Environment", secret.environment], ["Store", data.stores[secret.store].name], ["Owner", secret.owner], ["Classification", secret.classification],
    ["Version", secret.current], ["Made", secret.made && `${secret.made.slice(0, 10)}, ${ago(secret.made)}`],
    ["Last release", secret.last && ago(secret.last)], ["Flags", flags(at)],
  ])];
  const running = hit.filter(use => uses[use].running).length;
  out.push(make("h3", "If this leaks"));
  out.push(make("p", `${plural(distinct("service"), "service")} on ${plural(distinct("host"), "host")} would be hit; ${count(running)} of ${plural(hit.length, "use")} running.`, "hit"));
  out.push(entries(hit, use => {
    const one = uses[use];
    const host = one.host === null ? "host not known" : data.hosts[one.host].name;
    const program = one.program === null ? "" : ` · ${data.programs[one.program].path}`;
    return make("li", `${titled(data.services[one.service])} → ${data.deliveries[one.delivery] || "no delivery"}${program} · ${host} · ${one.last ? ago(one.last) : "declared, never released"}${one.running ? " · running" : ""}`);
  }));
  if (same.length) out.push(make("h3", "Same value"), entries(same, other => link(other)));
  if (findingsOf[at].length) out.push(make("h3", "Found in the open"), entries(findingsOf[at], finding => {
    const one = data.findings[finding];
    return make("li", `${one.host ? `${one.host}: ` : ""}${one.path}${one.line ? `:${one.line}` : ""}`, "bad");
  }));
  const people = data.reveals.filter(row => row.secret === at);
  if (people.length) out.push(make("h3", "Shown to"), entries(people, row => make("li", `${row.person} on ${data.hosts[row.host].name}, ${ago(row.last)}`)));
  const ruled = data.policies.filter(row => row.secrets.includes(at));
  if (ruled.length) out.push(make("h3", "Policies"), entries(ruled, row => make("li", row.id)));
  return out;
};
const detail = () => {
  const chip = state.chips[state.chips.length - 1];
  if (chip && chip.column === column.secret) return by("detail").replaceChildren(...ofSecret(chip.node));
  const score = at => 8 * !!facts[at].found + 4 * facts[at].crosses + 2 * facts[at].overdue + facts[at].shared;
  const bad = secrets.filter(score).sort((a, b) => score(b) - score(a) || a - b);
  const out = [make("h2", chip ? columns[chip.column].names[chip.node] : "All secrets")];
  out.push(make("p", `${plural(secrets.length, "secret")} in ${plural(active.length, "use")}.`, "soft"));
  if (chip && columns[chip.column].key === "program") {
    const known = data.programs[chip.node].sha256 || [];
    if (known.length) out.push(make("h3", "SHA-256"), entries(known, one => make("li", one)));
  }
  out.push(pairs([
    ["Found in the open", count(secrets.filter(at => facts[at].found).length)], ["Overdue", count(secrets.filter(at => facts[at].overdue).length)],
    ["Value used twice", count(secrets.filter(at => facts[at].shared).length)], ["Crosses environments", count(secrets.filter(at => facts[at].crosses).length)],
    ["Unused for 90 days", count(secrets.filter(at => facts[at].unused).length)], ["No owner", count(secrets.filter(at => !data.secrets[at].owner).length)],
  ]));
  if (bad.length) out.push(make("h3", "Look at these first"), entries(bad, at => link(at, `  (${flags(at)})`), 25));
  by("detail").replaceChildren(...out);
};

const chips = () => {
  const list = state.chips.map(chip => {
    const element = make("button", `${columns[chip.column].title}: ${columns[chip.column].names[chip.node]}  ✕`);
    element.type = "button";
    element.addEventListener("click", () => pick(chip.column, chip.node));
    return element;
  });
  by("chips").replaceChildren(...(list.length ? list : [make("span", "Click a name to see the paths through it.")]));
};
const show = () => {
  choose();
  chips();
  draw();
  state.row = -1;
  table();
  detail();
};

// Input.
["owner", "environment", "classification", "age", "finding"].forEach(key =>
  by(key).addEventListener("change", event => { state[key] = event.target.value; show(); }));
by("search").addEventListener("input", event => { state.search = event.target.value; show(); });
by("filters").addEventListener("submit", event => event.preventDefault());
by("clear").addEventListener("click", () => {
  by("filters").reset();
  Object.assign(state, { search: "", owner: "", environment: "", classification: "", age: "", finding: "", chips: [] });
  show();
});
by("rows").addEventListener("scroll", scroll);
by("rows").addEventListener("keydown", event => {
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -rows.length, End: rows.length }[event.key];
  if (step) {
    event.preventDefault();
    state.row = Math.min(rows.length - 1, Math.max(0, state.row + step));
    const box = by("rows");
    box.scrollTop = Math.min(Math.max(box.scrollTop, (state.row + 1) * high - box.clientHeight), state.row * high);
    scroll();
  } else if (event.key === "Enter" && rows[state.row] !== undefined) tables[state.tab].open(rows[state.row]);
});
const toggle = () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  lines();
};
by("theme").addEventListener("click", toggle);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => lines());
document.addEventListener("keydown", event => {
  const typing = ["INPUT", "SELECT"].includes(event.target.tagName);
  if (event.key === "Escape") { back(); if (typing) event.target.blur(); }
  else if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "/") { event.preventDefault(); by("search").focus(); }
  else if (event.key === "t") toggle();
});
window.addEventListener("resize", () => { draw(); scroll(); });

by("summary").textContent = [
  plural(data.secrets.length, "secret"), plural(data.services.length, "service"), plural(data.hosts.length, "host"),
  plural(data.records, "record"), data.at ? `as of ${data.at.replace("T", " ").replace("Z", " UTC")}` : "",
].filter(Boolean).join(" · ");
show();
document.documentElement.dataset.ready = "yes";
})();
