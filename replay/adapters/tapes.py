"""Which of the named paths belong together: one tape is what one account trades through.

Binance captures hold one symbol a file. Files of several symbols of the same time, and files that follow
each other, are one tape; captures that begin more than a day apart are not. Every other path is a tape of
its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from market.adapters.foreign.detection import Detected, RecordingFormat, detect
from market.domain.recordings import BadRecording
from replay.adapters.session_paths import open_market_data
from replay.domain.backtest_parts import PartFailure, Tape

# Daily files follow each other within a day and a little; what is farther apart has a hole in between.
_FOLLOWS_WITHIN_NS = 25 * 3_600_000_000_000

Group = tuple[Detected, ...]


class NoSuchSymbol(ValueError):
    """None of the recordings has a wanted symbol: name one of those the text lists."""


def find_tapes(
    paths: Sequence[Path],
    *,
    wanted: Sequence[str] = (),
    instruments_file: Path | None = None,
    each_symbol_alone: bool = False,
) -> tuple[list[Tape], list[PartFailure]]:
    """The tapes behind the paths with the wanted symbols, and the paths that are none.

    A tape without any wanted symbol is left out. Raises: NoSuchSymbol.
    """
    groups, failures = _group(paths)
    tapes: list[Tape] = []
    present: set[str] = set()
    for group in groups:
        try:
            tape = _tape(group, wanted, instruments_file)
        except BadRecording as error:
            failures.append(_failure([one.path for one in group], error))
            continue
        present.update(tape.symbols)
        chosen = _only(tape, wanted)
        tapes += (chosen.alone or (chosen,)) if each_symbol_alone else (chosen,)
    _refuse_missing(wanted, present, failures)
    return _uniquely_named([tape for tape in tapes if tape.symbols]), failures


def _group(paths: Sequence[Path]) -> tuple[list[Group], list[PartFailure]]:
    groups: list[Group] = []
    failures: list[PartFailure] = []
    captures: list[Detected] = []
    for path in dict.fromkeys(path.resolve() for path in paths):
        try:
            if not path.exists():
                raise BadRecording(path, 0, "no such file or folder", "check the path")
            found = detect(path)
        except BadRecording as error:
            failures.append(_failure([path], error))
            continue
        if found.format is RecordingFormat.BINANCE_USDM:
            captures.append(found)
        else:
            groups.append((found,))
    return [*groups, *_captures_together(captures)], failures


def _captures_together(captures: Sequence[Detected]) -> list[Group]:
    groups: list[list[Detected]] = []
    for one in sorted(captures, key=lambda found: (found.first_ns, found.symbol)):
        if groups and one.first_ns - groups[-1][-1].first_ns <= _FOLLOWS_WITHIN_NS:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [tuple(group) for group in groups]


def _tape(group: Group, wanted: Sequence[str], instruments_file: Path | None) -> Tape:
    """With all its symbols; only the wanted ones need known trading rules."""
    paths = [one.path for one in group]
    if group[0].format is RecordingFormat.BINANCE_USDM:
        symbols: tuple[str, ...] = tuple(dict.fromkeys(one.symbol for one in group))
    else:
        symbols = open_market_data(paths, instruments_file=instruments_file).symbols
    known = [symbol for symbol in symbols if symbol in wanted] or list(symbols)
    open_market_data(paths, symbols=known, instruments_file=instruments_file)
    return _made(group, tuple(sorted(symbols)))


def _made(group: Group, symbols: tuple[str, ...]) -> Tape:
    alone = [(symbol, _with_symbol(group, symbol)) for symbol in symbols]
    return Tape(
        name=_name(group, symbols),
        paths=tuple(str(one.path) for one in group),
        symbols=symbols,
        size_bytes=_size(group),
        alone=tuple(
            Tape(
                name=_name(files, (symbol,)),
                paths=tuple(str(one.path) for one in files),
                symbols=(symbol,),
                size_bytes=_size(files),
            )
            for symbol, files in alone
        )
        if len(symbols) > 1
        else (),
    )


def _with_symbol(group: Group, symbol: str) -> Group:
    """Files of that symbol, where a file holds one symbol."""
    return tuple(one for one in group if not one.symbol or one.symbol == symbol)


def _only(tape: Tape, wanted: Sequence[str]) -> Tape:
    chosen = tuple(symbol for symbol in tape.symbols if symbol in wanted)
    if not wanted or chosen == tape.symbols:
        return tape
    alone = tuple(one for one in tape.alone if one.symbols[0] in chosen)
    if len(alone) == 1:
        return alone[0]
    name = tape.name.rpartition(" (")[0] + f" ({', '.join(chosen)})"
    paths = tuple(dict.fromkeys(path for one in alone for path in one.paths))
    return msgspec.structs.replace(tape, name=name, symbols=chosen, alone=alone, paths=paths)


def _name(group: Group, symbols: tuple[str, ...]) -> str:
    files = [one.path.name for one in group]
    more = f" + {len(files) - 2} more" if len(files) > 2 else ""
    return f"{' + '.join(files[:2])}{more} ({', '.join(symbols)})"


def _uniquely_named(tapes: Sequence[Tape]) -> list[Tape]:
    """Files of equal names in different folders get a number."""
    seen: Counter[str] = Counter()
    named = []
    for tape in tapes:
        seen[tape.name] += 1
        name = tape.name if seen[tape.name] == 1 else f"{tape.name} #{seen[tape.name]}"
        alone = tuple(_renamed(one, one.name + name[len(tape.name) :]) for one in tape.alone)
        named.append(msgspec.structs.replace(tape, name=name, alone=alone))
    return named


def _renamed(tape: Tape, name: str) -> Tape:
    return msgspec.structs.replace(tape, name=name)


def _refuse_missing(
    wanted: Sequence[str], present: set[str], failures: Sequence[PartFailure]
) -> None:
    missing = [symbol for symbol in wanted if symbol not in present]
    if missing and (present or not failures):
        raise NoSuchSymbol(
            f"no recording holds {', '.join(missing)}; there are {', '.join(sorted(present)) or 'none'}"
        )


def _failure(paths: Sequence[Path], error: BadRecording) -> PartFailure:
    name = " + ".join(path.name for path in paths)
    return PartFailure(name=name, paths=[str(path) for path in paths], reason=str(error))


def _size(group: Group) -> int:
    return sum(
        file.stat().st_size
        for one in group
        for file in ([one.path] if one.path.is_file() else one.path.rglob("*"))
        if file.is_file()
    )
