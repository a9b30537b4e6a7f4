"""REST under /api/config/: versions of the trading config, their differences, and what is active.

Staff may read; writing takes the permission `failover.edit_config`. A refused document is answered with 400
and `fields`: the path of each error and its reasons.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, cast

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from failover import serializers as s
from failover.domain.config import BadConfigDocument, load_document
from failover.domain.config_schema import section_fields
from failover.domain.config_sections import ConfigError
from failover.domain.config_versions import (
    StoredVersion,
    resolved,
    text_differences,
    use_stored,
)
from failover.models import AuditSource, ConfigActivation, ConfigVersion
from failover.services import config_store as store
from failover.services.audit import Actor
from failover.services.config_effect import needing_restart
from failover.services.config_view import config_in_use

EDIT = "failover.edit_config"
_ERRORS = {400: s.ConfigErrorAnswer, 403: s.ConfigErrorAnswer, 404: s.ConfigErrorAnswer}


class MayEditConfig(BasePermission):
    """Staff may read; writing takes the permission `failover.edit_config`."""

    message = "This takes the permission to edit the trading config (failover.edit_config)."

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        if not (user.is_authenticated and user.is_staff):
            return False
        return request.method in SAFE_METHODS or user.has_perm(EDIT)


class NotNow(APIException):
    """The request is sound and the state of things forbids it: look again before repeating."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "CONFLICT"


class ConfigView(APIView):
    permission_classes = [MayEditConfig]

    def checked(self, serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
        given = request.query_params if request.method in SAFE_METHODS else request.data
        found = serializer(data=given)
        found.is_valid(raise_exception=True)
        return cast("dict[str, Any]", found.validated_data)

    def handle_exception(self, exc: Exception) -> Response:
        """Our errors as the API's: what the caller may correct, and what is not there."""
        if isinstance(exc, BadConfigDocument):
            exc = ValidationError(_by_path(exc.errors))
        elif isinstance(exc, store.NoSuchVersion):
            exc = NotFound(str(exc))
        elif isinstance(exc, store.NotActivated):
            exc = NotNow(str(exc))
        return super().handle_exception(exc)


class Schema(ConfigView):
    @extend_schema(responses=s.SchemaAnswer)
    def get(self, request: Request) -> Response:
        """Every field of every section: unit, range, default, and what takes a restart."""
        return Response({"sections": msgspec.to_builtins(section_fields())})


class Active(ConfigView):
    @extend_schema(responses=s.ActiveConfigAnswer)
    def get(self, request: Request) -> Response:
        """What the services run on, or should: with `isInvalid` built-in defaults hold."""
        active = config_in_use()
        return Response(
            {
                "number": active.number,
                "version": active.document.version,
                "activation": active.sequence,
                "isInvalid": active.is_invalid,
                "problem": active.problem,
                "resolved": resolved(active.document),
            }
        )


class Versions(ConfigView):
    @extend_schema(
        operation_id="config_versions_list",
        parameters=[s.VersionsQuery],
        responses={200: s.VersionList, **_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Versions, newest first."""
        query = self.checked(s.VersionsQuery, request)
        found = ConfigVersion.objects.all()
        if "status" in query:
            found = found.filter(status=query["status"])
        first = (query["page"] - 1) * s.PAGE_SIZE
        active = store.active_version()
        rows = [_row(version, active) for version in found[first : first + s.PAGE_SIZE]]
        page = {"count": found.count(), "page": query["page"], "pageSize": s.PAGE_SIZE}
        return Response({"versions": rows, **page})

    @extend_schema(request=s.NewVersionBody, responses={201: s.VersionDetail, **_ERRORS})
    def post(self, request: Request) -> Response:
        """Write a new version, and activate it when asked to."""
        body = self.checked(s.NewVersionBody, request)
        actor = _actor(request)
        parent = store.get_version(body["madeFrom"]) if "madeFrom" in body else None
        document = msgspec.json.encode(body["document"])
        version = store.save_version(document, actor=actor, note=body["note"], parent=parent)
        if body["activate"]:
            store.activate(version.pk, actor=actor, reason=body["note"])
        return Response(_detail(version), status=status.HTTP_201_CREATED)


class Version(ConfigView):
    @extend_schema(responses={200: s.VersionDetail, **_ERRORS})
    def get(self, request: Request, number: int) -> Response:
        """One version: as written, and every value that holds."""
        return Response(_detail(store.get_version(number)))


class Diff(ConfigView):
    @extend_schema(parameters=[s.DiffQuery], responses={200: s.DiffAnswer, **_ERRORS})
    def get(self, request: Request, number: int) -> Response:
        """What differs from the version it was made from, or from `base`."""
        query = self.checked(s.DiffQuery, request)
        version = store.get_version(number)
        base = store.get_version(query["base"]) if "base" in query else version.parent
        found = text_differences(base.document if base else "{}", version.document)
        return Response(
            {
                "base": base.pk if base else None,
                "number": number,
                "differences": msgspec.to_builtins(found),
            }
        )


class Validate(ConfigView):
    @extend_schema(request=s.DocumentBody, responses={200: s.ValidationAnswer, **_ERRORS})
    def post(self, request: Request) -> Response:
        """Say everything that is wrong with a document; nothing is written."""
        body = self.checked(s.DocumentBody, request)
        document, errors = store.validate(msgspec.json.encode(body["document"]))
        return Response(
            {
                "valid": document is not None,
                "version": document.version if document else None,
                "problems": msgspec.to_builtins(errors),
            }
        )


class Activate(ConfigView):
    @extend_schema(request=s.VersionReasonBody, responses={200: s.ActivationAnswer, **_ERRORS})
    def post(self, request: Request, number: int) -> Response:
        """Make it the active version: all services follow within a second."""
        body = self.checked(s.VersionReasonBody, request)
        before = config_in_use().document
        activation = store.activate(number, actor=_actor(request), reason=body["reason"])
        return Response(_activated(activation, needing_restart(before, activation.version)))


class RollBack(ConfigView):
    @extend_schema(request=s.VersionReasonBody, responses={200: s.ActivationAnswer, **_ERRORS})
    def post(self, request: Request) -> Response:
        """Activate what was active before the active version."""
        body = self.checked(s.VersionReasonBody, request)
        before = config_in_use().document
        activation = store.roll_back(actor=_actor(request), reason=body["reason"])
        return Response(_activated(activation, needing_restart(before, activation.version)))


class Decline(ConfigView):
    @extend_schema(request=s.VersionReasonBody, responses={200: s.VersionDetail, **_ERRORS})
    def post(self, request: Request, number: int) -> Response:
        """Put a proposal aside."""
        body = self.checked(s.VersionReasonBody, request)
        return Response(
            _detail(store.decline(number, actor=_actor(request), reason=body["reason"]))
        )


def _actor(request: Request) -> Actor:
    by_session = isinstance(request.successful_authenticator, SessionAuthentication)
    return Actor(
        name=request.user.get_username(),
        source=AuditSource.DASHBOARD if by_session else AuditSource.API,
        ip=request.META.get("REMOTE_ADDR") or None,
    )


def _by_path(errors: list[ConfigError]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = defaultdict(list)
    for error in errors:
        fields[error.path or "document"].append(error.reason)
    return dict(fields)


def _row(version: ConfigVersion, active: ConfigVersion | None) -> dict[str, Any]:
    return {
        "number": version.pk,
        "version": version.content,
        "status": version.status,
        "isActive": active is not None and version.pk == active.pk,
        "author": version.author,
        "createdAt": version.created_at,
        "note": version.note,
        "madeFrom": version.parent_id,
    }


def _detail(version: ConfigVersion) -> dict[str, Any]:
    document, _ = load_document(version.document.encode())
    stored = StoredVersion(
        sequence=0, number=version.pk, document=version.document, digest=version.digest
    )
    return {
        **_row(version, store.active_version()),
        "document": msgspec.json.decode(version.document),
        "resolved": resolved(document) if document else None,
        "evidence": version.evidence,
        "problems": [str(error) for error in use_stored(stored).errors],
    }


def _activated(activation: ConfigActivation, restart: list[str]) -> dict[str, Any]:
    return {
        "number": activation.version.pk,
        "version": activation.version.content,
        "activation": activation.sequence,
        "needsRestart": restart,
    }
