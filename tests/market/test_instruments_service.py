"""Instrument rules from a REST server of our own, through pybit, into the ORM and back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from market.adapters.bybit_rest import fetch_instruments, instrument_of
from market.adapters.instrument_store import DjangoInstrumentStore
from market.domain.instruments import Instrument
from market.models import InstrumentRules
from market.ports import StoreUnavailable, VenueUnreachable
from market.services.instruments import InstrumentBook, NoInstruments, UnknownSymbols
from tests.market.helpers import an_instrument


def a_row(symbol: str, **changes: Any) -> dict[str, Any]:
    """A row of instruments-info as Bybit documents it."""
    return {
        "symbol": symbol, "contractType": "LinearPerpetual", "status": "Trading",
        "baseCoin": symbol[:-4], "quoteCoin": "USDT", "settleCoin": "USDT", "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000", "maxMktOrderQty": "500.000", "minOrderQty": "0.001",
            "qtyStep": "0.001", "minNotionalValue": "5",
        },
        "fundingInterval": 480,
        **changes,
    }  # fmt: skip


class PagedVenue:
    """instruments-info in pages, as Bybit serves it; `status` and `body` spoil it."""

    def __init__(self) -> None:
        self.pages: list[list[dict[str, Any]]] = []
        self.queries: list[dict[str, list[str]]] = []
        self.status = 200
        self.body: bytes | None = None

    def reply(self, path: str) -> bytes:
        url = urlsplit(path)
        assert url.path == "/v5/market/instruments-info"
        query = parse_qs(url.query)
        self.queries.append(query)
        if self.body is not None:
            return self.body
        number = int(query.get("cursor", ["0"])[0])
        cursor = str(number + 1) if number + 1 < len(self.pages) else ""
        result = {"category": "linear", "list": self.pages[number], "nextPageCursor": cursor}
        return json.dumps(
            {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}
        ).encode()


@pytest.fixture
def venue() -> Iterator[tuple[PagedVenue, str]]:
    venue = PagedVenue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = venue.reply(self.path)
            self.send_response(venue.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield venue, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_all_pages_are_read_and_only_trading_usdt_perpetuals_are_kept(venue) -> None:
    server, url = venue
    server.pages = [
        [a_row("BTCUSDT"), a_row("BTCUSDT-26DEC25", contractType="LinearFutures")],
        [a_row("BTCPERP", settleCoin="USDC"), a_row("OLDUSDT", status="Closed")],
        [a_row("ETHUSDT")],
    ]

    instruments = fetch_instruments(url)

    assert [i.symbol for i in instruments] == ["BTCUSDT", "ETHUSDT"]
    assert [q.get("cursor") for q in server.queries] == [None, ["1"], ["2"]]
    assert all(q["category"] == ["linear"] and q["limit"] == ["1000"] for q in server.queries)


def test_the_rules_are_what_the_venue_says() -> None:
    rules = instrument_of(a_row("BTCUSDT"))

    assert rules == an_instrument("BTCUSDT")
    assert str(rules.tick_size) == "0.1"
    assert rules.format_price(867234) == "86723.40"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"access too frequent"),
        (200, b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1}'),
        (200, b'{"retCode":0,"retMsg":"OK","result":{"list":[{}]},"time":1}'),
        (200, b'{"retCode":0,"retMsg":"OK","result":{"list":null},"time":1}'),
        (
            200,
            json.dumps(
                {
                    "retCode": 0,
                    "result": {
                        "list": [a_row("X", priceFilter={"tickSize": "NaN", "minPrice": "1"})]
                    },
                }
            ).encode(),
        ),
    ],
)
def test_an_unusable_answer_is_one_kind_of_error(venue, status: int, body: bytes) -> None:
    server, url = venue
    server.status, server.body = status, body
    if b'"list":[{}]' in body:
        assert fetch_instruments(url) == []
        return

    with pytest.raises(VenueUnreachable, match=url):
        fetch_instruments(url)


def test_a_venue_that_is_away_is_said_so() -> None:
    with pytest.raises(VenueUnreachable, match=r"127\.0\.0\.1:9"):
        fetch_instruments("http://127.0.0.1:9")


@pytest.mark.shared_data
def test_the_real_list_of_all_linear_contracts_is_understood(shared: Path) -> None:
    import gzip

    path = shared / "data/bybit_v5_raw/bybit_instruments_info_linear_20260809.json.gz"
    document = json.loads(gzip.decompress(path.read_bytes()))
    rows = document.get("result", document)["list"]
    wanted = [
        r for r in rows if r["contractType"] == "LinearPerpetual" and r["settleCoin"] == "USDT"
    ]

    rules = [instrument_of(row) for row in wanted]

    assert len(rules) > 500
    for row, rule in zip(wanted, rules, strict=True):
        assert rule.tick_size == Decimal(row["priceFilter"]["tickSize"])
        assert rule.price_to_ticks(rule.min_price) >= 1
        assert rule.qty_to_lots(rule.min_qty) >= 1


# --- the ORM


@pytest.mark.django_db(transaction=True)
def test_rules_survive_the_database_exactly_and_by_environment() -> None:
    rules = [
        an_instrument("BTCUSDT", max_price=Decimal("1234567890123456.789012345678")),
        an_instrument("PEPEUSDT", tick_size=Decimal("0.0000000001"), qty_step=Decimal(100)),
    ]

    assert DjangoInstrumentStore("MAINNET").save(rules) == 2
    assert DjangoInstrumentStore("MAINNET").save(rules) == 0

    assert DjangoInstrumentStore("MAINNET").load() == rules
    assert DjangoInstrumentStore("TESTNET").load() == []


@pytest.mark.django_db(transaction=True)
def test_a_changed_rule_is_stored_with_its_time_of_change() -> None:
    store = DjangoInstrumentStore("LOCAL")
    store.save([an_instrument("BTCUSDT"), an_instrument("ETHUSDT")])
    before = {row.symbol: row for row in InstrumentRules.objects.all()}

    assert store.save([an_instrument("BTCUSDT", max_qty=Decimal(7)), an_instrument("ETHUSDT")]) == 1

    after = {row.symbol: row for row in InstrumentRules.objects.all()}
    assert after["BTCUSDT"].max_qty == "7"
    assert after["BTCUSDT"].changed_at > before["BTCUSDT"].changed_at
    assert after["ETHUSDT"].changed_at == before["ETHUSDT"].changed_at
    assert after["ETHUSDT"].updated_at > before["ETHUSDT"].updated_at


@pytest.mark.django_db(transaction=True)
def test_the_admin_lists_instruments_and_lets_nobody_change_them(client: Client) -> None:
    DjangoInstrumentStore("LOCAL").save([an_instrument("BTCUSDT"), an_instrument("ETHUSDT")])
    client.force_login(User.objects.create_superuser("root", password="x"))

    page = client.get("/admin/market/instrumentrules/?q=ETH").content.decode()
    row = InstrumentRules.objects.get(symbol="BTCUSDT")

    assert "ETHUSDT" in page
    assert "BTCUSDT" not in page
    assert client.get(f"/admin/market/instrumentrules/{row.pk}/change/").status_code == 200
    assert client.post(f"/admin/market/instrumentrules/{row.pk}/change/", {}).status_code == 403
    assert client.get("/admin/market/instrumentrules/add/").status_code == 403


# --- the service, with a store and a venue that fail on command


class MemoryStore:
    def __init__(self, stored: list[Instrument] | None = None, *, is_down: bool = False) -> None:
        self.stored = stored or []
        self.is_down = is_down

    def load(self) -> list[Instrument]:
        if self.is_down:
            raise StoreUnavailable("database is locked")
        return self.stored

    def save(self, instruments) -> int:
        if self.is_down:
            raise StoreUnavailable("database is locked")
        self.stored = list(instruments)
        return len(self.stored)


def _away() -> list[Instrument]:
    raise VenueUnreachable("no route")


async def test_a_venue_out_of_reach_at_start_leaves_the_last_rules_with_a_warning(caplog) -> None:
    book = InstrumentBook(_away, MemoryStore([an_instrument()]), venue="MAINNET")

    await book.load()

    assert [i.symbol for i in book.all()] == ["BTCUSDT"]
    assert "instruments_from_last_run" in caplog.messages


async def test_without_any_rules_the_service_says_what_to_do() -> None:
    book = InstrumentBook(_away, MemoryStore(), venue="LOCAL at http://x")

    with pytest.raises(NoInstruments, match=r"LOCAL at http://x is out of reach \(no route\)"):
        await book.load()


async def test_a_database_that_is_down_does_not_stop_the_feed(caplog) -> None:
    book = InstrumentBook(lambda: [an_instrument()], MemoryStore(is_down=True), venue="MAINNET")

    await book.load()

    assert book.choose(["BTCUSDT"]) == [an_instrument()]
    assert "instruments_not_stored" in caplog.messages


async def test_an_exchange_that_is_still_starting_is_waited_for() -> None:
    calls: list[int] = []

    def starting() -> list[Instrument]:
        calls.append(1)
        if len(calls) < 3:
            raise VenueUnreachable("refused")
        return [an_instrument()]

    book = InstrumentBook(starting, MemoryStore(), venue="LOCAL")
    await book.load(patience_s=30)

    assert len(calls) == 3


async def test_unknown_symbols_are_all_named_in_one_line() -> None:
    book = InstrumentBook(lambda: [an_instrument()], MemoryStore(), venue="MAINNET")
    await book.load()

    with pytest.raises(UnknownSymbols, match="unknown symbol NOPEUSDT, btcusdt: MAINNET"):
        book.choose(["BTCUSDT", "NOPEUSDT", "btcusdt"])


async def test_a_refresh_names_what_changed_and_keeps_the_old_rules_when_it_fails() -> None:
    answers: list[list[Instrument] | None] = [
        [an_instrument(), an_instrument("ETHUSDT"), an_instrument("OLDUSDT")],
        None,
        [],
        [an_instrument(max_qty=Decimal(1)), an_instrument("ETHUSDT")],
    ]

    def fetch() -> list[Instrument]:
        answer = answers.pop(0)
        return _away() if answer is None else answer

    book = InstrumentBook(fetch, MemoryStore(), venue="MAINNET")
    await book.load()

    assert await book.refresh() == []
    assert await book.refresh() == []
    assert len(book.all()) == 3
    assert await book.refresh() == ["BTCUSDT", "OLDUSDT"]
