"""REST under /api/: what the dashboard shows, and what an operator may order (phase 10 §11, ui.md)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, cast

import msgspec
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from execution.domain.operator import OperatorAction, OperatorCommand, OperatorResult
from monitoring import serializers as s
from monitoring.domain.times import iso_of_ms
from monitoring.errors import BusDown, CannotCompare, NoAnswer, NoSuchRun, StateUnknown
from monitoring.models import RetentionRun
from monitoring.services import compare_view, history, live, operator
from monitoring.services.health import current_health
from replay.services.compare import ComparisonRefused

OPERATE = "monitoring.operate"
_EXACT = msgspec.json.Encoder(decimal_format="number")


class IsStaffOperator(BasePermission):
    """Staff may read; commanding takes the permission `monitoring.operate`."""

    message = "This takes the operator permission (monitoring.operate)."

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        if not (user.is_authenticated and user.is_staff):
            return False
        return request.method in SAFE_METHODS or user.has_perm(OPERATE)


class OperatorThrottle(ScopedRateThrottle):
    """Commands have a budget of their own: a chatty reader cannot use up the panic button."""


class ReadView(APIView):
    permission_classes = [IsStaffOperator]

    def query(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        checked = serializer(data=self.request.query_params)
        checked.is_valid(raise_exception=True)
        return cast("dict[str, Any]", checked.validated_data)


class CommandView(APIView):
    """Turns a body into one operator command, waits for execution's answer, leaves an audit row."""

    permission_classes = [IsStaffOperator]
    throttle_classes = [OperatorThrottle]
    throttle_scope = "operator"
    body: ClassVar[type[Serializer[Any]]]

    def ordered_action(self, body: dict[str, Any]) -> OperatorAction:
        raise NotImplementedError

    def post(self, request: Request) -> Response:
        checked = self.body(data=request.data)
        checked.is_valid(raise_exception=True)
        body = checked.validated_data
        by_session = isinstance(request.successful_authenticator, SessionAuthentication)
        command = operator.make_command(
            self.ordered_action(body),
            reason=body["reason"],
            actor=request.user.get_username(),
            source="DASHBOARD" if by_session else "API",
            symbol=body.get("symbol", ""),
            side=body.get("side", "BOTH"),
        )
        result = _ordered(command, request)
        return Response(
            {
                "success": result.ok,
                "message": result.message,
                "commandId": result.command_id,
                "closingPositions": result.closing_positions,
                "cancelledOrders": result.cancelled_orders,
            }
        )


def _ordered(command: OperatorCommand, request: Request) -> OperatorResult:
    """Send and audit. Raises the API error that says what the caller can do."""
    ip = str(request.META.get("REMOTE_ADDR", ""))
    try:
        result = async_to_sync(operator.send)(command)
    except operator.CommandNotSent as error:
        history.audit(command, ip=ip, result="NOT_SENT")
        raise BusDown from error
    except operator.CommandUnanswered as error:
        history.audit(command, ip=ip, result="NO_ANSWER")
        raise NoAnswer from error
    verdict = "OK" if result.ok else "REFUSED"
    history.audit(command, ip=ip, result=f"{verdict}: {result.message}")
    return result


def _commands(body: type[Serializer[Any]], summary: str) -> Any:
    return extend_schema_view(
        post=extend_schema(
            request=body,
            summary=summary,
            responses={
                200: s.CommandAnswer,
                400: s.ErrorAnswer,
                403: s.ErrorAnswer,
                503: OpenApiResponse(s.ErrorAnswer, "the bus is down, nothing was sent"),
                504: OpenApiResponse(s.ErrorAnswer, "sent, not answered in time"),
            },
        )
    )


@_commands(s.ReasonBody, "Safe mode on, cancel entries, close every position at market")
class PanicCloseAll(CommandView):
    body = s.ReasonBody

    def ordered_action(self, body: dict[str, Any]) -> OperatorAction:
        return OperatorAction.PANIC_CLOSE_ALL


@_commands(s.SymbolReasonBody, "Cancel one symbol's orders and close its position at market")
class PanicCloseSymbol(CommandView):
    body = s.SymbolReasonBody

    def ordered_action(self, body: dict[str, Any]) -> OperatorAction:
        return OperatorAction.PANIC_CLOSE_SYMBOL


@_commands(s.CancelOrdersBody, "Cancel pending entry orders of one symbol")
class CancelOrders(CommandView):
    body = s.CancelOrdersBody

    def ordered_action(self, body: dict[str, Any]) -> OperatorAction:
        return OperatorAction.CANCEL_ORDERS


@_commands(s.SwitchBody, "Safe mode on or off")
class SafeMode(CommandView):
    body = s.SwitchBody

    def ordered_action(self, body: dict[str, Any]) -> OperatorAction:
        return OperatorAction.SAFE_MODE_ON if body["enabled"] else OperatorAction.SAFE_MODE_OFF


@_commands(s.SwitchBody, "Allow or forbid new positions")
class Trading(CommandView):
    body = s.SwitchBody

    def ordered_action(self, body: dict[str, Any]) -> OperatorAction:
        return OperatorAction.TRADING_ON if body["enabled"] else OperatorAction.TRADING_OFF


class ExecutionOverview(ReadView):
    @extend_schema(responses={200: s.ExecutionOverview, 503: s.ErrorAnswer})
    def get(self, request: Request) -> Response:
        """Execution's own last report; `ageMs` says how old it is."""
        state, now_ms = live.overview(), live.now_ms()
        account, safety = state["account"], state["safety"]
        if account is None:
            raise StateUnknown
        return Response(
            {
                "timestamp": iso_of_ms(now_ms),
                "mode": settings.ENVIRONMENT.execution_mode,
                "safeMode": safety["safeMode"],
                "pendingOrdersCount": account["pendingEntries"],
                "activeOrdersCount": len(state["orders"]),
                "safeModeReasons": safety["reasons"],
                "safeModeSince": iso_of_ms(safety["since"]) if safety["since"] else None,
                "tradingEnabled": safety["tradingEnabled"],
                "equity": account["equity"],
                "ageMs": max(0, now_ms - account["ts"]),
            }
        )


class Orders(ReadView):
    @extend_schema(parameters=[s.OrdersQuery], responses={200: s.OrderList, 400: s.ErrorAnswer})
    def get(self, request: Request) -> Response:
        """Orders, newest first."""
        query = self.query(s.OrdersQuery)
        found = history.orders(symbol=query.get("symbol"), open_only=query["status"] == "OPEN")
        return Response(_page("orders", found, query, history.order_json))


class Trades(ReadView):
    @extend_schema(parameters=[s.TradesQuery], responses={200: s.TradeList, 400: s.ErrorAnswer})
    def get(self, request: Request) -> Response:
        """Closed trades, newest first."""
        query = self.query(s.TradesQuery)
        found = history.trades(symbol=query.get("symbol"))
        return Response(_page("trades", found, query, history.trade_json))


def _page(
    name: str, found: QuerySet[Any], query: dict[str, Any], to_json: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    first = (query["page"] - 1) * query["pageSize"]
    return {
        "timestamp": iso_of_ms(live.now_ms()),
        name: [to_json(row) for row in found[first : first + query["pageSize"]]],
        "count": found.count(),
        "page": query["page"],
        "pageSize": query["pageSize"],
    }


class Positions(ReadView):
    @extend_schema(responses=s.PositionList)
    def get(self, request: Request) -> Response:
        """Open positions, marked at the last mid."""
        positions = list(live.overview()["positions"].values())
        return Response({"timestamp": iso_of_ms(live.now_ms()), "positions": positions})


class Quality(ReadView):
    @extend_schema(responses=s.QualityReport)
    def get(self, request: Request) -> Response:
        """How well the orders of each symbol are carried out: score, block and figures (pipeline §8).

        Slippage and adverse markout are costs, markouts gains, in bps; null = not measured yet.
        """
        found = {name: live.panel(name).get("quality") for name in live.fanout().symbols()}
        symbols = {name: quality for name, quality in found.items() if quality is not None}
        return Response({"timestamp": iso_of_ms(live.now_ms()), "symbols": symbols})


class QualityOrders(ReadView):
    @extend_schema(
        parameters=[s.TradesQuery], responses={200: s.QualityOrderList, 400: s.ErrorAnswer}
    )
    def get(self, request: Request) -> Response:
        """How each finished order was carried out, newest first."""
        query = self.query(s.TradesQuery)
        found = history.order_quality(symbol=query.get("symbol"))
        return Response(_page("orders", found, query, history.order_quality_json))


class Latency(ReadView):
    @extend_schema(responses=s.LatencyReport)
    def get(self, request: Request) -> Response:
        """From the exchange's event to the browser, stage by stage: rolling minute and hour, ms."""
        stages = live.overview()["latency"]
        return Response({"timestamp": iso_of_ms(live.now_ms()), "stages": stages})


class Risk(ReadView):
    @extend_schema(responses=s.RiskReport)
    def get(self, request: Request) -> Response:
        """The account against its limits, with every reason against new positions."""
        state = live.overview()
        return Response(
            {
                "timestamp": iso_of_ms(live.now_ms()),
                "risk": state["risk"],
                "account": state["account"],
                "limits": state["limits"],
                "config": state["config"],
            }
        )


class MarketSymbols(ReadView):
    @extend_schema(responses=s.SymbolList)
    def get(self, request: Request) -> Response:
        """What the market service reads, with the last quote and score of each symbol."""
        rows = [{"symbol": name, **row} for name, row in live.overview()["symbols"].items()]
        return Response({"timestamp": iso_of_ms(live.now_ms()), "symbols": rows})


class CompareRuns(ReadView):
    @extend_schema(
        parameters=[s.CompareQuery],
        responses={
            200: s.RunComparison,
            400: s.ErrorAnswer,
            404: s.ErrorAnswer,
            422: OpenApiResponse(s.ErrorAnswer, "these two cannot be compared"),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Two runs, or a run and what was decided live: first divergence, rows, PnL attribution."""
        query = self.query(s.CompareQuery)
        try:
            found = compare_view.comparison(query["a"], query["b"])
        except ComparisonRefused as error:
            kind = NoSuchRun if error.code == "NOT_FOUND" else CannotCompare
            raise kind(error.message, error.code) from error
        rows = found.rows if query["show"] == "all" else found.differing_rows()
        first = (query["page"] - 1) * query["pageSize"]
        shown = msgspec.structs.replace(found, rows=rows[first : first + query["pageSize"]])
        answer = {
            "timestamp": iso_of_ms(live.now_ms()),
            **msgspec.to_builtins(shown, builtin_types=(Decimal,)),
            "count": len(rows),
            "page": query["page"],
            "pageSize": query["pageSize"],
        }
        # not DRF's renderer: it would make texts of exact figures
        return HttpResponse(_EXACT.encode(answer), content_type="application/json")


class RetentionReports(ReadView):
    @extend_schema(
        parameters=[s.RetentionQuery], responses={200: s.RetentionReports, 400: s.ErrorAnswer}
    )
    def get(self, request: Request) -> Response:
        """What the retention job deleted and kept, newest run first."""
        query = self.query(s.RetentionQuery)
        found = RetentionRun.objects.order_by("-timestamp", "-pk")
        return Response(_page("reports", found, query, lambda row: row.report))


class Health(ReadView):
    @extend_schema(responses=s.HealthReport)
    def get(self, request: Request) -> Response:
        """The same as data/system/health_snapshot.json, made now."""
        return Response(current_health())
