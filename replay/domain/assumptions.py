"""What no run of this system models: the part of reality a backtest cannot show."""

from __future__ import annotations

NOT_MODELLED = (
    "Our orders move nobody: the recorded market goes on as if we had not been there.",
    "Size taken from a level is gone until that level changes; no one refills, follows or fades us.",
    "The queue is an assumption: how many waited before us, and who cancelled, is not in the data.",
    "Order latency is as stated, jitter drawn evenly; real latency has a tail, worst when it matters.",
    "No outages, rate limits, rejected or lost requests of the venue, no maintenance windows.",
    "Funding is paid only where the recording carries its rate and a mark price.",
    "Recordings of another venue (Binance) stand in for Bybit: its flow, its tick sizes, its queues.",
    "Each recording starts with a fresh account and its own warm-up.",
    "Limits of the account (positions, heat, daily loss) act within one recording only.",
    "One stretch of market says nothing about another: trend, volatility and fees change.",
)
