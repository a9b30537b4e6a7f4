// The safety badge in the header of every live page.

import { $, setClass, setText } from "./dom.js";
import { span, utc } from "./format.js";

export function showSafety(safety, nowMs) {
  const badge = $("safe-badge");
  if (!safety?.known) {
    setText(badge, "safe mode: unknown");
    return;
  }
  setClass(badge, `safe-badge ${safety.safeMode || !safety.tradingEnabled ? "on" : ""}`);
  if (safety.safeMode) {
    const since = safety.since ? ` · ${span((nowMs - safety.since) / 1000)}` : "";
    setText(badge, `⚠ SAFE MODE: ${safety.reasons.join(", ")}${since}`);
    badge.title = `${safety.reasons.join(", ")} since ${utc(safety.since)}`;
  } else {
    setText(badge, safety.tradingEnabled ? "safe mode off" : "⏸ TRADING OFF");
    badge.title = "";
  }
}
