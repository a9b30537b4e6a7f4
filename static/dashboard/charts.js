// Charts in the page's own colours. Times on the axes are local.

/* global LightweightCharts */

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = (value) => String(value).padStart(2, "0");

function localTime(seconds, withSeconds) {
  const date = new Date(seconds * 1000);
  const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withSeconds ? `${text}:${two(date.getSeconds())}` : text;
}

function options() {
  return {
    autoSize: true,
    layout: {
      background: { color: "transparent" },
      textColor: color("--muted"),
      fontFamily: color("--mono"),
      fontSize: 11,
      attributionLogo: false, // the notice is in the page's footer
    },
    grid: { vertLines: { color: color("--line") }, horzLines: { color: color("--line") } },
    rightPriceScale: { borderColor: color("--line") },
    timeScale: {
      borderColor: color("--line"),
      timeVisible: true,
      secondsVisible: true,
      rightOffset: 4,
      tickMarkFormatter: (time, kind) => localTime(time, kind >= 4),
    },
    localization: { timeFormatter: (time) => localTime(time, true) },
    crosshair: { mode: LightweightCharts.CrosshairMode.Normal },
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
  };
}

function followColourScheme(chart, restyle) {
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => {
    const { autoSize, ...rest } = options();
    chart.applyOptions(rest);
    restyle();
  });
}

export function equityChart(node) {
  const chart = LightweightCharts.createChart(node, options());
  const series = chart.addSeries(LightweightCharts.AreaSeries, { lineWidth: 2, priceLineVisible: false });
  const restyle = () =>
    series.applyOptions({
      lineColor: color("--accent"),
      topColor: `${color("--accent")}44`,
      bottomColor: `${color("--accent")}05`,
    });
  restyle();
  followColourScheme(chart, restyle);
  let last = 0;
  return {
    set(points) {
      const data = points.map(([ms, value]) => ({ time: Math.floor(ms / 1000), value }));
      series.setData(data.filter((point, i) => i === 0 || point.time > data[i - 1].time));
      last = data.at(-1)?.time ?? 0;
      chart.timeScale().fitContent();
    },
    add([ms, value]) {
      const time = Math.floor(ms / 1000);
      if (time < last) return;
      series.update({ time, value });
      last = time;
      chart.timeScale().fitContent();
    },
  };
}

const LINE_STYLE = { STOP: "--down", ENTRY: "--accent", AVG: "--muted", TP: "--up" };

/** One marker for all fills of a leg in a bar ("TP1 ×4"); a state's dot only where no fill is drawn. */
function merged(markers) {
  const counts = new Map();
  const filled = new Set();
  for (const marker of markers) {
    const key = `${marker.time} ${marker.shape} ${marker.text}`;
    counts.set(key, { marker, count: (counts.get(key)?.count ?? 0) + 1 });
    if (marker.shape !== "circle") filled.add(marker.time);
  }
  return [...counts.values()]
    .filter(({ marker }) => marker.shape !== "circle" || !filled.has(marker.time))
    .map(({ marker, count }) => (count > 1 && marker.text ? { ...marker, text: `${marker.text} ×${count}` } : marker));
}

export class PriceChart {
  constructor(node) {
    this.chart = LightweightCharts.createChart(node, options());
    this.series = this.chart.addSeries(LightweightCharts.CandlestickSeries, { borderVisible: false });
    this.markers = LightweightCharts.createSeriesMarkers(this.series, []);
    this.lines = new Map();
    this.spanMs = 5000;
    this.#restyle();
    followColourScheme(this.chart, () => this.#restyle());
  }

  setScale(scale, tick) {
    this.series.applyOptions({ priceFormat: { type: "price", precision: scale, minMove: tick } });
  }

  /** `candles`: base candles [ms, open, high, low, close], oldest first, none later than the last one. */
  setCandles(candles, spanMs) {
    this.spanMs = spanMs;
    this.bars = [];
    for (const candle of candles) this.#fold(candle);
    this.series.setData(this.bars.map((bar) => ({ ...bar })));
    this.chart.timeScale().applyOptions({ barSpacing: 7 });
    this.chart.timeScale().scrollToRealTime();
  }

  /** A base candle that is new or has changed; earlier ones of its bar are in already. */
  update(candle) {
    if (!this.bars) return;
    this.series.update({ ...this.#fold(candle) });
  }

  #fold([ms, open, high, low, close]) {
    const time = Math.floor(ms / this.spanMs) * (this.spanMs / 1000);
    const last = this.bars.at(-1);
    if (last && time <= last.time) {
      last.high = Math.max(last.high, high);
      last.low = Math.min(last.low, low);
      last.close = close;
      return last;
    }
    const bar = { time, open, high, low, close };
    this.bars.push(bar);
    if (this.bars.length > 5000) this.bars.shift();
    return bar;
  }

  setMarks(marks) {
    const first = this.bars?.[0]?.time ?? Infinity;
    const shown = marks.map((mark) => this.#marker(mark)).filter((marker) => marker && marker.time >= first);
    this.markers.setMarkers(merged(shown).sort((a, b) => a.time - b.time));
  }

  #marker(mark) {
    const time = Math.floor(mark.ts / this.spanMs) * (this.spanMs / 1000);
    if (mark.kind === "FILL") {
      const isBuy = mark.side === "BUY";
      return {
        time,
        position: isBuy ? "belowBar" : "aboveBar",
        shape: isBuy ? "arrowUp" : "arrowDown",
        color: color(isBuy ? "--up" : "--down"),
        text: mark.leg,
      };
    }
    if (!["IN_POSITION", "COOLDOWN", "ERROR"].includes(mark.text)) return null;
    return { time, position: "aboveBar", shape: "circle", size: 0.5, color: color("--faint"), text: "" };
  }

  /** `lines`: [{id, label, price, kind}], kind one of STOP, TP, ENTRY, AVG. */
  setLines(lines) {
    const wanted = new Map(lines.map((line) => [line.id, line]));
    for (const [id, { line }] of this.lines) {
      if (!wanted.has(id)) {
        this.series.removePriceLine(line);
        this.lines.delete(id);
      }
    }
    for (const [id, { label, price, kind }] of wanted) {
      const existing = this.lines.get(id);
      if (existing?.price === price) continue;
      if (existing) existing.line.applyOptions({ price });
      const line =
        existing?.line ??
        this.series.createPriceLine({
          price,
          title: label,
          color: color(LINE_STYLE[kind]),
          lineWidth: 1,
          lineStyle: LightweightCharts.LineStyle.Dashed,
        });
      this.lines.set(id, { line, price });
    }
  }

  #restyle() {
    this.series.applyOptions({
      upColor: color("--up"),
      downColor: color("--down"),
      wickUpColor: color("--up"),
      wickDownColor: color("--down"),
    });
  }
}

/** Several lines over the same time: `lines` is [{name, color, points: [[ms, value], …]}], steps held. */
export function stepLines(node, lines) {
  const chart = LightweightCharts.createChart(node, options());
  const drawn = lines.map(({ name, color: variable, points, dashed }) => {
    const series = chart.addSeries(LightweightCharts.LineSeries, {
      title: name,
      lineWidth: 2,
      lineType: LightweightCharts.LineType.WithSteps,
      lineStyle: dashed ? LightweightCharts.LineStyle.Dashed : LightweightCharts.LineStyle.Solid,
      priceLineVisible: false,
    });
    // One point a second, its last value; the axis takes no two of the same time.
    const seconds = new Map(points.map(([ms, value]) => [Math.floor(ms / 1000), value]));
    series.setData([...seconds].map(([time, value]) => ({ time, value })));
    return { series, variable };
  });
  const restyle = () => drawn.forEach(({ series, variable }) => series.applyOptions({ color: color(variable) }));
  restyle();
  followColourScheme(chart, restyle);
  chart.timeScale().fitContent();
}
