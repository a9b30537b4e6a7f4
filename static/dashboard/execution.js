// How our orders are carried out, and the plan of the open trade leg by leg.

import { $, el, setClass, setText } from "./dom.js";
import * as f from "./format.js";

const bps = (value, digits = 2) => (value === null || value === undefined ? "–" : `${f.signed(value, digits)} bps`);
const percent = (value) => (value === null || value === undefined ? "–" : `${f.fixed(value * 100, 0)} %`);
const PENALTY_WORDS = { slippage: "slippage", adverseMarkout: "adverse markout", rejects: "rejects", fillRatio: "few fills" };

function status(quality) {
  if (!quality) return ["not judged yet", ""];
  if (quality.probation) return [quality.blocked ? "ON TRIAL, judged now" : "ON TRIAL", "ARM"];
  return quality.blocked ? ["ENTRIES BLOCKED", "ERROR"] : ["good enough", "OK"];
}

function penaltyText(penalties) {
  const said = Object.entries(penalties).filter(([, part]) => part >= 0.01).sort(([, a], [, b]) => b - a);
  return said.map(([name, part]) => `${PENALTY_WORDS[name] ?? name} −${f.fixed(part * 100, 0)} %`).join(", ") || "nothing";
}

export function showQuality(quality, limits, nowMs) {
  const [text, chip] = status(quality);
  setText($("quality-state"), text);
  setClass($("quality-state"), `chip ${chip}`);
  $("quality-body").hidden = !quality;
  $("quality-empty").hidden = Boolean(quality);
  if (!quality) return;
  setText($("quality-score"), f.fixed(quality.score, 0));
  $("quality-bar").style.width = `${quality.score}%`;
  setClass($("quality-bar"), quality.blocked ? "over" : "");
  const waits = quality.probationAt && quality.probationAt > nowMs ? ` A trial may begin in ${f.span((quality.probationAt - nowMs) / 1000)}.` : "";
  const trial = quality.probation && quality.entriesLeft > 0 ? ` ${quality.entriesLeft} smaller entry may try.` : "";
  setText($("quality-reason"), quality.reason ? `${quality.reason}.${waits}${trial}` : "");
  $("quality-reason").hidden = !quality.reason;
  const facts = [
    ["Orders judged", String(quality.orders), ""],
    ["Taken from the score", penaltyText(quality.penalties), ""],
    ["Slippage beyond the touch", bps(quality.slippageBps), "of what we took"],
    ["Slippage against the decision", bps(quality.midSlippageBps), "against the mid; of stops against the trigger; below 0 is better"],
    ["Entries filled", percent(quality.fillRatio), ""],
    ["To the first fill", quality.timeToFillMs === null ? "–" : `${f.fixed(quality.timeToFillMs / 1000, 1)} s`, ""],
    ["Rejected", percent(quality.rejectRate), ""],
    ["Adverse markout in cost", bps(quality.adverseMarkoutBps), "counted in the cost of an entry"],
    ["Markout 1 s", bps(quality.markout1sBps), "mid against our fills; above 0 is ours"],
    ["Markout 5 s", bps(quality.markout5sBps), ""],
    ["Markout 30 s", bps(quality.markout30sBps), ""],
    ["Blocks below", limits?.qualityBlock === undefined ? "–" : String(limits.qualityBlock), ""],
  ];
  $("quality").replaceChildren(
    ...facts.map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", { class: name.startsWith("Markout") ? f.tone(parseFloat(value.replace("−", "-"))) : "" }, value))),
  );
}

const STATE_MARK = { FILLED: "✔", OPEN: "●", PENDING: "○", MISSING: "✘", CANCELED: "✘" };

function legs(row) {
  const away = (price) => ((price - row.avgEntry) / row.avgEntry) * (row.side === "LONG" ? 1 : -1) * 1e4;
  const list = [["Entry", row.avgEntry, row.qty, "FILLED"]];
  for (const tp of row.tps) list.push([`TP${tp.level}`, tp.price, tp.qty, tp.state]);
  for (const dca of row.dcas ?? []) list.push([`DCA${dca.level}`, dca.price, dca.qty, dca.state]);
  list.push([row.breakEvenMoved ? "Stop (break-even)" : "Stop", row.stopPrice, row.qty, row.stopPrice === null ? "MISSING" : "OPEN"]);
  return list.map(([leg, price, qty, state]) => ({ leg, price, qty, state, away: price ? away(price) : null }));
}

/** The legs of the plan, best price for us first, as they lie on the chart. */
export function showLegs(row, priceText, qtyText) {
  const sorted = legs(row).sort((a, b) => (b.away ?? -1e9) - (a.away ?? -1e9));
  $("legs").replaceChildren(
    ...sorted.map((leg) =>
      el(
        "tr",
        { class: leg.state === "FILLED" ? "done" : "" },
        el("td", {}, leg.leg),
        el("td", { class: "num" }, leg.price === null ? "NONE" : priceText(leg.price)),
        el("td", { class: `num ${f.tone(leg.away)}` }, leg.leg === "Entry" ? "" : bps(leg.away, 1)),
        el("td", { class: "num optional" }, leg.qty === null || leg.qty === undefined ? "–" : qtyText(leg.qty)),
        el("td", { class: leg.state === "MISSING" ? "down" : "" }, `${STATE_MARK[leg.state] ?? "○"} ${String(leg.state ?? "").toLowerCase()}`),
      ),
    ),
  );
}
