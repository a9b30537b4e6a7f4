// On every page: local times with UTC on hover, and the clock.

import { clock, dateTime, utc } from "./format.js";
import { followRunMode } from "./replay-badge.js";

followRunMode();

for (const node of document.querySelectorAll("time[datetime]")) {
  const ms = Date.parse(node.getAttribute("datetime"));
  if (Number.isNaN(ms)) continue;
  const fraction = "precise" in node.dataset ? `.${String(ms % 1000).padStart(3, "0")}` : "";
  node.textContent = dateTime(ms) + fraction;
  node.title = utc(ms);
}

const wall = document.getElementById("clock");
if (wall) {
  const tick = () => {
    wall.textContent = clock(Date.now());
    wall.title = utc(Date.now());
  };
  tick();
  setInterval(tick, 1000);
}

// A page whose live module never came up must not look alive either.
setTimeout(() => {
  if (!document.body.classList.contains("waiting")) return;
  document.body.classList.add("stale");
  document.getElementById("stale-text").textContent = "NO LIVE DATA YET \u2013 connecting\u2026";
}, 2800);
