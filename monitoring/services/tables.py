"""Tables of rows from the database: sorting, paging, CSV.

What is hostile or wrong in a query falls back to a default.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import QueryDict

from monitoring.domain.times import iso_of_ms

PAGE_SIZE = 50
CSV_MAX_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`kind`: text, chip, time, price, qty, money, fee, seconds, symbol, order or trade (see cell.html)."""

    name: str  # attribute and database field
    label: str
    kind: str = "text"
    is_sortable: bool = True

    @property
    def is_number(self) -> bool:
        return self.kind in ("price", "qty", "money", "fee", "seconds")


@dataclass(slots=True, kw_only=True)
class Table:
    """One page of rows, with what its header and pager need."""

    columns: tuple[Column, ...]
    page: Page[Any]
    sort: str  # a column's name, "-" before it for descending
    query: QueryDict = field(default_factory=QueryDict)

    def headers(self) -> Iterator[dict[str, Any]]:
        for column in self.columns:
            is_up, is_down = self.sort == column.name, self.sort == f"-{column.name}"
            yield {
                "column": column,
                "arrow": "▲" if is_up else "▼" if is_down else "",
                "aria": "ascending" if is_up else "descending" if is_down else "none",
                "url": self._url(sort=column.name if is_down else f"-{column.name}", page=None),
            }

    def rows(self) -> Iterator[tuple[Any, list[tuple[Column, Any]]]]:
        for row in self.page.object_list:
            yield row, [(column, getattr(row, column.name)) for column in self.columns]

    def next_url(self) -> str | None:
        return self._url(page=self.page.next_page_number()) if self.page.has_next() else None

    def previous_url(self) -> str | None:
        if not self.page.has_previous():
            return None
        return self._url(page=self.page.previous_page_number())

    def csv_url(self) -> str:
        return self._url(format="csv", page=None)

    def _url(self, **changes: Any) -> str:
        query = self.query.copy()
        for name, value in changes.items():
            query.pop(name, None)
            if value is not None:
                query[name] = str(value)
        return f"?{query.urlencode()}"


def sort_of(query: QueryDict, columns: Iterable[Column], default: str) -> str:
    """The asked-for order when it names a sortable column, else `default`."""
    asked = query.get("sort", "")
    names = {column.name for column in columns if column.is_sortable}
    return asked if asked.removeprefix("-") in names else default


def make_table(
    found: QuerySet[Model], query: QueryDict, columns: tuple[Column, ...], *, default_sort: str
) -> Table:
    sort = sort_of(query, columns, default_sort)
    ordered = found.order_by(sort, "-pk")  # a tie has an order too, or pages would overlap
    page = Paginator(ordered, PAGE_SIZE).get_page(query.get("page"))
    return Table(columns=columns, page=page, sort=sort, query=query)


class _Echo:
    """A file for csv.writer that hands back each line."""

    def write(self, line: str) -> str:
        return line


def csv_lines(rows: Iterable[Any], columns: Iterable[Column]) -> Iterator[str]:
    """Header and rows; text that a spreadsheet would run as a formula is quoted with an apostrophe."""
    writer = csv.writer(_Echo())
    columns = tuple(columns)
    yield writer.writerow([column.name for column in columns])
    for row in rows:
        yield writer.writerow([_csv_value(getattr(row, column.name)) for column in columns])


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if hasattr(value, "timestamp"):
        return iso_of_ms(round(value.timestamp() * 1000))
    text = str(value)
    is_formula = isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{text}" if is_formula else text
