"""The way from the exchange's event to the exchange's answer, stage by stage, and when it is too slow.

Each service measures the stages it can see and says so in its heartbeat (`failover.domain.latency`).
"""

from __future__ import annotations

from collections.abc import Mapping

from execution.domain.quality_config import LatencyConfig

EXCHANGE_TO_RECEIVE = "exchangeToReceive"  # market: venue's time to ours, clock offset taken out
RECEIVE_TO_FRAME = "receiveToFrame"  # market: core time of a frame to its publication
FRAME_TO_DECISION = (
    "frameToDecision"  # strategy: publication of frames to the end of their judgement
)
DECISION_TO_JOURNALLED = "decisionToJournalled"  # execution: request on the bus to intent on disk
JOURNALLED_TO_SENT = "journalledToSent"  # execution: intent on disk to commands handed to the venue
SENT_TO_ACK = "sentToAck"  # execution: to the venue's first word
ACK_TO_FILL = (
    "ackToFill"  # execution: entries and closes, to their first fill; a resting order waits
)
EVENT_TO_BROWSER = "eventToBrowser"  # dashboard: core time of a frame to its arrival in a browser

STAGES = (
    EXCHANGE_TO_RECEIVE, RECEIVE_TO_FRAME, FRAME_TO_DECISION, DECISION_TO_JOURNALLED,
    JOURNALLED_TO_SENT, SENT_TO_ACK, ACK_TO_FILL, EVENT_TO_BROWSER,
)  # fmt: skip
MEASURED_BY_EXECUTION = (DECISION_TO_JOURNALLED, JOURNALLED_TO_SENT, SENT_TO_ACK, ACK_TO_FILL)
# Waiting in a queue is no delay, and a slow browser endangers no trade.
JUDGED_STAGES = tuple(stage for stage in STAGES if stage not in (ACK_TO_FILL, EVENT_TO_BROWSER))
REASON = "LATENCY_TOO_HIGH"


class LatencyJudge:
    """Counts windows; `text` is why entries have to stop, empty while they need not.

    A stage without a measurement in a window says nothing against it: silence is judged elsewhere.
    """

    def __init__(self) -> None:
        self.text = ""
        self._slow_in_row = 0
        self._calm_in_row = 0

    def on_window(self, p90_ms: Mapping[str, float | None], config: LatencyConfig) -> None:
        """Take the p90 of each stage over one window of 10 s."""
        slow = {
            stage: value
            for stage in JUDGED_STAGES
            if (value := p90_ms.get(stage)) is not None and value > config.latency_max_ms
        }
        self._slow_in_row = self._slow_in_row + 1 if slow else 0
        self._calm_in_row = 0 if slow else self._calm_in_row + 1
        if self._slow_in_row >= config.latency_windows:
            worst = max(slow, key=slow.__getitem__)
            self.text = (
                f"{worst} took {slow[worst]:.0f} ms (p90), above {config.latency_max_ms:g} ms "
                f"for {self._slow_in_row} windows of 10 s"
            )
        elif self._calm_in_row >= config.latency_windows:
            self.text = ""
