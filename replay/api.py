"""REST under /api/replay/ (phase 12 §10, and what operating a replay takes beyond it).

Staff may read; building, running and deleting takes the permission `monitoring.operate`. Every order leaves
an audit row, also a refused one. A body that is wrong is answered with 400 and its `fields`, an order that
the state of things forbids with 409 and a code that says what.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from replay import serializers as s
from replay.api_base import (
    ERRORS,
    ReplayView,
    instant_of,
    now_iso,
    store,
)
from replay.domain.sessions import (
    ReplayManifest,
)
from replay.models import ReplayJob, ReplayRun
from replay.services import replay_jobs, replay_view
from replay.services.replay_jobs import RunOrder

# -- running ----------------------------------------------------------------------------------------------


class Run(ReplayView):
    @extend_schema(request=s.RunBody, responses={200: s.OrderAnswer, **ERRORS})
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
    """VERIFY shows nothing of a market: it never takes the shared system."""
    from_text = body["from"]
    mode = body.get("injectMode") or replay_jobs.replay_config().mode
    return RunOrder(
        session_id=manifest.session_id,
        mode=mode,
        speed=body.get("speedFactor", manifest.speed_factor),
        by=by,
        loop=body["loop"],
        paused=body["paused"],
        isolated=body["isolated"] or mode == "VERIFY",
        from_ns=instant_of(from_text, "from") if from_text else None,
        config=body["config"],
    )


def _begun(job: ReplayJob) -> str:
    if job.isolated:
        return f"{job.mode} {job.pk} of {job.session_id} is starting, beside the live system."
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
    answers = {200: s.OrderAnswer, **ERRORS}
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
        at_ns = instant_of(body["to"], "to")
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
        return Response({"timestamp": now_iso(), "runs": rows, **page})


class RunOne(ReplayView):
    @extend_schema(responses={200: s.RunDetail, 404: s.ReplayErrorAnswer})
    def get(self, request: Request, run_id: str) -> Response:
        """One run with its whole report."""
        run = ReplayRun.objects.filter(run_id=run_id).first()
        if run is None:
            raise NotFound("There is no such run.")
        return Response({**replay_view.run_row(run), "report": run.report})
