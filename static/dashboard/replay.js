// The replay page: what runs now and how to operate it, sessions, builds, and what runs came to.

import { $, el, KeyedTable, setClass, setText } from "./dom.js";
import * as f from "./format.js";
import { showRunMode, speedText } from "./replay-badge.js";
import { get, post, remove, upload } from "./replay-api.js";

const STATUS_EVERY_MS = 700;
const LISTS_EVERY_MS = 10_000;
const SPEEDS = [0.1, 0.5, 1, 2, 4, 10, 25, 50, 100, null];
const page = $("replay-page");
const isOperator = page.dataset.operator === "1";
const utcText = (iso) => (iso ? iso.replace("T", " ").replace(/(\.\d+)?(Z|\+00:00)$/, "") : "–");
const whole = (n) => Number(n ?? 0).toLocaleString("en-GB");

let status = null;
let sessions = new Map();
const chosen = [];

// --- saying what came of something ------------------------------------------------------------------

function say(node, text, tone = "") {
  node.hidden = !text;
  setClass(node, `outcome ${tone} ${node.classList.contains("wide") ? "wide" : ""}`.trim());
  setText(node, text);
}

/** Send an order; the button waits for the answer and the line says it. */
async function order(button, node, work) {
  const was = button?.disabled;
  if (button) button.disabled = true;
  say(node, "Sending…");
  try {
    const answer = await work();
    say(node, answer.message ?? "Done.", "good");
    await refresh();
    return answer;
  } catch (error) {
    say(node, `Refused: ${error.message}`, "bad");
    return null;
  } finally {
    if (button) button.disabled = was;
    if (status) showStatus(status);
  }
}

function confirmed(title, text, yes, isDanger = false) {
  const dialog = $("confirm");
  setText($("confirm-title"), title);
  setText($("confirm-text"), text);
  setText($("confirm-yes"), yes);
  setClass($("confirm-yes"), isDanger ? "danger" : "primary");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

// --- now -----------------------------------------------------------------------------------------------

const isUnderWay = (s) => ["QUEUED", "STARTING", "RUNNING"].includes(s?.state) && s.runMode === "REPLAY";

function line(s) {
  if (!s.jobId) return ["No replay yet. Build a session, then Run it.", "info"];
  if (s.state === "QUEUED" || s.state === "STARTING") return [`Starting ${s.sessionId}: market and execution leave LIVE…`, "warn"];
  if (s.running) return [`${s.paused ? "Paused" : "Replaying"} ${s.sessionId} @ ${speedText(s.speedFactor)} · ${s.mode}`, "info"];
  const how = { DONE: "ended", STOPPED: "was stopped", FAILED: "failed", LOST: "was lost" }[s.state] ?? s.state;
  return [`The last replay, of ${s.sessionId}, ${how}${s.error ? `: ${s.error}` : ""}.`, s.state === "FAILED" || s.state === "LOST" ? "bad" : "good"];
}

function showStatus(s) {
  const isOn = isUnderWay(s);
  const [text, tone] = line(s);
  setText($("now-line"), text);
  setClass($("now-line"), `headline ${tone}`);
  setText($("now-state"), s.runMode === "REPLAY" ? `REPLAY · ${s.paused ? "PAUSED" : s.state}` : "LIVE");
  $("now-bar").style.width = `${s.progressPct ?? 0}%`;
  $("now-progress").setAttribute("aria-valuenow", String(Math.round(s.progressPct ?? 0)));
  setText($("now-index"), whole(s.currentEventIndex));
  setText($("now-total"), whole(s.totalEvents));
  setText($("now-market"), utcText(s.lastEventTimestamp));
  setText($("now-eta"), s.etaSeconds === null ? "–" : f.span(s.etaSeconds));
  setText($("now-rate"), s.eventsPerSecond ? whole(Math.round(s.eventsPerSecond)) : "–");
  setText($("now-late"), s.latenessP99Ms === null || s.latenessP99Ms === undefined ? "–" : `${f.fixed(s.latenessP99Ms, 2)} ms`);
  setText($("now-run"), s.runId ?? "–");
  for (const id of ["pause", "stop", "speed-now", "loop-now", "seek", "seek-go"]) $(id).disabled = !isOn || !isOperator;
  setText($("pause"), s.paused ? "Resume" : "Pause");
  if (document.activeElement !== $("speed-now")) $("speed-now").value = String(s.speedFactor);
  if (document.activeElement !== $("loop-now")) $("loop-now").checked = Boolean(s.loop);
  const span = rangeOf(s.sessionId);
  if (span && s.lastEventTimestamp && !isSeeking) $("seek").value = String(Math.round((1000 * (Date.parse(s.lastEventTimestamp) - span.from)) / (span.to - span.from)));
  showSeek();
  besides(s.isolated ?? []);
  showRunMode(s);
  for (const button of document.querySelectorAll("button[data-run]")) button.disabled = !isOperator || (isOn && !$("run-isolated").checked);
}

function besides(jobs) {
  $("beside").replaceChildren(
    ...jobs.map((job) => {
      const stop = el("button", { type: "button", class: "small" }, "Stop");
      stop.disabled = !isOperator;
      stop.onclick = () => order(stop, $("now-outcome"), () => post("stop", { jobId: job.jobId }));
      return el("li", {}, `Isolated ${job.jobId}: ${job.sessionId} · ${job.state} · ${f.fixed(job.progressPct, 1)} % `, stop);
    }),
  );
}

// --- seeking ----------------------------------------------------------------------------------------------

let isSeeking = false;

function rangeOf(sessionId) {
  const session = sessions.get(sessionId);
  if (!session) return null;
  return { from: Date.parse(session.sourceDateRange.from), to: Date.parse(session.sourceDateRange.to) };
}

function seekTo() {
  const span = status && rangeOf(status.sessionId);
  return span ? new Date(span.from + (Math.min(Number($("seek").value), 999) / 1000) * (span.to - span.from)).toISOString() : null;
}

const showSeek = () => setText($("seek-at"), utcText(seekTo()));
$("seek").oninput = () => {
  isSeeking = true;
  showSeek();
};
$("seek-go").onclick = async () => {
  await order($("seek-go"), $("now-outcome"), () => post("seek", { to: seekTo() }));
  isSeeking = false;
};

// --- operating -----------------------------------------------------------------------------------------

function fillSpeeds(select, chosenSpeed) {
  select.replaceChildren(...SPEEDS.map((speed) => el("option", { value: String(speed) }, speedText(speed))));
  select.value = chosenSpeed;
}
const speedOf = (select) => (select.value === "null" ? "max" : Number(select.value));

$("pause").onclick = () => order($("pause"), $("now-outcome"), () => post(status.paused ? "resume" : "pause", {}));
$("stop").onclick = () => order($("stop"), $("now-outcome"), () => post("stop", {}));
$("speed-now").onchange = () => {
  $("speed-now").blur();
  order(null, $("now-outcome"), () => post("speed", { speedFactor: speedOf($("speed-now")) }));
};
$("loop-now").onchange = () => order(null, $("now-outcome"), () => post("loop", { loop: $("loop-now").checked }));

async function run(session, button) {
  const isolated = $("run-isolated").checked;
  const text = "The whole system leaves the live market: the feed closes, nothing is opened. It returns when the replay ends.";
  if (!isolated && !(await confirmed(`Replay ${session.sessionId}?`, text, "Run"))) return;
  const speed = $("run-speed").value === "own" ? {} : { speedFactor: speedOf($("run-speed")) };
  await order(button, $("now-outcome"), () => post("run", { sessionId: session.sessionId, injectMode: $("run-mode").value, loop: $("run-loop").checked, isolated, ...speed }));
}

async function drop(session, button) {
  if (!(await confirmed(`Delete ${session.sessionId}?`, "Its events are gone; the recording it was made of stays.", "Delete", true))) return;
  await order(button, $("build-outcome"), () => remove(`sessions/${encodeURIComponent(session.sessionId)}`));
}

// --- tables ------------------------------------------------------------------------------------------------

function actions(session) {
  const play = el("button", { type: "button", class: "small primary", "data-run": "", "aria-label": `Run ${session.sessionId}` }, "Run");
  play.onclick = () => run(session, play);
  const save = el("a", { class: "button small", href: `/api/replay/sessions/${encodeURIComponent(session.sessionId)}/export`, download: "", "aria-label": `Export ${session.sessionId}` }, "Export");
  const gone = el("button", { type: "button", class: "small", "aria-label": `Delete ${session.sessionId}` }, "Delete");
  gone.onclick = () => drop(session, gone);
  play.disabled = gone.disabled = !isOperator;
  return el("span", { class: "row-actions" }, play, save, gone);
}

const sessionTable = new KeyedTable(
  $("sessions"),
  [
    { class: "wrap", cell: (s) => ({ text: s.sessionId, title: s.notes ?? "" }) },
    { class: "time optional", cell: (s) => utcText(s.sourceDateRange.from) },
    { class: "time optional", cell: (s) => utcText(s.sourceDateRange.to) },
    { class: "wrap optional", cell: (s) => s.symbols.join(", ") },
    { class: "num", cell: (s) => whole(s.totalEvents) },
    { class: "num optional", cell: (s) => speedText(s.speedFactor) },
    { node: true, cell: actions },
  ],
  { empty: $("sessions-empty") },
);

function choice(run) {
  if (!run.runId) return el("span", {});
  const box = el("input", { type: "checkbox", "aria-label": `Compare ${run.runId}` });
  box.checked = chosen.includes(run.runId);
  box.onchange = () => {
    const place = chosen.indexOf(run.runId);
    if (box.checked && place < 0) chosen.push(run.runId);
    else if (!box.checked && place >= 0) chosen.splice(place, 1);
    showCompare();
  };
  return box;
}

function showCompare() {
  const [a, b] = chosen.slice(-2);
  $("compare").href = a ? `/replay/compare/?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b ?? "live")}` : "/replay/compare/";
  setText($("compare"), a ? `Compare with ${b ? "each other" : "live"}` : "Compare");
}

const runTable = new KeyedTable(
  $("runs"),
  [
    { node: true, cell: choice },
    { node: true, cell: (r) => (r.runId ? el("a", { class: "strong", href: `/replay/runs/${r.runId}/`, title: r.runId }, utcText(r.createdAt)) : el("span", {}, utcText(r.createdAt))) },
    { class: "wrap optional", cell: (r) => r.sessionId ?? r.recording },
    { class: "optional", cell: (r) => r.mode },
    { cell: (r) => ({ text: r.state, title: r.error, class: r.error ? "down" : "" }) },
    { class: "num", cell: (r) => whole(r.trades) },
    { class: "num", cell: (r) => ({ text: f.signed(r.netPnl, 2), class: f.tone(r.netPnl) }) },
    { class: "num optional", cell: (r) => f.fixed(r.maxDrawdown, 2) },
    { class: "optional", cell: (r) => ({ text: (r.digest ?? "").slice(0, 8), title: r.digest ?? "" }) },
  ],
  { empty: $("runs-empty") },
);

async function loadSessions() {
  const { sessions: found, broken } = await get("sessions");
  sessions = new Map(found.map((one) => [one.sessionId, one]));
  sessionTable.render(found.map((one) => [one.sessionId, one]));
  setText($("sessions-empty"), "No session yet: build one from the recording, or import one.");
  const names = Object.keys(broken);
  setText($("sessions-note"), names.length ? `${names.length} cannot be read: ${names.join(", ")}` : "");
}

async function loadRuns() {
  const { runs } = await get("runs");
  runTable.render(runs.map((one) => [`${one.runId}${one.createdAt}`, one]));
  setText($("runs-empty"), "No run yet.");
}

// --- builds ------------------------------------------------------------------------------------------------

const watched = new Map(); // builds ordered here, by job id

function buildRow(job) {
  const stop = el("button", { type: "button", class: "small" }, "Stop");
  stop.onclick = () => order(stop, $("build-outcome"), () => remove(`builds/${job.jobId}`));
  const fill = el("i");
  fill.style.width = `${job.progressPct}%`;
  const bar = el("div", { class: "progress", role: "progressbar", "aria-valuenow": String(Math.round(job.progressPct)), "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": `Build ${job.jobId}` }, fill);
  const left = job.etaSeconds === null ? "" : ` · ${f.span(job.etaSeconds)} left`;
  return el("li", {}, el("span", {}, `${job.sessionId || `Build ${job.jobId}`} · ${job.state} · ${whole(job.events)} events · ${f.fixed(job.progressPct, 1)} %${left}`), stop, bar);
}

async function loadBuilds() {
  const { builds } = await get("builds");
  $("builds").replaceChildren(...builds.map(buildRow));
  const running = new Set(builds.map((job) => job.jobId));
  for (const job of builds) watched.set(job.jobId, job);
  for (const jobId of [...watched.keys()].filter((id) => !running.has(id))) {
    watched.delete(jobId);
    const ended = await get(`builds/${jobId}`);
    if (ended.state === "DONE") say($("build-outcome"), `${ended.sessionId} is built: ${whole(ended.events)} events.`, "good");
    else say($("build-outcome"), `Build ${jobId} ${ended.state}: ${ended.error?.message ?? ""}`, "bad");
    await loadSessions();
  }
}

$("build-form").onsubmit = async (event) => {
  event.preventDefault();
  const form = new FormData($("build-form"));
  const text = (name) => form.get(name).trim() || null;
  const time = (name) => (text(name) ? `${text(name)}Z` : "");
  const body = {
    from: time("from"),
    to: time("to"),
    symbols: (text("symbols") ?? "").toUpperCase().split(/[\s,]+/).filter(Boolean),
    includeTypes: form.getAll("includeTypes"),
    maxEvents: text("maxEvents") ? Number(text("maxEvents")) : null,
    sessionId: text("sessionId"),
    notes: text("notes"),
  };
  await order(event.submitter, $("build-outcome"), async () => {
    const answer = await post("sessions", body);
    if (answer.jobId) {
      watched.set(answer.jobId, answer);
      return { message: "Building…" };
    }
    return { message: `${answer.sessionId} is built: ${whole(answer.totalEvents)} events.` };
  });
};

$("import-file").onchange = async () => {
  const [file] = $("import-file").files;
  if (!file) return;
  await order(null, $("build-outcome"), async () => {
    const manifest = await upload("import", file);
    return { message: `${manifest.sessionId} is imported: ${whole(manifest.totalEvents)} events.` };
  });
  $("import-file").value = "";
};

// --- going on ----------------------------------------------------------------------------------------------

async function loadStatus() {
  const before = status;
  status = await get("status");
  showStatus(status);
  if (before && (before.runId !== status.runId || before.running !== status.running)) await loadRuns();
}

async function refresh() {
  await Promise.all([loadStatus(), loadBuilds(), loadSessions(), loadRuns()]);
}

function every(ms, work) {
  const turn = async () => {
    try {
      if (!document.hidden) await work();
    } catch (error) {
      setText($("now-line"), `Not reachable: ${error.message}`);
      setClass($("now-line"), "headline bad");
    }
    setTimeout(turn, ms);
  };
  turn();
}

fillSpeeds($("speed-now"), "4");
fillSpeeds($("run-speed"), "4");
$("run-speed").prepend(el("option", { value: "own" }, "the session's"));
$("run-speed").value = "own";
$("run-isolated").onchange = () => status && showStatus(status);
every(STATUS_EVERY_MS, async () => {
  await loadStatus();
  if (watched.size) await loadBuilds();
});
every(LISTS_EVERY_MS, async () => Promise.all([loadSessions(), loadRuns(), loadBuilds()]));
