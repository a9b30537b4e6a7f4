"""REST of sessions: list, build, import, export, delete (phase 12 §10.1 to §10.3)."""

from __future__ import annotations

import tempfile
import time
from typing import IO, Any, cast

import msgspec
from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status as http
from rest_framework.exceptions import NotFound
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from replay import serializers as s
from replay.adapters.session_export import SUFFIX, export_session
from replay.api_base import (
    ERRORS,
    Refused,
    ReplayView,
    now_iso,
    raise_refusal,
    store,
)
from replay.domain.sessions import (
    BuildReplayOptions,
    ReplayManifest,
    SessionRefused,
)
from replay.services import replay_jobs, session_jobs
from replay.services.replay_jobs import ReplayNotNow
from replay.services.session_jobs import BuildStatus
from replay.services.session_rows import keep_row

_LOOK_EVERY_S = 0.1
_MOST_IMPORT_BYTES = 4 << 30


# -- sessions ----------------------------------------------------------------------------------------------


class Sessions(ReplayView):
    @extend_schema(operation_id="replay_sessions_list", responses={200: s.SessionList})
    def get(self, request: Request) -> Response:
        """Sessions on disk, newest first."""
        sessions = store()
        return Response(
            {
                "timestamp": now_iso(),
                "sessions": [manifest_json(one) for one in sessions.list_sessions()],
                "broken": sessions.broken_sessions(),
            }
        )

    @extend_schema(
        request=s.BuildBody, responses={201: s.ReplayManifest, 202: s.BuildJobAnswer, **ERRORS}
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

    @extend_schema(responses={200: s.OrderAnswer, **ERRORS})
    def delete(self, request: Request, session_id: str) -> Response:
        """Delete it with all its files; refused while it is being replayed."""
        with self.audited(request, "SESSION_DELETE", session_id[:120]):
            if not session_jobs.delete_session(session_id, store()):
                raise NotFound("There is no such session.")
        return Response({"success": True, "message": f"{session_id} is deleted.", "jobId": None})


class SessionExport(ReplayView):
    @extend_schema(
        responses={(200, "application/zstd"): OpenApiTypes.BINARY, 404: s.ReplayErrorAnswer}
    )
    def get(self, request: Request, session_id: str) -> FileResponse:
        """The session as one file, `<sessionId>.tar.zst`: manifest.json and events.jsonl."""
        sessions = store()
        sessions.require(session_id)
        packed = tempfile.TemporaryFile(dir=sessions.root)  # noqa: SIM115  (the answer closes it)
        try:
            export_session(sessions, session_id, packed)
        except BaseException:
            packed.close()
            raise
        packed.seek(0)
        return FileResponse(
            packed, as_attachment=True, filename=f"{session_id}{SUFFIX}", content_type="application/zstd"
        )  # fmt: skip


class _ArchiveParser(BaseParser):
    """The body as it comes, not read into memory."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


class SessionImport(ReplayView):
    parser_classes = [_ArchiveParser]

    @extend_schema(
        parameters=[s.ImportQuery],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: s.ReplayManifest, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Take in an exported session: the archive is the body; under another name where one is given."""
        # compiled code that only an archive needs: the dashboard starts without it
        from replay.adapters.session_import import import_session

        query = self.checked(s.ImportQuery, request.query_params)
        if int(request.META.get("CONTENT_LENGTH") or 0) > _MOST_IMPORT_BYTES:
            raise Refused(
                f"The archive is larger than {_MOST_IMPORT_BYTES >> 30} GiB.", "TOO_LARGE"
            )
        name = query.get("sessionId")
        with self.audited(request, "SESSION_IMPORT", name or "archive") as audit:
            manifest = import_session(store(), cast("IO[bytes]", request.data), session_id=name)
            keep_row(manifest)
            audit.result = f"OK: {manifest.session_id}"
        return Response(manifest_json(manifest), status=http.HTTP_201_CREATED)


class Builds(ReplayView):
    @extend_schema(operation_id="replay_builds_list", responses={200: s.BuildList})
    def get(self, request: Request) -> Response:
        """Builds under way, oldest first."""
        builds = [_build_json(status) for status in session_jobs.builds_under_way()]
        return Response({"timestamp": now_iso(), "builds": builds})


class Build(ReplayView):
    @extend_schema(responses={200: s.BuildJobAnswer, 404: s.ReplayErrorAnswer})
    def get(self, request: Request, job_id: str) -> Response:
        """How far a build is, and how it ended."""
        return Response(_build_json(_build(int(job_id))))

    @extend_schema(responses={200: s.OrderAnswer, **ERRORS})
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
