"""Versions of the trading config in the database: write, propose, activate, roll back, read.

    version = save_version(document, actor=actor, note="wider stops")
    activate(version.pk, actor=actor, reason="calmer market")

Every change leaves an audit row. An activation is one row, so it is whole or not there; services hear of it
on the bus and look into the database besides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction

from failover.domain.config import SECTIONS, BadConfigDocument, ConfigDocument, load_document
from failover.domain.config_sections import ConfigError
from failover.domain.config_versions import (
    MAX_DOCUMENT_BYTES,
    ActiveConfig,
    StoredVersion,
    canonical_text,
    text_differences,
    text_digest,
    use_stored,
)
from failover.models import AuditSource, ConfigActivation, ConfigVersion, VersionStatus
from failover.services.audit import Actor, note_action
from failover.services.config_files import read_document
from failover.services.known_symbols import known_symbols

Listener = Callable[[StoredVersion], object]
_listeners: dict[str, Listener] = {}


def on_activation(name: str, listener: Listener) -> None:
    """`listener` is told of each activation once it is committed. It must not raise."""
    _listeners[name] = listener


class NoSuchVersion(LookupError):
    """Name a version that there is."""


class NotActivated(RuntimeError):
    """Nothing has changed; the text says why and what to do."""


def validate(document: bytes) -> tuple[ConfigDocument | None, list[ConfigError]]:
    """The document, or None and everything wrong with it, unknown symbols included."""
    if len(document) > MAX_DOCUMENT_BYTES:
        return None, [ConfigError("", f"larger than {MAX_DOCUMENT_BYTES // 1024} KiB")]
    return load_document(document, SECTIONS, known_symbols())


def save_version(
    document: bytes, *, actor: Actor, note: str = "", parent: ConfigVersion | None = None
) -> ConfigVersion:
    """Write a new version. `parent`: what it was made from, else what is active.

    Raises: BadConfigDocument with every error; nothing is written then.
    """
    return _write(document, actor, note, parent or active_version(), VersionStatus.SAVED, None)


def propose(
    document: bytes | dict[str, Any], author: str, evidence: dict[str, Any], *, note: str = ""
) -> ConfigVersion:
    """Write a version that waits for a decision, with the figures that speak for it (JSON-ready).

    With ACTIVATE_PROPOSALS=true it is activated at once. Raises: BadConfigDocument with every error.
    """
    content = document if isinstance(document, bytes) else msgspec.json.encode(document)
    actor = Actor(name=author, source=AuditSource.SYSTEM)
    version = _write(content, actor, note, active_version(), VersionStatus.PROPOSED, evidence)
    if settings.ENVIRONMENT.activate_proposals:
        activate(version.pk, actor=actor, reason="proposals are activated automatically")
        version.refresh_from_db()
    return version


def decline(number: int, *, actor: Actor, reason: str = "") -> ConfigVersion:
    """Put a proposal aside. Raises: NoSuchVersion, NotActivated when it waits for no decision."""
    version = get_version(number)
    waiting = ConfigVersion.objects.filter(pk=number, status=VersionStatus.PROPOSED)
    with transaction.atomic():
        if not waiting.update(status=VersionStatus.DECLINED):
            raise NotActivated(f"version {number} is {version.status}: it waits for no decision")
        note_action(actor, "CONFIG_DECLINE", f"v{number}", reason=reason)
    version.refresh_from_db()
    return version


def activate(number: int, *, actor: Actor, reason: str = "") -> ConfigActivation:
    """Make a version the active one. Raises: NoSuchVersion, BadConfigDocument, NotActivated."""
    version = get_version(number)
    _require_usable(version)
    return _activate(version, actor, reason, "CONFIG_ACTIVATE")


def roll_back(*, actor: Actor, reason: str = "") -> ConfigActivation:
    """Activate what was active before the active version. Raises: BadConfigDocument, NotActivated."""
    latest = latest_activation()
    earlier = latest and (
        ConfigActivation.objects.filter(sequence__lt=latest.sequence)
        .exclude(version=latest.version)
        .select_related("version")
        .first()
    )
    if earlier is None:
        raise NotActivated("no other version was active before")
    _require_usable(earlier.version)
    return _activate(earlier.version, actor, reason, "CONFIG_ROLLBACK")


def get_version(number: int) -> ConfigVersion:
    """Raises: NoSuchVersion."""
    version = ConfigVersion.objects.filter(pk=number).first()
    if version is None:
        raise NoSuchVersion(f"there is no version {number} of the trading config")
    return version


def number_of_content(content: str) -> int | None:
    """The newest saved version of that content (`ConfigDocument.version`); None when it was never saved."""
    found = ConfigVersion.objects.filter(content=content).order_by("-pk")
    return found.values_list("pk", flat=True).first()


def latest_activation() -> ConfigActivation | None:
    return ConfigActivation.objects.select_related("version").first()


def active_version() -> ConfigVersion | None:
    latest = latest_activation()
    return latest.version if latest else None


def read_stored() -> StoredVersion | None:
    """The active version as it is written; None before the first. Raises: DatabaseError."""
    latest = latest_activation()
    return _stored(latest) if latest else None


def read_active() -> ActiveConfig | None:
    """The active version ready to run on; None before the first. Raises: DatabaseError."""
    stored = read_stored()
    return use_stored(stored) if stored else None


def ensure_first_version(name: str, folder: Any) -> StoredVersion:
    """The active version; in an empty database the document `name` becomes version 1 and is activated.

    Two services may start at once: one of them writes it. Raises: BadConfigDocument, DatabaseError.
    """
    stored = read_stored()
    if stored is not None:
        return stored
    document = read_document(name, folder)
    actor = Actor(name="first start", source=AuditSource.SYSTEM)
    note = f"the document TRADING_CONFIG={name} at the first start"
    try:
        with transaction.atomic():
            version = _write(document, actor, note, None, VersionStatus.SAVED, None)
            _insert_activation(version, 1, actor, note)
    except IntegrityError:
        pass  # the other one was first
    stored = read_stored()
    assert stored is not None, "an activation was just written"
    return stored


def _write(
    document: bytes,
    actor: Actor,
    note: str,
    parent: ConfigVersion | None,
    status: VersionStatus,
    evidence: dict[str, Any] | None,
) -> ConfigVersion:
    loaded, errors = validate(document)
    if loaded is None:
        raise BadConfigDocument("document", errors)
    text = canonical_text(document)
    changes = text_differences(parent.document if parent else "{}", text)
    with transaction.atomic():
        version = ConfigVersion.objects.create(
            document=text,
            digest=text_digest(text),
            content=loaded.version,
            parent=parent,
            author=actor.name[:150],
            created_at=datetime.now(UTC),
            note=note,
            status=status,
            evidence=evidence,
        )
        action = "CONFIG_PROPOSE" if status == VersionStatus.PROPOSED else "CONFIG_SAVE"
        note_action(
            actor, action, f"v{version.pk}", reason=note,
            before=f"v{parent.pk}" if parent else None, after=msgspec.to_builtins(changes),
        )  # fmt: skip
    return version


def _require_usable(version: ConfigVersion) -> None:
    """A version may have been written by an older build, or changed in the database."""
    stored = StoredVersion(
        sequence=0, number=version.pk, document=version.document, digest=version.digest
    )
    if errors := use_stored(stored).errors:
        raise BadConfigDocument(f"version {version.pk}", list(errors))
    if version.status == VersionStatus.DECLINED:
        raise NotActivated(f"version {version.pk} was declined: save its document as a new one")


def _activate(version: ConfigVersion, actor: Actor, reason: str, action: str) -> ConfigActivation:
    latest = latest_activation()
    if latest is not None and latest.version_id == version.pk:
        raise NotActivated(f"version {version.pk} is the active one already")
    try:
        with transaction.atomic():
            activation = _insert_activation(
                version, latest.sequence + 1 if latest else 1, actor, reason
            )
            ConfigVersion.objects.filter(pk=version.pk, status=VersionStatus.PROPOSED).update(
                status=VersionStatus.ACCEPTED
            )
            note_action(
                actor, action, f"v{version.pk}", reason=reason,
                before=f"v{latest.version_id}" if latest else None, after=f"v{version.pk}",
            )  # fmt: skip
            for listener in _listeners.values():
                transaction.on_commit(partial(listener, _stored(activation)))
    except IntegrityError as error:
        raise NotActivated("another activation came first: look at it, then try again") from error
    return activation


def _insert_activation(
    version: ConfigVersion, sequence: int, actor: Actor, reason: str
) -> ConfigActivation:
    return ConfigActivation.objects.create(
        sequence=sequence,
        version=version,
        activated_at=datetime.now(UTC),
        activated_by=actor.name[:150],
        reason=reason,
    )


def _stored(activation: ConfigActivation) -> StoredVersion:
    version = activation.version
    return StoredVersion(
        sequence=activation.sequence,
        number=version.pk,
        document=version.document,
        digest=version.digest,
    )
