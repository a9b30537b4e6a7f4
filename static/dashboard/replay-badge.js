// REPLAY, unmistakable on every page: the purple badge and `Session: <id> @ <speed>x`.

import { setText } from "./dom.js";

export const speedText = (speed) => (speed === null || speed === undefined ? "max" : `${Number(speed)}x`);

/** `system`: {runMode, sessionId, speedFactor, paused}, from the live socket or from /api/replay/status. */
export function showRunMode(system) {
  const badge = document.getElementById("mode-badge");
  const session = document.getElementById("replay-session");
  if (!badge || !session || !system) return;
  const isReplay = system.runMode === "REPLAY";
  const own = badge.dataset.mode;
  for (const mode of ["SIM", "DRY_RUN", "LIVE", "REPLAY"]) document.body.classList.toggle(`mode-${mode}`, mode === (isReplay ? "REPLAY" : own));
  document.body.dataset.mode = isReplay ? "REPLAY" : own;
  setText(document.getElementById("mode-word"), isReplay ? "REPLAY MODE" : own);
  setText(document.getElementById("mode-place"), isReplay ? "" : session.dataset.place);
  setText(session, isReplay ? `Session: ${system.sessionId} @ ${speedText(system.speedFactor)}${system.paused ? " · paused" : ""}` : "");
  session.hidden = !isReplay;
}

const EVERY_MS = 3000;

/** Pages without a live socket ask; a page that is told by its socket asks too, it costs little. */
export function followRunMode() {
  if (!document.getElementById("replay-session")) return;
  const ask = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/api/replay/status", { headers: { Accept: "application/json" } });
      if (answer.ok) showRunMode(await answer.json());
    } catch {
      // The server is away; live pages say so by themselves.
    }
  };
  ask();
  setInterval(ask, EVERY_MS);
}
