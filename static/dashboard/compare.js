// The equity of both runs in one chart.

import { stepLines } from "./charts.js";
import { $ } from "./dom.js";

const node = $("compare-chart");
if (node) {
  const curves = JSON.parse($("compare-curves").textContent);
  stepLines(node, [
    { name: "A", color: "--accent", points: curves.a },
    { name: "B", color: "--warn", points: curves.b, dashed: true },
  ]);
}
