"""REST under /api/replay/ (phase 12 §10, and what operating a replay takes beyond it).

Staff may read; building, running and deleting takes the permission `monitoring.operate`. Every order leaves
an audit row, also a refused one. A body that is wrong is answered with 400 and its `fields`, an order that
the state of things forbids with 409 and a code that says what.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn, Self, cast

import msgspec
from django.conf import settings
from drf_spectacular.utils import extend_schema, extend_schema_view
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
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import (
    BuildReplayOptions,
    ReplayManifest,
    SessionRefused,
    parse_instant,
)
from replay.models import ReplayJob, ReplayRun
from replay.services import replay_jobs, replay_view, session_jobs
from replay.services.replay_jobs import ReplayNotNow, RunOrder
from replay.services.session_jobs import BuildStatus

OPERATE = "monitoring.operate"
_ERRORS = {
    400: s.ReplayErrorAnswer,
    403: s.ReplayErrorAnswer,
    404: s.ReplayErrorAnswer,
    409: s.ReplayErrorAnswer,
}
_CONFLICTS = ("EXISTS", "IN_USE")
_FULL = ("DISK_FULL", "STORAGE")
_AWAY = ("QUEUE_DOWN",)
_LOOK_EVERY_S = 0.1


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


def store() -> SessionStore:
    return SessionStore(settings.DATA_DIR)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str, field: str) -> int:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise ValidationError({field: ["is no ISO-8601 time"]}) from error


# -- sessions ----------------------------------------------------------------------------------------------


class Sessions(ReplayView):
    @extend_schema(operation_id="replay_sessions_list", responses={200: s.SessionList})
    def get(self, request: Request) -> Response:
        """Sessions on disk, newest first."""
        sessions = store()
        return Response(
            {
                "timestamp": _now(),
                "sessions": [manifest_json(one) for one in sessions.list_sessions()],
                "broken": sessions.broken_sessions(),
            }
        )

    @extend_schema(
        request=s.BuildBody, responses={201: s.ReplayManifest, 202: s.BuildJobAnswer, **_ERRORS}
    )
    def post(self, request: Request) -> Response:
        """Build a session from the recording. A small one is answered with its manifest (201), one that
        takes longer than config replay.buildWaitS with its job and where to ask for it (202)."""
        body = self.checked(s.BuildBody, request.data)
        options = BuildReplayOptions(
            from_=body["from"],
            to=body["to"],
            symbols=body["symbols"],
            include_types=body["includeTypes"],
            session_id=body["sessionId"],
            max_events=body["maxEvents"],
            notes=body["notes"],
        )
        target = body["sessionId"] or ",".join(body["symbols"])
        with self.audited(request, "SESSION_BUILD", target, **body) as audit:
            job_id = session_jobs.start_build(options, request.user.get_username(), store())
            audit.result = f"OK: build {job_id}"
        return _built(_waited_for(job_id))


def manifest_json(manifest: ReplayManifest) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.to_builtins(manifest, str_keys=True))


def _waited_for(job_id: int) -> BuildStatus:
    """Look until it has ended, or for as long as a caller is kept waiting."""
    until_s = time.monotonic() + replay_jobs.replay_config().build_wait_s
    while True:
        status = session_jobs.build_status(job_id)
        if status is None:
            raise NotFound("The build is gone.")
        if status.ended_at is not None or time.monotonic() >= until_s:
            return status
        time.sleep(_LOOK_EVERY_S)


def _built(status: BuildStatus) -> Response:
    if status.state == "DONE":
        manifest = store().require(status.session_id)
        return Response(manifest_json(manifest), status=http.HTTP_201_CREATED)
    if status.error is not None:
        error = status.error
        raise_refusal(SessionRefused(error["code"], error["message"], error["fields"]))
    return Response(_build_json(status), status=http.HTTP_202_ACCEPTED)


def _build_json(status: BuildStatus) -> dict[str, Any]:
    said = msgspec.to_builtins(status)
    return {**said, "statusUrl": f"/api/replay/builds/{status.job_id}"}


class Session(ReplayView):
    @extend_schema(responses={200: s.ReplayManifest, 404: s.ReplayErrorAnswer})
    def get(self, request: Request, session_id: str) -> Response:
        """Its ReplayManifest."""
        return Response(manifest_json(store().require(session_id)))

    @extend_schema(responses={200: s.OrderAnswer, **_ERRORS})
    def delete(self, request: Request, session_id: str) -> Response:
        """Delete it with all its files; refused while it is being replayed."""
        with self.audited(request, "SESSION_DELETE", session_id[:120]):
            if not session_jobs.delete_session(session_id, store()):
                raise NotFound("There is no such session.")
        return Response({"success": True, "message": f"{session_id} is deleted.", "jobId": None})


class Builds(ReplayView):
    @extend_schema(operation_id="replay_builds_list", responses={200: s.BuildList})
    def get(self, request: Request) -> Response:
        """Builds under way, oldest first."""
        builds = [_build_json(status) for status in session_jobs.builds_under_way()]
        return Response({"timestamp": _now(), "builds": builds})


class Build(ReplayView):
    @extend_schema(responses={200: s.BuildJobAnswer, 404: s.ReplayErrorAnswer})
    def get(self, request: Request, job_id: str) -> Response:
        """How far a build is, and how it ended."""
        return Response(_build_json(_build(int(job_id))))

    @extend_schema(responses={200: s.OrderAnswer, **_ERRORS})
    def delete(self, request: Request, job_id: str) -> Response:
        """Stop a build; nothing is left of it."""
        number = _build(int(job_id)).job_id
        with self.audited(request, "SESSION_BUILD_STOP", job_id):
            if not session_jobs.stop_build(number):
                raise ReplayNotNow("BUILD_ENDED", "The build has ended already.")
        return Response({"success": True, "message": "The build is ending.", "jobId": number})


def _build(job_id: int) -> BuildStatus:
    status = session_jobs.build_status(job_id)
    if status is None:
        raise NotFound("There is no such build.")
    return status


# -- running ----------------------------------------------------------------------------------------------


class Run(ReplayView):
    @extend_schema(request=s.RunBody, responses={200: s.OrderAnswer, **_ERRORS})
    def post(self, request: Request) -> Response:
        """Replay a session: in the shared system, which leaves LIVE for it, or isolated beside it."""
        body = self.checked(s.RunBody, request.data)
        with self.audited(request, "REPLAY_RUN", body["sessionId"], **body) as audit:
            manifest = store().require(body["sessionId"])
            order = _order(body, manifest, request.user.get_username())
            job = replay_jobs.start(order, manifest, send_job)
            audit.result = f"OK: job {job.pk}"
        return Response({"success": True, "message": _begun(job), "jobId": job.pk})


def send_job(job_id: int) -> None:
    """Hand a job to the worker by the task's name: the API does not import tasks."""
    from celery import current_app

    current_app.send_task(replay_jobs.REPLAY_TASK, args=[job_id], retry=False)


def _order(body: dict[str, Any], manifest: ReplayManifest, by: str) -> RunOrder:
    from_text = body["from"]
    return RunOrder(
        session_id=manifest.session_id,
        mode=body.get("injectMode") or replay_jobs.replay_config().mode,
        speed=body.get("speedFactor", manifest.speed_factor),
        by=by,
        loop=body["loop"],
        paused=body["paused"],
        isolated=body["isolated"],
        from_ns=_instant(from_text, "from") if from_text else None,
        config=body["config"],
    )


def _begun(job: ReplayJob) -> str:
    if job.isolated:
        return f"Isolated replay {job.pk} of {job.session_id} is starting."
    simulated = settings.ENVIRONMENT.execution_mode != "LIVE"
    still = " Simulated positions stand still until it ends." if simulated else ""
    return (
        f"The system goes to REPLAY of {job.session_id}; nothing is traded live meanwhile.{still}"
    )


class _JobOrder(ReplayView):
    """One order to a replay under way."""

    body: ClassVar[type[Serializer[Any]]] = s.JobBody
    action: ClassVar[str]

    def carry_out(self, job: ReplayJob, body: dict[str, Any]) -> str:
        raise NotImplementedError

    def post(self, request: Request) -> Response:
        body = self.checked(self.body, request.data)
        with self.audited(request, self.action, str(body.get("jobId") or "shared"), **body):
            job = replay_jobs.job_of(body["jobId"])
            message = self.carry_out(job, body)
        return Response({"success": True, "message": message, "jobId": job.pk})


def _orders(body: type[Serializer[Any]], summary: str) -> Any:
    answers = {200: s.OrderAnswer, **_ERRORS}
    return extend_schema_view(post=extend_schema(request=body, summary=summary, responses=answers))


@_orders(s.JobBody, "End a replay; the shared system goes back to LIVE")
class Stop(_JobOrder):
    action = "REPLAY_STOP"

    def carry_out(self, job: ReplayJob, body: dict[str, Any]) -> str:
        replay_jobs.stop(job)
        return f"Replay of {job.session_id} is ending."


@_orders(s.JobBody, "Pause a replay")
class Pause(_JobOrder):
    action = "REPLAY_PAUSE"

    def carry_out(self, job: ReplayJob, body: dict[str, Any]) -> str:
        replay_jobs.command(job, wanted_pause=True)
        return "Pausing."


@_orders(s.JobBody, "Go on after a pause")
class Resume(_JobOrder):
    action = "REPLAY_RESUME"

    def carry_out(self, job: ReplayJob, body: dict[str, Any]) -> str:
        replay_jobs.command(job, wanted_pause=False)
        return "Going on."


@_orders(s.SpeedBody, "Change the speed of a replay under way")
class Speed(_JobOrder):
    body = s.SpeedBody
    action = "REPLAY_SPEED"

    def carry_out(self, job: ReplayJob, body: dict[str, Any]) -> str:
        speed = body["speedFactor"]
        replay_jobs.command(job, wanted_speed=speed)
        return f"Speed {'max' if speed is None else f'{speed:g}x'}."


@_orders(s.LoopBody, "Whether a replay begins anew at its end")
class Loop(_JobOrder):
    body = s.LoopBody
    action = "REPLAY_LOOP"

    def carry_out(self, job: ReplayJob, body: dict[str, Any]) -> str:
        replay_jobs.command(job, wanted_loop=body["loop"])
        return "It begins anew at its end." if body["loop"] else "It ends at its end."


@_orders(s.SeekBody, "Go to another time of the session: a run of its own begins there")
class Seek(_JobOrder):
    body = s.SeekBody
    action = "REPLAY_SEEK"

    def carry_out(self, job: ReplayJob, body: dict[str, Any]) -> str:
        at_ns = _instant(body["to"], "to")
        manifest = store().require(job.session_id)
        if not manifest.from_ns <= at_ns < manifest.to_ns:
            span = manifest.source_date_range
            raise ValidationError({"to": [f"is outside the session: {span.from_} .. {span.to}"]})
        replay_jobs.command(job, wanted_seek_ns=at_ns)
        return f"Going to {body['to']}."


class Status(ReplayView):
    @extend_schema(responses={200: s.ReplayStatusAnswer, 403: s.ReplayErrorAnswer})
    def get(self, request: Request) -> Response:
        """ReplayStatus, with what it takes to operate it."""
        return Response(replay_view.status())


# -- runs -------------------------------------------------------------------------------------------------


class Runs(ReplayView):
    @extend_schema(
        operation_id="replay_runs_list",
        parameters=[s.ReplayRunsQuery],
        responses={200: s.RunList, 400: s.ReplayErrorAnswer},
    )
    def get(self, request: Request) -> Response:
        """Runs, newest first; those of `run_replay` too."""
        query = self.checked(s.ReplayRunsQuery, request.query_params)
        first = (query["page"] - 1) * s.PAGE_SIZE
        rows, count = replay_view.runs(query.get("sessionId"), first, s.PAGE_SIZE)
        page = {"count": count, "page": query["page"], "pageSize": s.PAGE_SIZE}
        return Response({"timestamp": _now(), "runs": rows, **page})


class RunOne(ReplayView):
    @extend_schema(responses={200: s.RunDetail, 404: s.ReplayErrorAnswer})
    def get(self, request: Request, run_id: str) -> Response:
        """One run with its whole report."""
        run = ReplayRun.objects.filter(run_id=run_id).first()
        if run is None:
            raise NotFound("There is no such run.")
        return Response({**replay_view.run_row(run), "report": run.report})
