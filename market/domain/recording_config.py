"""Section `recording` of the trading config: what becomes of finished days of the raw recording."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class RecordingConfig(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """The daily job `archiveRecordings`; deleting old days is retention's."""

    compress_finished_days: Annotated[
        bool,
        Meta(description="Compress the files of finished days (zstd); readers notice nothing."),
    ] = True
    compress_after_min: Annotated[
        int,
        Meta(description="A day is finished this long after its midnight, min.", ge=1, le=1440),
    ] = 10
    compression_level: Annotated[
        int,
        Meta(
            description="zstd level: higher is smaller and slower; reading costs the same.",
            ge=1,
            le=19,
        ),
    ] = 6
