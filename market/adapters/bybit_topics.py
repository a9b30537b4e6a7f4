"""The topics of the public feed: which there are, when one is silent too long, when to ask again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from market.adapters.bybit_book_sequence import BookSequence

MAX_CONNECTION_CHARS = 21_000  # of all topics of one connection
MAX_REQUEST_TOPICS = 10

_RESUBSCRIBE_MAX_S = 300.0
_RESUBSCRIBE_FORGET_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTimings:
    """All times of the connector, seconds. `orderbook.1` repeats itself after 3 s: twice that is dead."""

    ping_every_s: float = 20.0
    silent_socket_s: float = 6.0
    silent_book_s: float = 6.0
    silent_ticker_s: float = 60.0
    silent_kline_s: float = 150.0
    reply_within_s: float = 10.0
    open_within_s: float = 10.0
    check_every_s: float = 0.25
    backoff_first_s: float = 0.5
    backoff_max_s: float = 30.0
    healthy_after_s: float = 10.0


@dataclass(slots=True, kw_only=True)
class Topic:
    """One subscription; times are of the event loop's clock, seconds."""

    name: str
    kind: str  # book, touch, trade, ticker, kline
    symbol: str
    sequence: BookSequence = field(default_factory=BookSequence)
    is_confirmed: bool = False
    refusal: str = ""
    last_message_s: float = 0.0
    last_change_s: float = 0.0  # of a touch: when its `u` last changed
    last_u: int = -1
    resubscribe_due_s: float | None = None
    _resubscribed_s: float = -1e9
    _delay_s: float = 0.0

    def start(self, now_s: float) -> None:
        """A new connection: nothing is known and nothing is owed yet."""
        self.sequence.reset()
        self.is_confirmed, self.refusal = False, ""
        self.last_message_s = self.last_change_s = now_s
        self.last_u = -1
        self.resubscribe_due_s = None

    def ask_again(self, now_s: float) -> None:
        """Wish for a fresh subscription: at once the first time, ever later while it does not help."""
        if self.resubscribe_due_s is not None or self.refusal:
            return
        since_s = now_s - self._resubscribed_s
        if since_s > self._delay_s + _RESUBSCRIBE_FORGET_S:
            self._delay_s = 0.0
        self.resubscribe_due_s = max(now_s, self._resubscribed_s + self._delay_s)
        self._delay_s = min(max(1.0, self._delay_s * 2), _RESUBSCRIBE_MAX_S)

    def asked(self, now_s: float) -> None:
        """The unsubscribe and subscribe frames have left."""
        self._resubscribed_s = self.last_message_s = now_s
        self.resubscribe_due_s = None
        self.sequence.reset()


def topics_of(symbols: Iterable[str], book_depth: int) -> list[Topic]:
    """The five topics of each symbol, side by side."""
    return [
        Topic(name=f"{prefix}.{symbol}", kind=kind, symbol=symbol)
        for symbol in symbols
        for kind, prefix in (
            ("book", f"orderbook.{book_depth}"),
            ("touch", "orderbook.1"),
            ("trade", "publicTrade"),
            ("ticker", "tickers"),
            ("kline", "kline.1"),
        )
    ]


def split_by_connection(topics: Sequence[Topic]) -> list[list[Topic]]:
    """Groups that fit a connection each; the topics of one symbol stay together."""
    groups: list[list[Topic]] = []
    chars = MAX_CONNECTION_CHARS
    by_symbol: dict[str, list[Topic]] = {}
    for topic in topics:
        by_symbol.setdefault(topic.symbol, []).append(topic)
    for of_symbol in by_symbol.values():
        size = sum(len(topic.name) for topic in of_symbol)
        if chars + size > MAX_CONNECTION_CHARS:
            groups.append([])
            chars = 0
        groups[-1].extend(of_symbol)
        chars += size
    return groups


def request_chunks(topics: Sequence[str]) -> list[list[str]]:
    return [
        list(topics[i : i + MAX_REQUEST_TOPICS]) for i in range(0, len(topics), MAX_REQUEST_TOPICS)
    ]


def silent_topics(topics: Iterable[Topic], now_s: float, timings: FeedTimings) -> list[Topic]:
    """Topics that should have spoken by now while others did. A quiet tape of trades is no fault."""
    touches: dict[str, Topic] = {}
    silent = []
    limits = {
        "touch": timings.silent_book_s,
        "ticker": timings.silent_ticker_s,
        "kline": timings.silent_kline_s,
    }
    topics = list(topics)
    for topic in topics:
        if topic.kind == "touch":
            touches[topic.symbol] = topic
    for topic in topics:
        silent_s = now_s - topic.last_message_s
        if topic.refusal or topic.resubscribe_due_s is not None:
            continue
        if topic.kind == "book":
            # A quiet book says nothing; but when the touch moved well after its last word, it should have.
            touch = touches.get(topic.symbol)
            behind_s = 0.0 if touch is None else touch.last_change_s - topic.last_message_s
            if silent_s > timings.silent_book_s and behind_s > timings.silent_book_s / 2:
                silent.append(topic)
        elif silent_s > limits.get(topic.kind, float("inf")):
            silent.append(topic)
    return silent
