"""Section `logging` of the trading config (phase 12 §1.1): where records go and how they look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from failover.domain.config_sections import RESTART_ONLY

DATA = "data"
"""What the documents and `baseDir` call the data directory, wherever DATA_DIR puts it."""


class LoggingConfig(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The archive of state events, trades, orders and snapshots; the raw market has its own recorder."""

    base_dir: Annotated[
        str,
        Meta(
            description="Folder of events, trades, orders and snapshots: data is DATA_DIR itself, "
            "data/NAME a folder in it. Move the folders before a change, services read them at start.",
            pattern=r"^data(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){0,4}$",
            extra=RESTART_ONLY,
        ),
    ] = DATA
    pretty_print_snapshots: Annotated[
        bool, Meta(description="Snapshots (risk, tpsl, execution, health) as indented JSON.")
    ] = True
    max_line_length: Annotated[
        int,
        Meta(
            description="Longest line of the state event log, bytes: a longer one is cut and says so. "
            "Orders, trades, replay events and recorded market data are never cut.",
            ge=500,
            le=10_000_000,
        ),
    ] = 10_000
    max_queued_records: Annotated[
        int,
        Meta(
            description="State events that may wait for the disk or the database; more are dropped, "
            "counted and announced.",
            ge=100,
            le=1_000_000,
            extra=RESTART_ONLY,
        ),
    ] = 20_000

    def folder(self, data_dir: Path) -> Path:
        """Where `baseDir` is: `data` is `data_dir` itself, `data/x` its folder x."""
        return data_dir.joinpath(*self.base_dir.split("/")[1:])
