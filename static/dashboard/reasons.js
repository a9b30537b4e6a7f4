// Why an entry may or may not go: the verdict, every check with its figure, and what the score is made of.

import { $, el, setClass, setText } from "./dom.js";
import * as f from "./format.js";

const MARK = { true: "✔", false: "✘", null: "?" };
const TONE = { true: "pass", false: "fail", null: "unknown" };
const SAID = { true: "passed", false: "failed", null: "unknown" };

export function showVerdict(verdict) {
  if (!verdict) return;
  setText($("verdict"), verdict.headline);
  setClass($("verdict"), `headline ${verdict.tone}`);
}

const rows = new Map();
const groups = new Map();

function groupBody(name) {
  if (!groups.has(name)) {
    const list = el("ul", { class: "checks" });
    groups.set(name, list);
    $("checks").append(el("section", {}, el("h3", {}, name), list));
  }
  return groups.get(name);
}

/** One line a check; only a failed one spells out why, the others on hover. */
export function showChecks(checks) {
  for (const [name, check] of Object.entries(checks)) {
    if (!rows.has(name)) {
      const parts = { mark: el("i", { class: "mark" }), figure: el("span", { class: "num" }), needs: el("span", { class: "needs" }), why: el("p", { class: "why" }) };
      const said = el("span", { class: "sr" });
      parts.said = said;
      parts.row = el("li", {}, parts.mark, el("span", { class: "name" }, name, said), parts.figure, parts.needs, parts.why);
      groupBody(check.group).append(parts.row);
      rows.set(name, parts);
    }
    const parts = rows.get(name);
    setText(parts.mark, MARK[check.ok]);
    setText(parts.said, ` ${SAID[check.ok]}`);
    setClass(parts.row, TONE[check.ok]);
    setText(parts.figure, check.figure);
    setText(parts.needs, check.needs);
    setText(parts.why, check.why);
    parts.why.hidden = !check.why || check.ok === true;
    parts.row.title = check.why;
  }
  const all = Object.values(checks);
  const passed = all.filter((check) => check.ok).length;
  setText($("checks-count"), `${passed} of ${all.length} passed`);
}

const FEATURE_WORDS = {
  micropriceGap: "Microprice", imb5: "Book imbalance, 5 levels", imb20: "Book imbalance, 20 levels",
  ofi1s: "Order flow, 1 s", ofi5s: "Order flow, 5 s", flowRatio5s: "Trade flow, 5 s", ret5s: "Return, 5 s",
  basis: "Mark over index",
};
const PENALTY_WORDS = { toxicity: "Toxic flow", spread: "Wide spread", regimeProximity: "Close to a regime" };
const COST_WORDS = { fees: "Fees", spread: "Spread", slippage: "Slippage", adverseMarkout: "Adverse markout" };

/** A bar of at most half the track to either side. */
export function signedBar(fill, share) {
  const half = Math.min(Math.abs(share ?? 0), 1) * 50;
  fill.style.width = `${half}%`;
  fill.style.left = share < 0 ? `${50 - half}%` : "50%";
  setClass(fill, share < 0 ? "neg" : "");
}

class Bars {
  /** Rows of name, bar and figure in the element `id`, made as names appear. */
  constructor(id, words, { signed }) {
    this.host = $(id);
    this.words = words;
    this.signed = signed;
    this.bars = new Map();
  }

  show(values, largest, digits) {
    for (const [name, value] of Object.entries(values)) {
      if (!this.bars.has(name)) this.bars.set(name, this.#make(name));
      const bar = this.bars.get(name);
      if (this.signed) signedBar(bar.fill, (value ?? 0) / largest);
      else bar.fill.style.width = `${Math.min((value ?? 0) / largest, 1) * 100}%`;
      setText(bar.label, this.signed ? f.signed(value, digits) : f.fixed(value, digits));
    }
    for (const [name, bar] of this.bars) bar.row.hidden = !(name in values);
  }

  #make(name) {
    const fill = el("i");
    const label = el("span", { class: "num" });
    const track = el("span", { class: this.signed ? "signed" : "bar", "aria-hidden": "true" }, fill);
    const row = el("div", {}, el("span", { class: "muted", title: name }, this.words[name] ?? name), track, label);
    this.host.append(row);
    return { fill, label, row };
  }
}

const contributions = new Bars("contributions", FEATURE_WORDS, { signed: true });
const penalties = new Bars("penalties", PENALTY_WORDS, { signed: false });
const costs = new Bars("costs", COST_WORDS, { signed: false });

export function showScore(value, nowMs) {
  if (!value) return;
  for (const side of ["long", "short"]) {
    setText($(`score-${side}`), f.fixed(value[side], 1));
    $(`score-${side}-bar`).style.width = `${value[side] ?? 0}%`;
    const signal = side === "long" ? value.signalLong : value.signalShort;
    setText($(`say-${side}`), signal ? "✔ signal: go" : "✘ no signal");
    setClass($(`say-${side}`), `say ${signal ? "up" : ""}`);
  }
  const parts = Object.keys(value.contributionsLong).length ? value.contributionsLong : value.contributions;
  contributions.show(parts, Math.max(0.25, ...Object.values(parts).map((part) => Math.abs(part ?? 0))), 3);
  penalties.show(value.penalties, Math.max(1, ...Object.values(value.penalties)), 3);
  $("penalties-part").hidden = !Object.keys(value.penalties).length;
  edge(value);
  regime("fact-regime", value.regime, value.regimeReason, "NORMAL");
  regime("fact-global", value.globalRegime, value.globalRegimeReason, "GLOBAL_NORMAL");
  $("fact-regime").title = [value.regimeReason, figures(value.regimeFigures)].filter(Boolean).join("\n");
  $("blocked").replaceChildren(...value.blockedReasons.map((reason) => el("li", { class: "chip" }, `✘ ${reason}`)));
  const made = [value.scorer && `scorer ${value.scorer}`, value.configVersion && `config ${f.version(value.configVersion)}`];
  setText($("score-by"), made.filter(Boolean).join(" · "));
  scoreAge(value, nowMs);
}

export function scoreAge(value, nowMs) {
  const ageS = (nowMs - value.ts) / 1000;
  setText($("score-age"), ageS > 3 ? `${f.span(ageS)} old` : "");
  setClass($("score-age"), `aside ${ageS > 3 ? "warn" : ""}`);
}

const figures = (values) => Object.entries(values ?? {}).map(([name, value]) => `${name} ${f.feature(value)}`).join(" · ");

function regime(id, name, reason, calm) {
  setText($(id), name ?? "–");
  setClass($(id), !name || name === calm ? "" : "warn");
  $(id).title = reason ?? "";
}

function edge(value) {
  const { expectedMoveBps: move, neededMoveBps: needed, costBps: cost } = value;
  const bps = (number) => (number === null ? "–" : `${f.fixed(number, 2)} bps`);
  setText($("score-edge"), bps(move));
  setText($("score-needed"), bps(needed));
  setText($("score-cost"), bps(cost));
  const share = needed ? Math.min((move ?? 0) / needed, 1) : 0;
  $("edge-bar").style.width = `${share * 100}%`;
  setClass($("edge-bar"), share >= 1 ? "enough" : "");
  const largest = Math.max(0.1, ...Object.values(value.costParts));
  costs.show(value.costParts, largest, 2);
}
