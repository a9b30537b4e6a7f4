"""What all of the replay API shares: rights, budgets, audit, and refusals as errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn, Self, cast

from django.conf import settings
from rest_framework import status as http
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.throttling import BaseThrottle, ScopedRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from failover.models import AuditSource
from failover.services.audit import Actor, note_action
from replay import serializers as s
from replay.adapters.session_shelf import SessionShelf
from replay.domain.sessions import (
    SessionRefused,
    parse_instant,
)
from replay.services.replay_jobs import ReplayNotNow

OPERATE = "monitoring.operate"
ERRORS = {
    400: s.ReplayErrorAnswer,
    403: s.ReplayErrorAnswer,
    404: s.ReplayErrorAnswer,
    409: s.ReplayErrorAnswer,
}
_CONFLICTS = ("EXISTS", "IN_USE")
_FULL = ("DISK_FULL", "STORAGE")
_AWAY = ("QUEUE_DOWN",)


class MayOperate(BasePermission):
    """Staff may read; ordering takes the permission `monitoring.operate`."""

    message = "This takes the operator permission (monitoring.operate)."

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        if not (user.is_authenticated and user.is_staff):
            return False
        return request.method in SAFE_METHODS or user.has_perm(OPERATE)


class Conflict(APIException):
    """The order is sound and the state of things forbids it: look again before repeating."""

    status_code = http.HTTP_409_CONFLICT
    default_code = "CONFLICT"


class Refused(APIException):
    status_code = http.HTTP_400_BAD_REQUEST
    default_code = "REFUSED"


class QueueDown(APIException):
    """Nothing was ordered."""

    status_code = http.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "QUEUE_DOWN"


class NoRoom(APIException):
    status_code = http.HTTP_507_INSUFFICIENT_STORAGE
    default_code = "STORAGE"


def raise_refusal(refused: SessionRefused) -> NoReturn:
    """A refused session as the API's error."""
    if refused.fields:
        raise ValidationError({name: [why] for name, why in refused.fields.items()}) from refused
    if refused.code == "NOT_FOUND":
        raise NotFound(refused.message) from refused
    if refused.code in _CONFLICTS:
        raise Conflict(refused.message, refused.code) from refused
    if refused.code in _AWAY:
        raise QueueDown(refused.message) from refused
    kind = NoRoom if refused.code in _FULL else Refused
    raise kind(refused.message, refused.code) from refused


class ReplayView(APIView):
    permission_classes = [MayOperate]
    throttle_scope = "replay"

    def get_throttles(self) -> list[BaseThrottle]:
        """Orders have a budget of their own; looking has that of all reading."""
        is_order = self.request.method not in SAFE_METHODS
        return [ScopedRateThrottle() if is_order else UserRateThrottle()]

    def checked(self, serializer: type[Serializer[Any]], given: Any) -> dict[str, Any]:
        found = serializer(data=given)
        found.is_valid(raise_exception=True)
        return cast("dict[str, Any]", found.validated_data)

    def handle_exception(self, exc: Exception) -> Response:
        """Our refusals as the API's errors."""
        try:
            if isinstance(exc, SessionRefused):
                raise_refusal(exc)
            if isinstance(exc, ReplayNotNow):
                kind = QueueDown if exc.code in _AWAY else Conflict
                raise kind(str(exc), exc.code) from exc
        except APIException as error:
            exc = error
        return super().handle_exception(exc)

    def audited(self, request: Request, action: str, target: str, **told: Any) -> _Audited:
        return _Audited(_actor(request), action, target, told)


class _Audited:
    """Leaves the row of one order when it is over, with how it ended."""

    def __init__(self, actor: Actor, action: str, target: str, told: dict[str, Any]) -> None:
        self._actor, self._action, self._target, self._told = actor, action, target, told
        self.result = "OK"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.result = f"REFUSED: {error}"
        note_action(
            self._actor, self._action, self._target, after=self._told or None, result=self.result
        )


def _actor(request: Request) -> Actor:
    by_session = isinstance(request.successful_authenticator, SessionAuthentication)
    return Actor(
        name=request.user.get_username(),
        source=AuditSource.DASHBOARD if by_session else AuditSource.API,
        ip=request.META.get("REMOTE_ADDR") or None,
    )


def store() -> SessionShelf:
    return SessionShelf(settings.DATA_DIR)


def now_iso() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_of(text: str, field: str) -> int:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise ValidationError({field: ["is no ISO-8601 time"]}) from error
