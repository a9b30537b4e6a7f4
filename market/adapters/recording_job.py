"""The archiving of finished days as the worker and the command run it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from market.adapters.recording_archiver import ArchivedDay, archive_days
from market.adapters.recording_reports import keep_report
from market.domain.config import MarketConfig
from market.domain.recording_config import RecordingConfig

logger = logging.getLogger(__name__)


def finished_before(now: datetime, config: RecordingConfig) -> str:
    """The first day (YYYY-MM-DD) that is not finished at `now`."""
    return f"{now.astimezone(UTC) - timedelta(minutes=config.compress_after_min):%Y-%m-%d}"


def archive_finished_days(
    market_dir: Path,
    config: RecordingConfig,
    market: MarketConfig,
    *,
    source: str,
    now: datetime | None = None,
    on_file: Callable[[Path], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[ArchivedDay]:
    """Check, index and compress every finished day, and keep a row of each. Raises: Stopped."""
    for day in archive_days(
        market_dir,
        finished_before(now or datetime.now(UTC), config),
        level=config.compression_level,
        crossed_ms=market.crossed_ms,
        on_file=on_file,
        should_stop=should_stop,
    ):
        if reason := keep_report(day.report, source, day.files):
            logger.error("recording_report_not_kept", extra={"day": day.day, "reason": reason})
        if not day.report.is_clean:
            logger.warning(
                "recording_not_clean", extra={"day": day.day, "problems": day.report.problems}
            )
        yield day
