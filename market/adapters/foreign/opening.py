"""One or several recorded files as one stream of chunks through the market hub.

Foreign recordings become raw payloads and enter the same `MarketHub` as the live socket's: it numbers
them, makes core time monotone and turns numbers into ticks and lots. Our own recordings already are
what the hub once wrote, so their chunks come straight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from market.adapters.foreign.detection import FAMILIES, Detected, RecordingFormat, detect
from market.adapters.foreign.known_instruments import read_instruments
from market.adapters.foreign.openers import OPENERS, HubChunks, Opening
from market.domain.events import EventChunk
from market.domain.priming import between
from market.domain.recordings import BadRecording, MarketData, count_kinds

CHUNK_MESSAGES = 4096


def open_recorded_files(
    paths: Sequence[Path | str],
    *,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    instruments_file: Path | None = None,
    chunk_messages: int = CHUNK_MESSAGES,
    as_linear: bool = False,
    expected: RecordingFormat | None = None,
    hub_chunks: HubChunks,
) -> MarketData:
    """Open recordings of one market; `MarketData.chunks` then streams them in order of core time.

    Args:
        paths: files that follow each other, or files of several symbols or kinds of the same time (merged by
            receive time); or one folder of our own recording.
        symbols: only these; all when None.
        from_ns, to_ns: core times, `to_ns` exclusive. Books known before `from_ns` are stated at it.
        chunk_messages: messages per chunk at most (foreign formats).
        as_linear: take spot, inverse and quanto markets for USDT linear perpetuals, which is noted.
        expected: refuse what is of another format.
        hub_chunks: what turns records into the hub's chunks.
    Raises: BadRecording, at once or while chunks are consumed.
    """
    _refuse_repeats(paths)
    found = [detect(_existing(Path(path))) for path in paths]
    _refuse_strangers(found, expected)
    # Files that follow each other may be named in any order; what says no time stays where it is.
    found.sort(key=lambda one: one.first_ns)
    override = read_instruments(_existing(instruments_file)) if instruments_file else None
    opening = Opening(
        found=found,
        wanted=symbols,
        override=override,
        span=(from_ns, to_ns),
        as_linear=as_linear,
        chunk_messages=chunk_messages,
        hub_chunks=hub_chunks,
    )
    data = OPENERS[found[0].format](opening)
    chunks = between(data.chunks, len(data.instruments), from_ns, to_ns)
    data.chunks = _counted(chunks, data)
    return data


def _refuse_repeats(paths: Sequence[Path | str]) -> None:
    """The same events twice would look like a valid market of doubled flow."""
    seen: set[Path] = set()
    for path in paths:
        resolved = Path(path).resolve()
        if resolved in seen:
            raise BadRecording(Path(path), 0, "named twice", "name each recording once")
        seen.add(resolved)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BadRecording(path, 0, "no such file or folder", "check the path")
    return path


def _refuse_strangers(found: Sequence[Detected], expected: RecordingFormat | None) -> None:
    for one in found:
        if expected is not None and one.format is not expected:
            raise BadRecording(one.path, 0, f"is a {one.format}", f"not a {expected}")
    formats = {one.format for one in found}
    if len(formats) == 1 or any(formats <= family for family in FAMILIES):
        return
    names = ", ".join(sorted(formats)) or "no path"
    raise BadRecording(
        ", ".join(str(one.path) for one in found), 0, f"{len(formats)} formats ({names})",
        "take them one by one",
    )  # fmt: skip


def _counted(chunks: Iterator[EventChunk], data: MarketData) -> Iterator[EventChunk]:
    for chunk in chunks:
        count_kinds(data.message_counts, chunk)
        yield chunk
    if not data.message_counts:
        raise BadRecording(
            ", ".join(data.paths), 0, "no usable message in the chosen symbols and times",
            "; ".join(data.faults.examples[:3]) or "choose others",
        )  # fmt: skip
