// The account against its limits, the config in force, and how long everything takes.

import { $, el, setClass, setText } from "./dom.js";
import * as f from "./format.js";

function limitRow(name, value, limit, unit, digits, title = "") {
  const share = limit ? Math.max(value ?? 0, 0) / limit : 0;
  const fill = el("i", { class: share >= 1 ? "over" : share >= 0.75 ? "high" : "" });
  fill.style.width = `${Math.min(share, 1) * 100}%`;
  const figure = value === null || value === undefined ? "–" : `${f.fixed(value, digits)}${unit}`;
  const most = limit === null || limit === undefined ? "" : ` of ${f.fixed(limit, Number.isInteger(limit) ? 0 : 2)}${unit}`;
  return el("li", { title }, el("span", {}, name), el("span", { class: "meter", "aria-hidden": "true" }, fill), el("span", { class: "num" }, `${figure}${most}`));
}

/** Loss of the day in percent of the equity it began with; a gain is no loss. */
function dayLoss(risk, account) {
  const start = (account?.equity ?? 0) - (risk?.dailyPnl ?? 0);
  return risk && start > 0 ? Math.max((-risk.dailyPnl / start) * 100, 0) : null;
}

export function showRisk({ risk, account, limits }) {
  const most = limits ?? {};
  $("risk-limits").replaceChildren(
    limitRow("Heat", risk?.heatPct, most.maxHeatPct, " %", 2, "open risk to the stops, fees included, over equity"),
    limitRow("Positions", risk?.openPositions, most.maxPositions, "", 0, "pending entries included"),
    limitRow("Loss of the day", dayLoss(risk, account), most.dailyLossLimitPct, " %", 2, most.dailyLossClosePct ? `forced close at ${most.dailyLossClosePct} %` : ""),
    limitRow("Drawdown", risk?.drawdownPct, most.maxDrawdownPct, " %", 2, "fall from the equity peak"),
    limitRow("Losses in a row", account?.lossesInRow, most.lossStreak, "", 0),
    limitRow("Entries this hour", account?.tradesThisHour, most.maxTradesPerHour, "", 0),
  );
  const state = !risk ? "unknown" : risk.forceCloseAll ? "FORCED CLOSE" : risk.allowNew ? "entries allowed" : "NO ENTRIES";
  setText($("risk-state"), state);
  setClass($("risk-state"), `chip ${!risk ? "" : risk.allowNew && !risk.forceCloseAll ? "OK" : "ERROR"}`);
  $("risk-reasons").replaceChildren(...(risk?.reasons ?? []).map((reason) => el("li", { class: "CRIT" }, reason)));
}

export function showConfig(config) {
  const node = $("config-state");
  const name = config?.version ? `${config.number ? `v${config.number} · ` : ""}${f.version(config.version)}` : "unknown";
  setText(node, config?.problem ? `${name} INVALID` : config?.needsRestart?.length ? `${name} · restart needed` : name);
  setClass(node, `chip ${config?.problem ? "ERROR" : config?.needsRestart?.length ? "ARM" : ""}`);
  node.title = config?.problem || (config?.pinned ? "this service runs on a document of its own (--config)" : config?.version ?? "");
}

const STAGE_WORDS = {
  exchangeToReceive: ["Exchange → us", "from the exchange's time stamp to our socket, its clock's offset taken out"],
  receiveToFrame: ["Event → frame", "until the frame is published"],
  frameToDecision: ["Frame → decision", "until the strategy has judged it (to the millisecond)"],
  decisionToJournalled: ["Decision → on disk", "until the intent is in the order log"],
  journalledToSent: ["On disk → sent", "until the command is handed over"],
  sentToAck: ["Sent → first word", "until the venue has said something of the order"],
  ackToFill: ["First word → fill", "entries and closes; a resting order waits, this is no delay"],
  eventToBrowser: ["Event → browser", "until a browser has shown it; its answer's way back counted in"],
};
const ms = (value) => (value === null || value === undefined ? "–" : f.fixed(value, value >= 100 ? 0 : value >= 1 ? 1 : 2));

export function showLatency(stages, limits) {
  const most = limits?.latencyMaxMs;
  setText($("latency-note"), most ? `ms, last minute · entries stop above ${most} (p90)` : "ms, last minute");
  $("latency").replaceChildren(
    ...Object.entries(stages).map(([stage, { minute, hour }]) => {
      const [name, title] = STAGE_WORDS[stage] ?? [stage, ""];
      const isSlow = most && minute?.p90Ms > most && stage !== "ackToFill" && stage !== "eventToBrowser";
      return el(
        "tr",
        { title: `${title}. Last hour: p50 ${ms(hour?.p50Ms)}, p90 ${ms(hour?.p90Ms)}, p99 ${ms(hour?.p99Ms)}, most ${ms(hour?.maxMs)} ms of ${hour?.n ?? 0}` },
        el("td", {}, name),
        ...["p50Ms", "p90Ms", "p99Ms", "maxMs"].map((column) => el("td", { class: `num ${isSlow && column === "p90Ms" ? "down" : ""}` }, ms(minute?.[column]))),
      );
    }),
  );
  $("latency-empty").hidden = Object.keys(stages).length > 0;
}
