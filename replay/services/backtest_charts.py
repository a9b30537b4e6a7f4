"""Charts as inline SVG, drawn here: axes with units, a tooltip on every mark, no script.

Time runs over the covered spans only; a dashed line stands where recordings are far apart. Lines keep at
most `_MOST_POINTS` of a curve's points, lows and highs among them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from xml.sax.saxutils import escape

import msgspec
import numpy as np

from replay.domain.curves import CurvePoints, Line

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 12, 12, 34
_MOST_POINTS = 1200
_TIME_TICKS, _VALUE_TICKS = 7, 5
_LEAST_SPREAD = 1e-9  # of an axis, in its unit


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A point worth a tooltip. `kind` names its style: long, short, exit-win, exit-loss."""

    ts_ns: int
    value: float
    kind: str
    text: str


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A straight line from an entry to its exit."""

    start: Mark
    end: Mark
    is_win: bool


class TimeAxis:
    """Maps instants inside the covered spans to pixels; time between spans takes no room."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
            else:
                merged.append((start, stop))
        self.spans = merged
        self._starts = [start for start, _ in merged]
        self._before: list[int] = [0, *accumulate(stop - start for start, stop in merged)]
        self._total = max(self._before[-1], 1)

    def x(self, ts_ns: int) -> float:
        number = max(bisect_right(self._starts, ts_ns) - 1, 0)
        start, stop = self.spans[number]
        inside = min(max(ts_ns - start, 0), stop - start) + self._before[number]
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * inside / self._total

    def at(self, share: float) -> int:
        """The instant at a share (0..1) of the covered time."""
        wanted = int(share * self._total)
        number = max(n for n, before in enumerate(self._before[:-1]) if before <= wanted)
        return int(self.spans[number][0] + wanted - self._before[number])

    def breaks(self) -> list[float]:
        """Where one span ends and the next begins."""
        return [self.x(start) for start, _ in self.spans[1:]]


class ValueAxis:
    """Maps values to pixels, upwards; the range is widened to whole ticks."""

    def __init__(self, low: float, high: float) -> None:
        self.ticks = nice_ticks(low, high)
        self.low, self.high = min(low, self.ticks[0]), max(high, self.ticks[-1])

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share


def nice_ticks(low: float, high: float) -> list[float]:
    """Round values from at or below `low` to at or above `high`, at least two."""
    spread = high - low
    if not spread > max(abs(high) * 1e-12, _LEAST_SPREAD):
        spread = max(abs(high) * 1e-4, _LEAST_SPREAD)
        low, high = low - spread / 2, high + spread / 2
    rough = spread / _VALUE_TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, last + 1)]


def line_chart(line: Line, spans: Sequence[tuple[int, int]], *, unit: str, kind: str) -> str:
    """A line from 0 on, filled towards 0 (equity, drawdown). `kind` names its style."""
    times, values = [*line.ts_ns.tolist()], [*line.value.tolist()]
    if not times:
        return ""
    axis = TimeAxis(spans)
    scale = ValueAxis(min(0.0, *values), max(0.0, *values))
    kept = _thinned(values)
    points = [(axis.x(times[n]), scale.y(values[n])) for n in kept]
    zero = scale.y(0.0)
    first, last = points[0][0], points[-1][0]
    area = f"M{first:.1f},{zero:.1f} " + _path(points, "L") + f" L{last:.1f},{zero:.1f} Z"
    body = f'<path class="area {kind}" d="{area}"/><path class="line {kind}" d="{_path(points, "M")}"/>'
    body += _hover(axis, scale, [(times[n], values[n]) for n in kept], unit)
    return _figure(axis, scale, body, unit)


def price_chart(
    points: CurvePoints, marks: Sequence[Mark], links: Sequence[Link], *, unit: str
) -> str:
    """Mid price with its lows and highs, and trades upon it."""
    if not points.last:
        return ""
    bucket = points.bucket_ns
    starts = points.starts_ns
    times = [mark.ts_ns for mark in marks]
    axis = TimeAxis([(min(starts[0], *times, starts[0]), max(starts[-1] + bucket, *times, 0))])
    values = [mark.value for mark in marks]
    scale = ValueAxis(min(*points.low, *values), max(*points.high, *values))
    kept = _thinned(points.last)
    line = [(axis.x(starts[n] + bucket // 2), scale.y(points.last[n])) for n in kept]
    ranges = " ".join(
        f"M{axis.x(starts[n] + bucket // 2):.1f},{scale.y(points.low[n]):.1f}"
        f"V{scale.y(points.high[n]):.1f}"
        for n in range(len(starts))
        if points.high[n] > points.low[n]
    )
    body = f'<path class="range" d="{ranges}"/>' if ranges else ""
    body += f'<path class="line price" d="{_path(line, "M")}"/>'
    body += _hover(axis, scale, [(starts[n], points.last[n]) for n in kept], unit)
    body += "".join(_link(link, axis, scale) for link in links)
    body += "".join(_mark(mark, axis, scale) for mark in marks)
    return _figure(axis, scale, body, unit)


def _thinned(values: Sequence[float]) -> list[int]:
    """Numbers of the points to draw: first, last, and the extremes of equal stretches."""
    if len(values) <= _MOST_POINTS:
        return list(range(len(values)))
    kept = {0, len(values) - 1}
    edges = np.linspace(0, len(values), _MOST_POINTS // 2 + 1).astype(int).tolist()
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        kept |= {start + int(np.argmin(stretch)), start + int(np.argmax(stretch))}
    return sorted(kept)


def _path(points: Sequence[tuple[float, float]], first: str) -> str:
    return " ".join(f"{first if n == 0 else 'L'}{x:.1f},{y:.1f}" for n, (x, y) in enumerate(points))


def _hover(axis: TimeAxis, scale: ValueAxis, points: Sequence[tuple[int, float]], unit: str) -> str:
    """Invisible strips that carry the value as a tooltip: at most 120, each with its newest point."""
    chosen = points[:: max(len(points) // 120, 1)]
    xs = [axis.x(ts_ns) for ts_ns, _ in chosen]
    edges = [*xs[1:], _WIDTH - _RIGHT]
    return "".join(
        f'<rect class="hover" x="{x:.1f}" y="{_TOP}" width="{max(edge - x, 0.5):.1f}" '
        f'height="{_HEIGHT - _TOP - _BOTTOM}"><title>{clock(ts_ns)}: {number(value)} {escape(unit)}'
        "</title></rect>"
        for x, edge, (ts_ns, value) in zip(xs, edges, chosen, strict=True)
    )


def _mark(mark: Mark, axis: TimeAxis, scale: ValueAxis) -> str:
    x, y = axis.x(mark.ts_ns), scale.y(mark.value)
    shapes = {
        "long": f'<path d="M{x:.1f},{y - 7:.1f} l6,11 h-12 Z"',
        "short": f'<path d="M{x:.1f},{y + 7:.1f} l6,-11 h-12 Z"',
    }
    shape = shapes.get(mark.kind, f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"')
    return f'{shape} class="mark {mark.kind}"><title>{escape(mark.text)}</title>{_close(shape)}'


def _close(shape: str) -> str:
    return "</path>" if shape.startswith("<path") else "</circle>"


def _link(link: Link, axis: TimeAxis, scale: ValueAxis) -> str:
    kind = "win" if link.is_win else "loss"
    return (
        f'<line class="link {kind}" x1="{axis.x(link.start.ts_ns):.1f}" y1="{scale.y(link.start.value):.1f}" '
        f'x2="{axis.x(link.end.ts_ns):.1f}" y2="{scale.y(link.end.value):.1f}"/>'
    )


def _figure(axis: TimeAxis, scale: ValueAxis, body: str, unit: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"{_value_axis(scale, unit)}{_time_axis(axis)}{body}</svg>"
    )


def _value_axis(scale: ValueAxis, unit: str) -> str:
    rows = [f'<text class="unit" x="4" y="{_TOP + 2}">{escape(unit)}</text>']
    step = scale.ticks[1] - scale.ticks[0]
    decimals = max(0, -math.floor(math.log10(step)))
    for tick in scale.ticks:
        y = scale.y(tick)
        rows.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.{decimals}f}</text>'
        )
    return "".join(rows)


def _time_axis(axis: TimeAxis) -> str:
    floor = _HEIGHT - _BOTTOM
    rows = [f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>']
    for n in range(_TIME_TICKS):
        ts_ns = axis.at(min(n / (_TIME_TICKS - 1), 0.9999999))
        x = axis.x(ts_ns)
        anchor = "start" if n == 0 else "end" if n == _TIME_TICKS - 1 else "middle"
        moment = datetime.fromtimestamp(ts_ns / 1e9, UTC)
        rows.append(
            f'<text x="{x:.1f}" y="{floor + 14}" text-anchor="{anchor}">{moment:%H:%M:%S}</text>'
            f'<text class="day" x="{x:.1f}" y="{floor + 28}" text-anchor="{anchor}">{moment:%Y-%m-%d}</text>'
        )
    rows += [
        f'<line class="break" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{floor}">'
        "<title>time without data is left out here</title></line>"
        for x in axis.breaks()
    ]
    return "".join(rows)


def clock(ts_ns: int) -> str:
    return f"{datetime.fromtimestamp(ts_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float) -> str:
    """Up to 8 significant digits, thousands apart."""
    digits = 8 - (math.floor(math.log10(abs(value))) + 1) if value else 2
    text = f"{value:,.{min(max(digits, 2), 10)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
