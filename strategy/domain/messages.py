"""What the strategy says and hears: order requests, state events, and the news execution sends it.

Inside, prices are whole ticks, quantities whole lots, times integer nanoseconds. The owner's record
shapes (StateEvent, TradePlan in JSON, ...) are produced from these at the edges, through `Instrument`.
Execution speaks these execution events: news travels upward in the vocabulary of the lower app.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Side(StrEnum):
    LONG = "LONG"
    SHORT = "SHORT"

    sign: int

    def __init__(self, value: str) -> None:
        """Kept with the member: looked up at every step of a trade."""
        self.sign = 1 if value == "LONG" else -1


class EventType(StrEnum):
    """Everything that can move a symbol's state machine (pipeline §4)."""

    SCORING_UPDATE = "SCORING_UPDATE"
    REGIME_UPDATE = "REGIME_UPDATE"
    RISK_UPDATE = "RISK_UPDATE"
    ORDER_REQUEST = "ORDER_REQUEST"
    EXECUTION_ORDER_PLACED = "EXECUTION_ORDER_PLACED"
    EXECUTION_ORDER_PARTIALLY_FILLED = "EXECUTION_ORDER_PARTIALLY_FILLED"
    EXECUTION_ORDER_FILLED = "EXECUTION_ORDER_FILLED"
    EXECUTION_ORDER_REJECTED = "EXECUTION_ORDER_REJECTED"
    EXECUTION_ORDER_CANCELED = "EXECUTION_ORDER_CANCELED"
    EXECUTION_POSITION_OPENED = "EXECUTION_POSITION_OPENED"
    EXECUTION_POSITION_CLOSED = "EXECUTION_POSITION_CLOSED"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    SAFE_MODE_ON = "SAFE_MODE_ON"
    SAFE_MODE_OFF = "SAFE_MODE_OFF"
    PANIC_CLOSE_TRIGGERED = "PANIC_CLOSE_TRIGGERED"
    POSITION_RESYNC = "POSITION_RESYNC"
    POSITION_CLOSED_BY_EXCHANGE = "POSITION_CLOSED_BY_EXCHANGE"
    TIMER = "TIMER"


class SymbolState(StrEnum):
    FLAT = "FLAT"
    WATCH = "WATCH"
    ARM = "ARM"
    ENTRY_PENDING = "ENTRY_PENDING"
    IN_POSITION = "IN_POSITION"
    EXIT_PENDING = "EXIT_PENDING"
    COOLDOWN = "COOLDOWN"
    ERROR = "ERROR"


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", rename="camel"):
    """Base of all bus messages: immutable, tagged with its class name."""


class TakeProfitLevel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`distance_bps` from the average entry makes it follow that; None: the price stands."""

    price_ticks: int
    qty_lots: int
    distance_bps: float | None = None


class DcaLevel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    price_ticks: int
    qty_lots: int


class Trailing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    activate_bps: float
    distance_bps: float


class EntryPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How to get in. `type` LIMIT or MARKET; a LIMIT is `PostOnly` unless said otherwise."""

    type: str
    price_ticks: int | None
    time_in_force: str
    timeout_ms: int
    max_reprices: int
    max_chase_bps: float | None = None  # farthest a re-pricing moves from `price_ticks`


class StopPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """With `distance_bps` the stop lies so far behind the average entry until it first tightens."""

    price_ticks: int
    trigger_by: str = "MarkPrice"
    distance_bps: float | None = None


class TradePlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One trade from entry to exit (pipeline §6), complete: execution needs nothing else to manage it."""

    plan_id: str
    profile: str
    symbol: str
    side: Side
    qty_lots: int
    leverage: float
    entry: EntryPlan
    stop: StopPlan
    take_profits: tuple[TakeProfitLevel, ...]
    dca_levels: tuple[DcaLevel, ...] = ()
    trailing: Trailing | None = None
    break_even_after_tp: int | None = 1  # number of the TP whose fill moves the stop to break-even
    time_stop_s: int | None = None
    required_hit_rate: float | None = None
    client_tag: str = ""


class OrderRequest(_Message, frozen=True, kw_only=True):
    """OPEN a plan, CLOSE a position, or CANCEL_ENTRY that has not filled. Idempotent by `request_id`.

    `request_id` is derived from (run, symbol, frame or event that caused it), so the same decision made
    twice is one request. After `valid_until_ns` (core time) an OPEN is dead and is answered with
    EXECUTION_ORDER_REJECTED; CLOSE and CANCEL_ENTRY never expire.
    """

    request_id: str
    symbol: str
    action: str  # OPEN | CLOSE | CANCEL_ENTRY
    side: Side
    decision_ts_ns: int
    valid_until_ns: int
    source: str = "STATE_MACHINE"
    reason: str = ""
    plan: TradePlan | None = None
    frame_seq: int = 0
    config_version: str = ""
    regime: str = "NORMAL"  # of the symbol, and of the market, when it was decided
    global_regime: str = "GLOBAL_NORMAL"


class RepriceHint(_Message, frozen=True, kw_only=True):
    """The signal still holds / has faded for a pending entry: execution may re-price or must drop it."""

    request_id: str
    symbol: str
    ts_ns: int
    signal_holds: bool


class StateEvent(_Message, frozen=True, kw_only=True):
    """One transition of a symbol's state machine (phase 12 §3.1); `extra` holds scores and figures."""

    ts_ns: int
    symbol: str
    from_state: SymbolState
    to_state: SymbolState
    event_type: EventType
    reason: str
    extra: dict[str, float | int | str | bool | None] = {}
    config_version: str = ""


class ScoreUpdate(_Message, frozen=True, kw_only=True):
    """The latest score of a symbol with its reasons, for the dashboard and the journal.

    A score is 100 * sigmoid(sum of its contributions - sum of `penalties`): `contributions` are of the
    pressure (w_i z_i), `contributions_long` and `_short` are gain times that, each with its side's sign.
    """

    ts_ns: int
    symbol: str
    state: SymbolState
    final_score_long: float
    final_score_short: float
    signal_long: bool
    signal_short: bool
    expected_move_bps: float
    cost_bps: float
    contributions: dict[str, float]
    blocked_reasons: tuple[str, ...]
    regime: str = ""  # of the symbol, with why; empty = not said
    regime_reason: str = ""
    contributions_long: dict[str, float] = {}
    contributions_short: dict[str, float] = {}
    penalties: dict[str, float] = {}  # toxicity, spread, regimeProximity
    regime_figures: dict[str, float] = {}  # what the regime was judged by
    regime_proximity: float = 0.0  # 0 far from any regime .. 1 at the threshold of the nearest
    global_regime: str = ""
    global_regime_reason: str = ""
    needed_move_bps: float = 0.0  # what the expected move must reach
    cost_parts: dict[str, float] = {}  # fees, spread, slippage, adverseMarkout: bps, sum = cost_bps
    scorer: str = ""
    config_version: str = ""
    armed_frames: int = 0  # boundary frames in a row on which the entry score was reached


class RiskFlags(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    risk_allow_new_positions: bool = True
    risk_allow_new_long: bool = True
    risk_allow_new_short: bool = True
    risk_force_close_all: bool = False


class RiskSnapshot(_Message, frozen=True, kw_only=True):
    """Pipeline §5. Money in USDT, percentages in percent."""

    ts_ns: int
    equity: float
    available: float
    daily_pnl: float
    drawdown_pct: float
    heat_pct: float
    open_positions: int
    flags: RiskFlags
    reasons: tuple[str, ...]


class ExecutionEvent(_Message, frozen=True, kw_only=True):
    """One thing that happened to an order or a position (phase 10 §8.2), told to the strategy.

    `type` is one of the EXECUTION_*, PANIC_*, POSITION_* and SAFE_MODE_* event types. Prices are ticks (an
    average is a float number of ticks), quantities lots; `position_lots` is the signed position after it.
    """

    type: EventType
    symbol: str
    ts_ns: int
    request_id: str = ""
    plan_id: str = ""
    client_order_id: str = ""
    leg: str = ""  # ENTRY, STOP, TP1..TPn, DCA1..DCAn, CLOSE
    side: str = ""  # BUY | SELL
    qty_lots: int = 0
    price_ticks: int | None = None
    filled_lots: int = 0
    avg_fill_price_ticks: float | None = None
    status: str = ""
    position_lots: int = 0
    realized_pnl: float | None = None  # of a closed position, USDT, net of fees
    reason: str = ""


class PositionView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A position as execution knows it. `open_risk` = loss in USDT if the stop is hit now, fees included."""

    symbol: str
    side: Side
    qty_lots: int
    avg_entry_ticks: float
    plan_id: str
    request_id: str
    stop_ticks: int | None
    open_risk: float
    unrealized_pnl: float
    opened_ts_ns: int
    mfe_bps: float = 0.0
    mae_bps: float = 0.0


class QualityView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How well our orders of one symbol are carried out, over a rolling window (pipeline §8).

    Costs are positive: slippage of what we took beyond the arrival touch, and the loss to mid after our
    own maker entries (never below 0, 0 until measured). Markouts are signed, positive in our favour.
    `blocked`: no new entry, `reason` says why; `probation`: `entries_left` smaller entries may try again.
    """

    score: float = 100.0
    blocked: bool = False
    reason: str = ""
    probation: bool = False
    adverse_markout_bps: float = 0.0
    slippage_bps: float = 0.0
    fill_ratio: float | None = None
    reject_rate: float = 0.0
    orders: int = 0  # of the window that were judged
    mid_slippage_bps: float | None = None  # against the mid at the decision
    time_to_fill_ms: float | None = None  # median
    markout_1s_bps: float | None = None
    markout_5s_bps: float | None = None
    markout_30s_bps: float | None = None
    blocked_since_ns: int = 0
    probation_at_ns: int = 0  # when a blocked symbol may try again
    entries_left: int = 0
    penalties: dict[str, float] = {}  # part of the score each figure takes, 0..1


class ExposureView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a symbol's position and live orders come to at their worst, USDT (see `risk.Exposure`)."""

    symbol: str
    side: Side
    notional: float
    risk: float
    margin: float


class ExecutionSnapshot(_Message, frozen=True, kw_only=True):
    """All that execution holds, sent once a second and at start.

    A starting strategy adopts it before it may ask for anything; a running one compares. A request that
    the strategy wrote at or before `requests_stream_id` and that is neither pending nor a position here
    is over; one written after it may still be on its way.
    """

    ts_ns: int
    execution_run: str
    requests_stream_id: str
    equity: float
    available: float
    realized_pnl_today: float
    equity_peak: float
    positions: tuple[PositionView, ...]
    pending_entries: dict[str, str]  # symbol -> request id of a live entry
    safe_mode_reasons: tuple[str, ...]
    trading_enabled: bool
    losses_in_row: int = 0
    trades_this_hour: int = 0
    paused_until_ns: int = 0  # end of a loss-streak pause
    day_open_equity: float | None = None  # equity at the last UTC midnight
    exposures: tuple[ExposureView, ...] = ()
    quality: dict[str, QualityView] = {}  # symbols whose orders were judged


StrategyInput = ExecutionEvent | ExecutionSnapshot
StrategyOutput = OrderRequest | RepriceHint | StateEvent | ScoreUpdate | RiskSnapshot
