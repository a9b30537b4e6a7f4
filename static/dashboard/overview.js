// The overview page: everything that matters in one look.

import { ActionDialog } from "./actions.js";
import { equityChart } from "./charts.js";
import { $, el, KeyedTable, setClass, setText } from "./dom.js";
import * as f from "./format.js";
import { showConfig, showLatency, showRisk } from "./account.js";
import { showSafety } from "./header.js";
import { LivePanel } from "./socket.js";

const isOperator = $("entry").dataset.operator === "1";
const scales = (symbol) => live.state.symbols?.[symbol] ?? { priceScale: 2, qtyScale: 3 };
const priceOf = (symbol, value) => f.price(value, scales(symbol).priceScale);
const symbolLink = { node: true, cell: (row, key) => el("a", { class: "strong", href: `/symbol/${row.symbol ?? key}/` }, row.symbol ?? key) };
const chip = (pick) => ({
  node: true,
  cell: (row) => el("span", { class: `chip ${pick(row)}` }, pick(row) ?? ""),
  update: (cell, row) => {
    setText(cell.firstChild, pick(row) ?? "");
    setClass(cell.firstChild, `chip ${pick(row)}`);
  },
});
const arrow = (value, text) => ({ text: `${value > 0 ? "▲ " : value < 0 ? "▼ " : ""}${text}`, class: f.tone(value) });
const time = (pick, more = "") => ({ cell: (row) => ({ text: f.clock(pick(row)), title: f.utc(pick(row)) }), class: `time ${more}`.trim() });
// What a phone leaves out: the symbol's page and the tables have it.
const optional = (column) => ({ ...column, class: `${column.class ?? ""} optional`.trim() });

/** USDT lost if the stop is hit now, fees included; below zero the stop locks a gain in. */
function risk(row) {
  if (row.openRisk < 0) return { text: `${f.fixed(-row.openRisk, 2)} locked`, class: "up", title: "the stop locks this gain in" };
  return { text: f.fixed(row.openRisk, 2), title: "lost if the stop is hit now, fees included" };
}

const dialog = new ActionDialog();

const positions = new KeyedTable(
  $("positions"),
  [
    symbolLink,
    chip((row) => row.side),
    optional({ class: "num", cell: (row) => f.quantity(row.qty, scales(row.symbol).qtyScale) }),
    optional({ class: "num", cell: (row) => f.price(row.avgEntry, scales(row.symbol).priceScale + 1) }),
    optional({ class: "num", cell: (row) => priceOf(row.symbol, row.mid) }),
    { class: "num", cell: (row) => arrow(row.pnl, f.signed(row.pnl, 2)) },
    optional({ class: "num", cell: (row) => ({ text: f.signed(row.pnlBps, 1), class: f.tone(row.pnlBps) }) }),
    optional({ class: "num", cell: (row) => (row.stopPrice === null ? { text: "NONE", class: "down" } : priceOf(row.symbol, row.stopPrice)) }),
    { class: "num", cell: (row) => ({ text: row.stopDistanceBps === null ? (row.stopPrice === null ? "NO STOP" : "–") : `${f.fixed(row.stopDistanceBps, 1)} bps`, class: row.stopPrice === null ? "down" : row.stopDistanceBps < 3 ? "warn" : "" }) },
    optional({ class: "num", cell: risk }),
    optional({ class: "num", cell: (row) => f.span((live.serverNow() - row.openedAt) / 1000) }),
    {
      node: true,
      cell: (row) => {
        const button = el("button", { type: "button", class: "small", "aria-label": `Panic close ${row.symbol}` }, "Close");
        button.disabled = !isOperator;
        button.onclick = () => panicSymbol(row.symbol);
        return button;
      },
    },
  ],
  { empty: $("positions-empty") },
);

const scoreCell = (side, pick) => ({
  node: true,
  cell: (row) => {
    const bar = el("span", { class: `bar ${side}` }, el("i"));
    return el("span", { class: "score" }, el("span", { class: "num" }), bar);
  },
  update: (cell, row) => {
    const [label, bar] = cell.firstChild.children;
    setText(label, f.fixed(pick(row), 1));
    bar.firstChild.style.width = `${pick(row) ?? 0}%`;
  },
});
const lastMids = new Map();
function midCell(row, symbol) {
  const before = lastMids.get(symbol);
  const stale = !live.isReplay && live.serverNow() - row.ts > 4000;
  lastMids.set(symbol, { mid: row.mid, tone: !before || row.mid === before.mid ? (before?.tone ?? "") : row.mid > before.mid ? "up" : "down" });
  const { tone } = lastMids.get(symbol);
  const mark = tone === "up" ? "▲" : tone === "down" ? "▼" : " ";
  const text = `${mark} ${f.price(row.mid, row.priceScale)}`;
  return stale ? { text: `${text} (old)`, class: "muted", title: "no frame for 4 s" } : { text, class: `flash-${tone}` };
}
function qualityCell(row) {
  if (row.quality === null || row.quality === undefined) return { text: "–", class: "muted", title: "no order judged yet" };
  return row.qualityBlocked ? { text: `${row.quality} ✘`, class: "down", title: "entries are blocked: bad execution quality" } : String(row.quality);
}
const symbols = new KeyedTable(
  $("symbols"),
  [
    symbolLink,
    { class: "num mid", cell: midCell },
    optional({ class: "num", cell: (row) => f.fixed(row.spreadBps, 2) }),
    { class: "num", cell: (row) => ({ text: f.signed(row.ret60s, 1), class: f.tone(row.ret60s) }) },
    optional({ class: "num", cell: (row) => ({ text: f.signed(row.ret300s, 1), class: f.tone(row.ret300s) }) }),
    optional({ class: "num", cell: (row) => f.fixed(row.rv60s, 2) }),
    optional(scoreCell("up", (row) => row.scoreLong)),
    optional(scoreCell("down", (row) => row.scoreShort)),
    chip((row) => row.state),
    optional({ class: "num", cell: qualityCell }),
    optional({ cell: (row) => (row.bookState === "OK" ? { text: row.warm ? "ok" : "warming up", class: "muted" } : { text: row.bookState ?? "–", class: "down" }) }),
  ],
  { empty: $("symbols-empty") },
);

const orders = new KeyedTable(
  $("orders"),
  [
    time((row) => row.ts, "optional"),
    symbolLink,
    chip((row) => row.side),
    { cell: (row) => row.leg ?? "" },
    optional({ cell: (row) => `${row.type}${row.timeInForce ? ` ${row.timeInForce}` : ""}` }),
    { class: "num", cell: (row) => (row.triggerPrice ? `⚑ ${priceOf(row.symbol, row.triggerPrice)}` : priceOf(row.symbol, row.price)) },
    optional({ class: "num", cell: (row) => f.quantity(row.qty, scales(row.symbol).qtyScale) }),
    optional({ class: "num", cell: (row) => f.quantity(row.filledQty, scales(row.symbol).qtyScale) }),
    chip((row) => row.status),
    optional({ cell: (row) => ({ text: row.source ?? "", class: "muted" }) }),
  ],
  { empty: $("orders-empty") },
);

const trades = new KeyedTable(
  $("trades"),
  [
    time((row) => row.ts, "optional"),
    symbolLink,
    chip((row) => row.side),
    { class: "num", cell: (row) => arrow(row.realizedPnl, f.signed(row.realizedPnl, 3)) },
    optional({ class: "num", cell: (row) => f.fixed(row.fees, 3) }),
    optional({ class: "num", cell: (row) => f.span(row.durationSeconds) }),
    optional({ cell: (row) => ({ text: row.exitReason ?? "", class: "muted" }) }),
  ],
  { empty: $("trades-empty") },
);

const equity = equityChart($("equity-chart"));

const render = {
  account: (state) => {
    const account = state.account;
    setText($("kpi-equity"), f.fixed(account?.equity, 2));
    setText($("kpi-trades"), account ? String(account.tradesThisHour) : "–");
    money(state);
    showRisk(state);
  },
  risk: (state) => {
    money(state);
    const heat = state.risk?.heatPct;
    setText($("kpi-drawdown"), f.fixed(state.risk?.drawdownPct, 2));
    setText($("kpi-heat"), f.fixed(heat, 2));
    const bar = $("kpi-heat-bar");
    const most = state.limits?.maxHeatPct;
    const share = most ? ((heat ?? 0) / most) * 100 : 0;
    setText($("kpi-heat-max"), most ? `% of ${most} %` : "%");
    bar.style.width = `${Math.min(share, 100)}%`;
    setClass(bar, share >= 100 ? "over" : share >= 75 ? "high" : "");
    showRisk(state);
  },
  limits: (state) => {
    render.risk(state);
    const needs = state.limits?.entryScore;
    setText($("symbols-note"), `score: ▲ long / ▼ short${needs ? `, entry needs ${needs} and an edge over cost` : ""}`);
    showLatency(state.latency, state.limits);
  },
  config: (state) => showConfig(state.config),
  latency: (state) => showLatency(state.latency, state.limits),
  positions: (state) => {
    positions.render(Object.entries(state.positions));
    setText($("kpi-positions"), String(Object.keys(state.positions).length));
  },
  orders: (state) => {
    const rows = Object.entries(state.orders).sort(([, a], [, b]) => b.ts - a.ts);
    orders.render(rows);
    setText($("kpi-orders"), String(rows.length));
  },
  symbols: (state) => symbols.render(Object.entries(state.symbols)),
  trades: (state) => trades.render(state.trades.slice(-10).reverse().map((trade) => [`${trade.ts} ${trade.symbol} ${trade.planId}`, trade])),
  services: (state) => lamps(state.services),
  activity: (state) => activity(state.activity),
  safety: (state) => safety(state.safety),
  alerts: (state) => {
    setText($("kpi-alerts"), String(state.alerts.count));
    setClass($("kpi-alerts"), state.alerts.count ? "warn" : "");
    $("alerts").replaceChildren(...state.alerts.items.map((item) => el("li", { class: item.level }, `${item.level} ${item.text}`)));
  },
};

function money(state) {
  const day = state.risk?.dailyPnl ?? state.account?.realizedToday;
  const start = (state.account?.equity ?? 0) - (day ?? 0);
  setText($("kpi-day"), f.signed(day, 2));
  setClass($("kpi-day"), f.tone(day));
  setText($("kpi-day-pct"), start > 0 && day !== undefined ? `${f.signed((day / start) * 100, 2)} %` : "USDT");
}

function lamps(services) {
  const order = ["market", "strategy", "execution", "web", "worker"];
  const names = Object.keys(services).sort((a, b) => (order.indexOf(a) + 99) % 99 - ((order.indexOf(b) + 99) % 99));
  $("services").replaceChildren(
    ...names.map((name) => {
      const lamp = services[name];
      const age = lamp.lastBeatMs === null ? "" : `${f.fixed(Math.max(0, live.wallNow() - lamp.lastBeatMs) / 1000, 1)} s ago · ${f.fixed(lamp.lagMs, 1)} ms`;
      return el(
        "li",
        { "data-service": name },
        el("i", { class: `dot ${lamp.status}` }),
        el("span", { class: "name" }, name),
        el("span", { class: `status ${lamp.status}` }, lamp.status === "OK" ? "OK" : `${lamp.status} · ${lamp.message || lamp.phase}`),
        el("span", { class: "note" }, age),
      );
    }),
  );
}

let newest = null;
function activity(items) {
  const list = $("activity");
  const from = newest === null ? 0 : items.lastIndexOf(newest) + 1;
  if (from === 0) list.replaceChildren();
  for (const item of items.slice(from)) {
    const when = el("time", { title: f.utc(item.ts) }, f.clock(item.ts));
    const what = el("span", { class: "text" }, item.symbol ? el("b", {}, `${item.symbol} `) : "", item.text);
    list.prepend(el("li", { class: item.level, "data-kind": item.kind }, when, what));
  }
  while (list.childElementCount > 80) list.lastElementChild.remove();
  newest = items.at(-1) ?? null;
}

function safety(value) {
  showSafety(value, live.serverNow());
  if (!value.known) return;
  for (const id of ["safe-toggle", "trading-toggle"]) {
    $(id).disabled = !isOperator || live.isReplay;
    $(id).title = live.isReplay ? "what is shown is the replay's; the live system takes no entries meanwhile" : "";
  }
  setText($("safe-state"), value.safeMode ? `ON · ${value.reasons.join(", ")}` : "off");
  setClass($("safe-state"), `state ${value.safeMode ? "on" : ""}`);
  setText($("trading-state"), value.tradingEnabled ? "enabled" : "DISABLED");
  setClass($("trading-state"), `state ${value.tradingEnabled ? "" : "on"}`);
}

function panicProgress(symbol) {
  const open = Object.keys(live.state.positions).filter((name) => !symbol || name === symbol);
  const text = open.length ? `${open.length} position${open.length > 1 ? "s" : ""} still open (${open.join(", ")})…` : "Nothing is open.";
  return { done: open.length === 0, text };
}

function panicSymbol(symbol) {
  dialog.open({
    title: `Panic close ${symbol}`,
    text: `Cancels the orders of ${symbol} and closes its position at market. Safe mode goes on.`,
    word: symbol, submit: `Close ${symbol}`, danger: true,
    path: "/api/execution/panic-close-symbol",
    body: (reason) => ({ symbol, reason }),
    follow: () => panicProgress(symbol),
  });
}

$("panic-all").onclick = () =>
  dialog.open({
    title: "Panic close everything",
    text: `${live.isReplay ? "This reaches the live account, not the replay that is shown. " : ""}Switches safe mode on, cancels all entries and closes every position at market. Safe mode stays on until you clear it.`,
    word: "CLOSE ALL", submit: "PANIC CLOSE ALL", danger: true,
    path: "/api/execution/panic-close-all",
    body: (reason) => ({ reason }),
    follow: () => panicProgress(null),
  });

$("safe-toggle").onclick = () => {
  const enabled = !live.state.safety.safeMode;
  dialog.open({
    title: enabled ? "Switch safe mode on" : "Switch safe mode off",
    text: enabled ? "No new position is opened; open ones stay managed and may close." : "Entries become possible again where nothing else forbids them.",
    submit: enabled ? "Safe mode on" : "Safe mode off",
    path: "/api/failover/safe-mode",
    body: (reason) => ({ enabled, reason }),
  });
};

$("trading-toggle").onclick = () => {
  const enabled = !live.state.safety.tradingEnabled;
  dialog.open({
    title: enabled ? "Enable trading" : "Disable trading",
    text: enabled ? "The strategy may open positions again." : "The strategy opens nothing until trading is enabled again.",
    submit: enabled ? "Enable trading" : "Disable trading",
    path: "/api/execution/trading",
    body: (reason) => ({ enabled, reason }),
  });
};

const live = new LivePanel("/ws/overview/", (state, changed, message) => {
  if (message.type === "snapshot") {
    newest = null;
    equity.set(state.equity);
  } else if (changed.has("equity")) {
    const added = message.ops.find(([kind, name]) => kind === "a" && name === "equity");
    for (const point of added[2]) equity.add(point);
  }
  for (const name of changed) render[name]?.(state);
  if (changed.has("symbols") && message.type === "snapshot") ["positions", "orders"].forEach((name) => render[name](state));
});
window.live = live; // for the browser tests and the curious

setInterval(() => {
  if (!live.state.services) return;
  lamps(live.state.services);
  showSafety(live.state.safety, live.serverNow());
  render.symbols(live.state);
  render.positions(live.state);
}, 1000);
