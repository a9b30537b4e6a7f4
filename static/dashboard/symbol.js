// The symbol page: price with everything we did on it, the book, and why the system thinks what it thinks.

import { ActionDialog } from "./actions.js";
import { PriceChart } from "./charts.js";
import { $, el, KeyedTable, setClass, setText } from "./dom.js";
import * as f from "./format.js";
import { showLegs, showQuality } from "./execution.js";
import { showSafety } from "./header.js";
import { scoreAge, showChecks, showScore, showVerdict, signedBar } from "./reasons.js";
import { LivePanel } from "./socket.js";

const symbol = $("entry").dataset.symbol;
const dialog = new ActionDialog();
const chart = new PriceChart($("price-chart"));
let spanSeconds = 5;

const scale = () => live.state.instrument?.priceScale ?? 2;
const qtyScale = () => live.state.instrument?.qtyScale ?? 3;
const price = (value) => f.price(value, scale());
const bps = (value, digits = 1) => (value === null || value === undefined ? "–" : `${f.signed(value, digits)} bps`);

const orders = new KeyedTable(
  $("orders"),
  [
    { cell: (row) => row.leg ?? row.type },
    { node: true, cell: (row) => el("span", { class: `chip ${row.side}` }, row.side) },
    { class: "num", cell: (row) => (row.triggerPrice ? `⚑ ${price(row.triggerPrice)}` : price(row.price)) },
    { class: "num", cell: (row) => f.quantity(row.qty, qtyScale()) },
    { cell: (row) => row.status },
  ],
  { empty: $("orders-empty") },
);

const render = {
  instrument: () => chart.setScale(scale(), live.state.instrument.tickSize),
  quote: (state) => quote(state.quote),
  features: (state) => features(state.features),
  score: (state) => showScore(state.score, live.serverNow()),
  verdict: (state) => {
    showVerdict(state.verdict);
    setText($("state-words"), state.verdict?.state ?? "");
  },
  checks: (state) => showChecks(state.checks),
  quality: (state) => showQuality(state.quality, state.limits, live.serverNow()),
  limits: (state) => showQuality(state.quality, state.limits, live.serverNow()),
  book: (state) => book(state.book),
  position: (state) => {
    position(state.position);
    lines(state);
  },
  orders: (state) => {
    orders.render(Object.entries(state.orders).sort(([, a], [, b]) => (a.leg ?? "").localeCompare(b.leg ?? "")));
    lines(state);
  },
  config: (state) => profile(state.config),
  safety: (state) => showSafety(state.safety, live.serverNow()),
  marks: (state) => chart.setMarks(state.marks),
  states: (state) => states(state.states),
  state: (state) => {
    setText($("state"), state.state.state);
    setClass($("state"), `chip ${state.state.state}`);
    stateSince();
    $("state").title = `${state.state.reason} ${f.utc(state.state.since)}`;
  },
};

/** What the strategy says it decides with. */
function profile(config) {
  const node = $("fact-profile");
  const number = config?.number ? `v${config.number} · ` : "";
  setText(node, config ? `${number}${f.version(config.version)}${config.problem ? " INVALID" : ""}` : "–");
  node.title = config ? config.problem || `config version ${config.version}` : "the strategy has not said yet";
  setClass(node, config?.problem ? "down" : config?.needsRestart?.length ? "warn" : "");
}

function stateSince() {
  const { since, reason } = live.state.state;
  const text = since ? `for ${f.span((live.serverNow() - since) / 1000)}${reason ? ` · ${reason}` : ""}` : "since before this page's memory";
  setText($("state-since"), text);
}

let lastMid = null;
function quote(value) {
  if (!value) return;
  const node = $("price-now");
  const tone = lastMid === null || value.mid === lastMid ? null : value.mid > lastMid ? "up" : "down";
  if (tone) setClass(node, `price-now ${tone}`);
  const mark = node.classList.contains("up") ? "▲" : node.classList.contains("down") ? "▼" : "";
  setText(node, `${price(value.mid)} ${mark}`.trim());
  lastMid = value.mid;
  document.title = `${price(value.mid)} ${symbol} · ${document.body.dataset.mode}`;
  setText($("fact-bid"), price(value.bid));
  setText($("fact-ask"), price(value.ask));
  setText($("fact-spread"), value.spreadBps === null ? "–" : `${f.fixed(value.spreadBps, 2)} bps`);
  setText($("fact-mark"), price(value.markPrice));
  setText($("fact-book"), value.bookState === "OK" ? (value.warm ? "OK" : "OK, warming up") : value.bookState);
  setClass($("fact-book"), value.bookState === "OK" ? "" : "down");
}

// Feature groups as in the specification's frame table.
const GROUPS = {
  "Imbalance and depth": ["imb1", "imb5", "imb20", "bidDepthUsd20", "askDepthUsd20", "depthSpanBps"],
  "Order flow": ["ofi1s", "ofi5s", "flow1s", "flow5s", "flow30s", "flowRatio5s", "tradeRate5s", "notionalRate5s", "cvd"],
  "Returns and volatility": ["ret1s", "ret5s", "ret30s", "ret60s", "ret300s", "rv10s", "rv60s", "rv300s"],
  "Toxicity and behaviour": ["vpin", "kyleLambda", "flicker", "sweep"],
  Context: ["fundingRate", "secondsToFunding", "basisBps", "oiChange5m", "bookAgeMs", "tradeAgeMs"],
};
const SIGNED = new Set(["imb1", "imb5", "imb20", "ofi1s", "ofi5s", "flow1s", "flow5s", "flow30s", "flowRatio5s", "cvd", "ret1s", "ret5s", "ret30s", "ret60s", "ret300s", "basisBps", "fundingRate"]);
const cells = new Map();
for (const [title, names] of Object.entries(GROUPS)) {
  $("features").append(el("h3", {}, title));
  for (const name of names) {
    cells.set(name, el("dd", {}, "–"));
    $("features").append(el("div", {}, el("dt", {}, name), cells.get(name)));
  }
}
function features(values) {
  if (!values) return;
  for (const [name, cell] of cells) {
    const value = values[name];
    if (name === "secondsToFunding") setText(cell, f.span(value));
    else setText(cell, SIGNED.has(name) && value > 0 ? `+${f.feature(value)}` : f.feature(value));
    if (SIGNED.has(name)) setClass(cell, f.tone(value));
  }
  setText($("fact-ret60"), bps(values.ret60s));
  setClass($("fact-ret60"), f.tone(values.ret60s));
  const hours = values.secondsToFunding === null ? "" : ` in ${f.span(values.secondsToFunding)}`;
  setText($("fact-funding"), values.fundingRate === null ? "–" : `${f.signed(values.fundingRate * 100, 4)} %${hours}`);
  imbalance(values);
}

const meters = ["imb1", "imb5", "imb20"].map((name) => {
  const fill = el("i");
  const label = el("span", { class: "num" }, "–");
  $("imbalance").append(el("div", {}, name, el("span", { class: "signed", "aria-hidden": "true" }, fill), label));
  return { name, fill, label };
});
function imbalance(values) {
  for (const { name, fill, label } of meters) {
    signedBar(fill, values[name]);
    setText(label, f.signed(values[name], 2));
  }
}

function level([levelPrice, qty], total, largest, side) {
  const fill = el("i");
  fill.style.width = `${(qty / largest) * 100}%`;
  return el("div", { class: `level ${side}` }, fill, el("span", { class: "price" }, price(levelPrice)), el("span", {}, f.quantity(qty, qtyScale())), el("span", { class: "muted" }, f.quantity(total, qtyScale())));
}
function book(value) {
  const ladder = $("ladder");
  if (!value.known) {
    const text = "No trusted book: none is known since the last gap of the feed. Back with its next snapshot.";
    ladder.replaceChildren(el("div", { class: "empty" }, text));
    return;
  }
  const largest = Math.max(...[...value.bids, ...value.asks].map(([, qty]) => qty), 0);
  const side = (levels, name) => {
    let total = 0;
    return levels.map((entry) => level(entry, (total += entry[1]), largest, name));
  };
  const [bestBid, bestAsk] = [value.bids[0]?.[0], value.asks[0]?.[0]];
  const gap = bestBid && bestAsk ? bestAsk - bestBid : null;
  const head = el("div", { class: "level head" }, ...["Price", "Size", "Total"].map((text) => el("span", {}, text)));
  const mid = el("div", { class: "mid" }, el("span", {}, "spread"), el("b", {}, price(gap)));
  ladder.replaceChildren(head, ...side(value.asks, "ask").reverse(), mid, ...side(value.bids, "bid"));
}

function position(row) {
  $("position-empty").hidden = Boolean(row);
  $("position-body").hidden = !row;
  if (!row) return;
  const facts = {
    Side: row.side,
    Quantity: f.quantity(row.qty, qtyScale()),
    Entry: f.price(row.avgEntry, scale() + 1),
    "PnL before exit fees": `${f.signed(row.pnl, 2)} USDT · ${bps(row.pnlBps)}`,
    Stop: row.stopPrice === null ? "NONE" : `${price(row.stopPrice)} · ${f.fixed(row.stopDistanceBps, 1)} bps away`,
    Trailing: trailing(row),
    "Time stop": row.timeStopAt ? `${f.clock(Date.parse(row.timeStopAt))}` : "–",
    Plan: [row.profile, row.leverage && `${row.leverage}×`].filter(Boolean).join(" · ") || "–",
    "MFE / MAE": `${f.fixed(row.mfeBps, 1)} / ${f.fixed(row.maeBps, 1)} bps`,
    Age: f.span((live.serverNow() - row.openedAt) / 1000),
  };
  $("position").replaceChildren(
    ...Object.entries(facts).map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", { class: name.startsWith("PnL") ? f.tone(row.pnl) : "" }, text))),
  );
  showLegs(row, price, (qty) => f.quantity(qty, qtyScale()));
}

function trailing(row) {
  if (!row.trailing) return "–";
  return row.trailing.active ? `active, ${f.fixed(row.trailing.distanceBps, 1)} bps behind` : "waits for its start";
}

function lines(state) {
  const drawn = [];
  const row = state.position;
  if (row) drawn.push({ id: "avg", label: `${row.side} entry`, price: row.avgEntry, kind: "AVG" });
  for (const order of Object.values(state.orders)) {
    const at = order.triggerPrice || order.price;
    if (!at) continue;
    const leg = order.leg || order.type;
    const kind = leg.startsWith("TP") ? "TP" : leg.startsWith("STOP") ? "STOP" : "ENTRY";
    drawn.push({ id: `${order.clientOrderId} ${kind}`, label: leg, price: at, kind });
  }
  const has = (kind) => drawn.some((line) => line.kind === kind);
  if (row?.stopPrice && !has("STOP")) drawn.push({ id: "stop", label: "STOP", price: row.stopPrice, kind: "STOP" });
  if (!has("TP")) row?.tps.forEach((tp) => drawn.push({ id: `tp${tp.level}`, label: `TP${tp.level}`, price: tp.price, kind: "TP" }));
  chart.setLines(drawn);
  const colours = { STOP: "--down", TP: "--up", ENTRY: "--accent", AVG: "--muted" };
  $("legend").replaceChildren(
    ...drawn.map((line) => {
      const mark = el("i");
      mark.style.borderColor = `var(${colours[line.kind]})`;
      return el("span", {}, mark, `${line.label} ${price(line.price)}`);
    }),
  );
}

function states(items) {
  $("states").replaceChildren(
    ...items.slice(-25).reverse().map((item) =>
      el("li", {}, el("time", { title: f.utc(item.ts) }, f.clock(item.ts)), el("span", { class: "text" }, el("b", {}, `${item.from} → ${item.to} `), item.reason)),
    ),
  );
}

function drawAll(state) {
  const minutes = spanSeconds === 60;
  const closed = minutes ? state.minutes : state.candles;
  const current = minutes ? state.minute : state.candle;
  chart.setCandles(current ? [...closed, current] : closed, spanSeconds * 1000);
  chart.setMarks(state.marks);
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.onclick = () => {
    spanSeconds = Number(button.dataset.span);
    for (const other of document.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", String(other === button));
    drawAll(live.state);
  };
}

$("symbol-select")?.addEventListener("change", (event) => location.assign(`/symbol/${event.target.value}/`));

$("panic-symbol").onclick = () =>
  dialog.open({
    title: `Panic close ${symbol}`,
    text: `Cancels the orders of ${symbol} and closes its position at market. Safe mode goes on.`,
    word: symbol, submit: `Close ${symbol}`, danger: true,
    path: "/api/execution/panic-close-symbol",
    body: (reason) => ({ symbol, reason }),
    follow: () => (live.state.position ? { done: false, text: "The position is still open…" } : { done: true, text: "Nothing is open." }),
  });

const live = new LivePanel(`/ws/symbol/${symbol}/`, (state, changed, message) => {
  if (message.type === "snapshot") {
    render.instrument();
    drawAll(state);
  } else {
    followCandles(state, changed, message);
  }
  for (const name of changed) if (name !== "instrument") render[name]?.(state);
});
window.live = live; // for the browser tests and the curious

/** Closed candles first, each corrected to its final shape, then the running one. */
function followCandles(state, changed, message) {
  const [series, current] = spanSeconds === 60 ? ["minutes", "minute"] : ["candles", "candle"];
  const added = message.ops.find(([kind, name]) => kind === "a" && name === series);
  for (const candle of added?.[2] ?? []) chart.update(candle);
  if (changed.has(current)) chart.update(state[current]);
}

setInterval(() => {
  if (live.state.safety) showSafety(live.state.safety, live.serverNow());
  if (live.state.position) position(live.state.position);
  if (live.state.state) stateSince();
  if (live.state.score) scoreAge(live.state.score, live.serverNow());
  if (live.state.quality) showQuality(live.state.quality, live.state.limits, live.serverNow());
}, 1000);
