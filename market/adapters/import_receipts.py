"""Receipts of imported runs, as they lie beside the recorded files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from market.domain.imports import ImportReceipt
from market.domain.recordings import BadRecording

_decode = msgspec.json.Decoder(ImportReceipt).decode


def receipt_name(recorder_run: str) -> str:
    return f"import-{recorder_run}.json"


def read_receipts(path: Path, runs: Sequence[str]) -> Iterator[ImportReceipt]:
    """Those of `runs` under a path of our own recordings: data/market, a day, or a file.

    Raises: BadRecording where one cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    for run in runs:
        name = receipt_name(run)
        found = folder / name if (folder / name).is_file() else next(folder.glob(f"*/{name}"), None)
        if found is not None:
            yield read_receipt(found)


def read_receipt(path: Path) -> ImportReceipt:
    """Raises: BadRecording."""
    try:
        return _decode(path.read_bytes())
    except (msgspec.MsgspecError, OSError) as error:
        raise BadRecording(
            path, 0, f"is no receipt of an import ({error})", "remove it and import again"
        ) from None
