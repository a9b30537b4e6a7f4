"""A calibration's report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from failover.domain.days import iso_ms
from replay.domain.calibration_results import HorizonFigures, Interval, SymbolCalibration
from replay.services.calibration import CalibrationReport

_COLUMNS = (
    "horizon", "samples", "stretches", "IC", "edge coef", "signals", "apart", "expected", "realised",
    "cost", "net bps",
)  # fmt: skip


def calibration_lines(report: CalibrationReport) -> Iterator[str]:
    """The whole report, one line after the other."""
    settings = report.settings
    files = ", ".join(file["path"] for file in report.files[:4])
    more = f" and {len(report.files) - 4} more" if len(report.files) > 4 else ""
    yield f"{report.recording}: {files}{more} ({report.messages} messages)"
    yield (
        f"config {report.config_version}, fees {report.fees_bps['maker']:g} bps maker / "
        f"{report.fees_bps['taker']:g} bps taker; {settings.folds} folds, embargo {settings.embargo_s:g} s, "
        f"a sample every {settings.step_ms} ms, seed {settings.seed}, intervals of "
        f"{settings.confidence:.0%}"
    )
    for symbol in report.symbols:
        yield ""
        yield from _symbol_lines(symbol)
    yield ""
    if report.data_faults:
        yield "data faults: " + ", ".join(f"{k} {n}" for k, n in report.data_faults.items())
    yield from (f"note: {note}" for note in report.notes)
    yield (
        "IC: rank correlation, out of sample. realised and net are moves of the mid: what maker orders "
        "would miss is not taken out."
    )


def _symbol_lines(symbol: SymbolCalibration) -> Iterator[str]:
    span = f"{iso_ms(symbol.from_ns)} to {iso_ms(symbol.to_ns)}" if symbol.samples else "nothing"
    yield (
        f"{symbol.symbol}: {span}, {symbol.samples} samples, {symbol.usable_samples} of them usable"
    )
    rows = [list(_COLUMNS), *(_cells(each) for each in symbol.horizons)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    yield f"  {symbol.symbol}: {symbol.verdict}"
    if symbol.found is not None:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in symbol.found.weights.items())
        yield (
            f"  proposed: horizonS {symbol.found.horizon_s:g}, edgeCoef {symbol.found.edge_coef:g}, "
            f"weights {weights}"
        )


def _cells(figures: HorizonFigures) -> list[str]:
    net = figures.net_edge
    return [
        f"{figures.horizon_s:g} s",
        str(figures.samples),
        f"{figures.blocks:g}",
        _range(figures.information_coefficient, 3),
        _range(figures.edge_coef, 2),
        str(net.signals),
        str(net.trades),
        _figure(net.expected_bps),
        _figure(net.realised_bps),
        _figure(net.cost_bps if net.signals else figures.strongest.cost_bps),
        _range(net.net_bps, 2),
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _range(interval: Interval, digits: int) -> str:
    if interval.value is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.{digits}f} (?)"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
