"""The entry block of one symbol: open, blocked, on trial.

open -> blocked when the score falls below `quality_block`; after `block_s` -> on trial: a few smaller
entries. When their trades are over the trial alone is judged: open again with the trial as new record,
or blocked again. A trial that filled nothing has shown nothing and may try again.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from execution.domain.quality_config import QualityConfig
from execution.domain.quality_figures import (
    OrderFigures,
    QualityFigures,
    in_words,
    penalties,
    score,
)
from strategy.domain.messages import QualityView

_NS_PER_S = 1_000_000_000


class BlockState(StrEnum):
    OPEN = "OPEN"
    BLOCKED = "BLOCKED"
    TRIAL = "TRIAL"


class TrialPlan(msgspec.Struct, kw_only=True):
    """A trade that a trial allowed."""

    has_shown: bool = False  # it filled, or the venue refused it
    is_over: bool = False


class SymbolQuality(msgspec.Struct, kw_only=True):
    """Figures and block of one symbol; survives a restart as part of execution's state."""

    figures: QualityFigures = msgspec.field(default_factory=QualityFigures)
    state: BlockState = BlockState.OPEN
    since_ns: int = 0  # of the block
    until_ns: int = 0  # a trial may begin
    reason: str = ""
    trial: QualityFigures = msgspec.field(default_factory=QualityFigures)
    trial_plans: dict[str, TrialPlan] = {}  # plan id -> what it has shown
    trial_entries_left: int = 0

    def admits(self, now_ns: int) -> bool:
        """Whether an entry may be placed now."""
        if self.state is BlockState.TRIAL:
            return self.trial_entries_left > 0
        return self.state is BlockState.OPEN or now_ns >= self.until_ns

    def is_blocked(self, now_ns: int) -> bool:
        return self.state is BlockState.BLOCKED and now_ns < self.until_ns

    def is_on_trial(self, now_ns: int) -> bool:
        return self.state is BlockState.TRIAL or (
            self.state is BlockState.BLOCKED and now_ns >= self.until_ns
        )

    def on_entry(self, plan_id: str, now_ns: int, config: QualityConfig) -> None:
        """An entry was accepted; on trial it uses up one of those allowed."""
        if self.state is BlockState.BLOCKED and now_ns >= self.until_ns:
            self.state, self.trial = BlockState.TRIAL, QualityFigures()
            self.trial_plans, self.trial_entries_left = {}, config.probation_entries
        if self.state is BlockState.TRIAL:
            self.trial_entries_left -= 1
            self.trial_plans[plan_id] = TrialPlan()

    def on_order(
        self, plan_id: str, order: OrderFigures, filled: bool, now_ns: int, config: QualityConfig
    ) -> None:
        """Take a finished order; may block an open symbol."""
        self.figures.add(order, now_ns, config)
        if (plan := self.trial_plans.get(plan_id)) is not None:
            self.trial.add(order, now_ns, config)
            plan.has_shown |= filled or order.was_rejected
        self.judge(now_ns, config)

    def judge(self, now_ns: int, config: QualityConfig) -> None:
        """Block an open symbol whose score is too low; also when other thresholds begin to hold."""
        if self.state is not BlockState.OPEN or config.quality_block <= 0:
            return  # no score is below 0
        parts = penalties(self.figures, config, config.min_orders, now_ns)
        if (points := score(parts)) < config.quality_block:
            self._block(f"score {points:.0f} is below {config.quality_block:g}: "
                        f"{in_words(self.figures, parts)}", now_ns, config)  # fmt: skip

    def on_trade_over(self, plan_id: str) -> None:
        """The trade is flat; its last markouts may still be missing."""
        if (plan := self.trial_plans.get(plan_id)) is not None:
            plan.is_over = True

    def on_records_complete(self, plan_id: str, now_ns: int, config: QualityConfig) -> None:
        """No order of the plan is followed any more; judges the trial once all its trades are over."""
        plan = self.trial_plans.get(plan_id)
        if plan is None or not plan.is_over or self.state is not BlockState.TRIAL:
            return
        del self.trial_plans[plan_id]
        if not plan.has_shown:
            self.trial_entries_left += 1
        elif not self.trial_plans and self.trial_entries_left <= 0:
            self._judge_trial(now_ns, config)

    def _judge_trial(self, now_ns: int, config: QualityConfig) -> None:
        parts = penalties(self.trial, config, 1, now_ns)
        if (points := score(parts)) >= config.quality_recover:
            self.figures, self.trial = self.trial, QualityFigures()
            self.state, self.reason, self.since_ns, self.until_ns = BlockState.OPEN, "", 0, 0
            return
        self._block(f"the trial reached {points:.0f} of {config.quality_recover:g}: "
                    f"{in_words(self.trial, parts)}", now_ns, config)  # fmt: skip

    def _block(self, reason: str, now_ns: int, config: QualityConfig) -> None:
        self.since_ns = self.since_ns or now_ns
        self.state, self.until_ns = BlockState.BLOCKED, now_ns + config.block_s * _NS_PER_S
        self.reason = reason

    def next_change_ns(self, after_ns: int) -> int | None:
        """The first instant after `after_ns` at which `view` changes without any news; None = none."""
        instants = [self.figures.next_fade_ns(after_ns)]
        if self.state is BlockState.BLOCKED and self.until_ns > after_ns:
            instants.append(self.until_ns)
        return min([instant for instant in instants if instant is not None], default=None)

    def decided_by(self, now_ns: int, config: QualityConfig) -> tuple[float, float, bool]:
        """What entries are decided by, as `view` says it: (slippage, adverse markout, blocked)."""
        figures = self.figures
        adverse_bps = figures.adverse_bps(config.min_orders, now_ns, config)
        return figures.touch_slippage.value or 0.0, adverse_bps, not self.admits(now_ns)

    def view(self, now_ns: int, config: QualityConfig) -> QualityView:
        """What the strategy and the screen are told."""
        figures = self.figures
        parts = penalties(figures, config, config.min_orders, now_ns)
        is_on_trial, admits = self.is_on_trial(now_ns), self.admits(now_ns)
        left = (
            self.trial_entries_left if self.state is BlockState.TRIAL else config.probation_entries
        )
        return QualityView(
            score=score(parts),
            blocked=not admits,
            reason=self._shown_reason(is_on_trial, admits),
            probation=is_on_trial,
            adverse_markout_bps=figures.adverse_bps(config.min_orders, now_ns, config),
            slippage_bps=figures.touch_slippage.value or 0.0,
            fill_ratio=figures.fill_ratio.value,
            reject_rate=figures.rejects.value or 0.0,
            orders=figures.rejects.count,
            mid_slippage_bps=figures.mid_slippage.value,
            time_to_fill_ms=figures.time_to_fill_ms.value,
            markout_1s_bps=figures.markout(1),
            markout_5s_bps=figures.markout(5),
            markout_30s_bps=figures.markout(30),
            blocked_since_ns=self.since_ns,
            probation_at_ns=self.until_ns if self.state is BlockState.BLOCKED else 0,
            entries_left=left if is_on_trial else 0,
            penalties=parts,
        )

    def _shown_reason(self, is_on_trial: bool, admits: bool) -> str:
        if not is_on_trial:
            return self.reason
        if admits:
            return f"on trial after a block ({self.reason})"
        return f"the trial entry is being judged ({self.reason})"
