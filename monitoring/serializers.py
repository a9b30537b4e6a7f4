"""Bodies and queries of the API: what may come in, and what goes out for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

SYMBOL_PATTERN = r"^[A-Z0-9]{2,30}\Z"
PAGE_SIZE = 100


class _StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know: a misspelt name must not be taken for a default."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if unknown := [str(name)[:60] for name in data if name not in self.fields]:
            raise serializers.ValidationError({name: ["unknown field"] for name in unknown[:10]})
        return values


def _reason() -> serializers.CharField:
    return serializers.CharField(
        min_length=3, max_length=200, help_text="Why; kept in the audit trail."
    )


def _symbol(**kwargs: Any) -> serializers.RegexField:
    return serializers.RegexField(SYMBOL_PATTERN, help_text="For example BTCUSDT.", **kwargs)


class ReasonBody(_StrictSerializer):
    reason = _reason()


class SymbolReasonBody(_StrictSerializer):
    symbol = _symbol()
    reason = _reason()


class CancelOrdersBody(_StrictSerializer):
    symbol = _symbol()
    side = serializers.ChoiceField(choices=("LONG", "SHORT", "BOTH"))
    reason = serializers.CharField(
        min_length=3, max_length=200, default="cancel orders", help_text="Why."
    )


class SwitchBody(_StrictSerializer):
    enabled = serializers.BooleanField()
    reason = _reason()


class CommandAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    commandId = serializers.CharField()
    closingPositions = serializers.IntegerField()
    cancelledOrders = serializers.IntegerField()


class PageQuery(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    pageSize = serializers.IntegerField(min_value=1, max_value=500, default=PAGE_SIZE)


class OrdersQuery(PageQuery):
    symbol = _symbol(required=False)
    status = serializers.ChoiceField(choices=("OPEN", "ALL"), default="ALL")


class TradesQuery(PageQuery):
    symbol = _symbol(required=False)


class RetentionQuery(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    pageSize = serializers.IntegerField(min_value=1, max_value=100, default=20)


class CompareQuery(PageQuery):
    a = serializers.CharField(max_length=120, help_text="Id of a run, or live.")
    b = serializers.CharField(max_length=120, help_text="Id of a run, or live.")
    show = serializers.ChoiceField(choices=("differences", "all"), default="differences")


class ExecutionOverview(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    mode = serializers.CharField()
    safeMode = serializers.BooleanField()
    pendingOrdersCount = serializers.IntegerField()
    activeOrdersCount = serializers.IntegerField()
    safeModeReasons = serializers.ListField(child=serializers.CharField())
    safeModeSince = serializers.DateTimeField(allow_null=True)
    tradingEnabled = serializers.BooleanField()
    equity = serializers.FloatField()
    ageMs = serializers.IntegerField(help_text="Age of execution's last report, ms.")


class OrderList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    orders = serializers.ListField(child=serializers.DictField(), help_text="ExecutionOrder")
    count = serializers.IntegerField()
    page = serializers.IntegerField()
    pageSize = serializers.IntegerField()


class TradeList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    trades = serializers.ListField(child=serializers.DictField(), help_text="TradeLogRecord")
    count = serializers.IntegerField()
    page = serializers.IntegerField()
    pageSize = serializers.IntegerField()


class PositionList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    positions = serializers.ListField(child=serializers.DictField())


class SymbolList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    symbols = serializers.ListField(child=serializers.DictField())


class QualityReport(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    symbols = serializers.DictField(child=serializers.DictField(), help_text="By symbol.")


class QualityOrderList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    orders = serializers.ListField(child=serializers.DictField())
    count = serializers.IntegerField()
    page = serializers.IntegerField()
    pageSize = serializers.IntegerField()


class LatencyReport(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    stages = serializers.DictField(
        child=serializers.DictField(), help_text="{minute, hour}: {n, p50Ms, p90Ms, p99Ms, maxMs}"
    )


class RiskReport(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    risk = serializers.DictField(allow_null=True, help_text="RiskSnapshot; null = not told yet.")
    account = serializers.DictField(allow_null=True)
    limits = serializers.DictField(allow_null=True, help_text="Null = config not at hand.")
    config = serializers.DictField(allow_null=True)


class HealthReport(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    overall = serializers.ChoiceField(choices=("OK", "WARN", "ERROR"))
    services = serializers.DictField()
    resources = serializers.DictField()


class _ComparedSide(serializers.Serializer[Any]):
    name = serializers.CharField()
    runId = serializers.CharField(allow_null=True)
    mode = serializers.CharField(allow_null=True)
    digest = serializers.CharField(allow_null=True)
    configVersion = serializers.CharField(allow_null=True)
    to = serializers.DateTimeField()
    decisions = serializers.IntegerField()
    trades = serializers.IntegerField()
    problems = serializers.DictField(child=serializers.IntegerField())
    equity = serializers.ListField(help_text="[epoch ms, realised USDT]")


class RunComparison(serializers.Serializer[Any]):
    """Two runs side by side; `from` and `to` (exclusive) are market time. Money is USDT, B less A."""

    timestamp = serializers.DateTimeField()
    a = _ComparedSide()
    b = _ComparedSide()
    symbols = serializers.ListField(child=serializers.CharField())
    to = serializers.DateTimeField()
    toleranceMs = serializers.IntegerField()
    equal = serializers.BooleanField()
    counts = serializers.DictField(help_text="{equal, different, onlyA, onlyB} by kind.")
    firstDivergence = serializers.DictField(allow_null=True)
    beforeDivergence = serializers.ListField(child=serializers.DictField())
    attribution = serializers.DictField(help_text="`parts` add up to `differenceUsdt`.")
    rows = serializers.ListField(child=serializers.DictField())
    notes = serializers.ListField(child=serializers.CharField())
    count = serializers.IntegerField()
    page = serializers.IntegerField()
    pageSize = serializers.IntegerField()


class _RetentionError(serializers.Serializer[Any]):
    file = serializers.CharField()
    error = serializers.CharField()


class RetentionReport(serializers.Serializer[Any]):
    """Paths are relative to the data folder; in a dry run nothing was deleted."""

    timestamp = serializers.DateTimeField(help_text="The time that ages were counted from.")
    deletedFiles = serializers.ListField(child=serializers.CharField())
    keptFiles = serializers.ListField(child=serializers.CharField())
    errors = _RetentionError(many=True)  # type: ignore[assignment]  # the library's own word too
    runId = serializers.CharField()
    dryRun = serializers.BooleanField()
    freedBytes = serializers.IntegerField()
    foreignFiles = serializers.ListField(child=serializers.CharField(), help_text="Not ours: kept.")
    removedFolders = serializers.ListField(child=serializers.CharField())
    reasons = serializers.DictField(child=serializers.CharField(), help_text="Why, by path.")
    elapsedSeconds = serializers.FloatField()
    schemaVersion = serializers.IntegerField()


class RetentionReports(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    reports = RetentionReport(many=True)
    count = serializers.IntegerField()
    page = serializers.IntegerField()
    pageSize = serializers.IntegerField()


class _ErrorDetail(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorAnswer(serializers.Serializer[Any]):
    """`error.fields` names what is wrong with each field of the request, where that is the reason."""

    error = _ErrorDetail()
