"""What one service runs on, while the active config changes under it.

Pure of wires: `failover.wiring` brings what the bus and the database say. A field marked `RESTART_ONLY`
stays as it was until the service starts again, and is named until then. What then runs
is neither of two versions and has a content name of its own; where it would contradict itself, nothing
changes before a restart.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from failover.domain.config import SECTIONS, ConfigDocument, SectionRegistry, content_version
from failover.domain.config_sections import field_extra, struct_fields
from failover.domain.config_versions import (
    ActiveConfig,
    StoredVersion,
    differences,
    resolved,
    use_stored,
)

logger = logging.getLogger(__name__)


class ConfigFollower:
    """`config` is what holds now; `offer` says what holds after another activation."""

    def __init__(
        self,
        config: ActiveConfig,
        *,
        pinned: bool = False,
        registry: SectionRegistry = SECTIONS,
        seen: StoredVersion | None = None,
    ) -> None:
        """`pinned`: started on a document of its own (`--config`), deaf to activations."""
        self.config = config
        self.pinned = pinned
        self.needs_restart: tuple[str, ...] = ()
        self._saved_as = config.document.version  # the version whose live fields hold
        self._registry = registry
        self._seen = seen

    def announce(self) -> None:
        """Say in the log what the service starts on."""
        if self.config.is_invalid:
            _log_invalid(self.config)
        config = self.config
        logger.info(
            "config_in_use",
            extra={
                "number": config.number,
                "version": config.document.version,
                "pinned": self.pinned,
            },
        )

    def offer(self, stored: StoredVersion | None) -> ActiveConfig | None:
        """What to run on from now; None when nothing new was said.

        The same activation is new when its text has changed: somebody wrote into the database.
        """
        if stored is None or stored == self._seen or self.pinned:
            return None
        if self._seen is not None and stored.sequence < self._seen.sequence:
            return None  # the bus and the database speak of the same, one a little later
        self._seen = stored
        wanted = use_stored(stored, self._registry)
        document, held = with_restart_only_of(self.config.document, wanted.document, self._registry)
        before = self.config
        if document is not before.document:
            self._saved_as = wanted.document.version
        self.config = msgspec.structs.replace(wanted, document=document)
        self.needs_restart = tuple(held)
        if wanted.is_invalid:
            _log_invalid(wanted)
        _log_change(before, self.config, held)
        return self.config

    def details(self) -> dict[str, Any]:
        """For the heartbeat."""
        return {
            "configVersion": self.config.document.version,
            "configSavedAs": self._saved_as,
            "configNumber": self.config.number,
            "configActivation": self.config.sequence,
            "configProblem": self.config.problem,
            "configNeedsRestart": list(self.needs_restart),
            "configPinned": self.pinned,
        }


def with_restart_only_of(
    running: ConfigDocument, wanted: ConfigDocument, registry: SectionRegistry = SECTIONS
) -> tuple[ConfigDocument, list[str]]:
    """`wanted` with the restart-only fields of `running`, and the paths of all that waits for a restart.

    Where the two do not go together it is `running` as a whole, and all that differs waits.
    """
    try:
        mixed, held = _mixed(running, wanted)
    except ValueError:  # fields of one section against each other
        mixed, held = None, []
    if mixed is None or (held and _contradicts_itself(mixed, registry)):
        found = differences(resolved(running), resolved(wanted))
        return running, [each.path for each in found]
    return mixed, _without_echoes(held)


def _mixed(running: ConfigDocument, wanted: ConfigDocument) -> tuple[ConfigDocument, list[str]]:
    """Raises: ValueError when a section refuses it."""
    held: list[str] = []
    sections = {
        name: _kept(running[name], each, name, held) if name in running.sections else each
        for name, each in wanted.sections.items()
    }
    symbols = {}
    for symbol, own in wanted.symbols.items():
        before = running.for_symbol(symbol)
        symbols[symbol] = {
            name: _kept(before[name], each, f"symbols.{symbol}.{name}", held)
            for name, each in own.items()
        }
    if not held:
        return wanted, held
    version = content_version(sections, symbols)
    return ConfigDocument(sections=sections, symbols=symbols, version=version), held


def _contradicts_itself(document: ConfigDocument, registry: SectionRegistry) -> bool:
    whole = [document.sections, *(document.for_symbol(symbol) for symbol in document.symbols)]
    return any(True for sections in whole for _ in registry.contradictions(sections))


def _kept(running: Any, wanted: Any, path: str, held: list[str]) -> Any:
    changes: dict[str, Any] = {}
    struct_type: type[msgspec.Struct] = type(wanted)
    for field in struct_fields(struct_type):
        before, after = getattr(running, field.name), getattr(wanted, field.name)
        inner = f"{path}.{field.encode_name}"
        if before == after:
            continue
        if field_extra(field.type).get("restartOnly"):
            held.append(inner)
            changes[field.name] = before
        elif isinstance(after, msgspec.Struct) and type(before) is type(after):
            changes[field.name] = _kept(before, after, inner, held)
    return msgspec.structs.replace(wanted, **changes) if changes else wanted


def _without_echoes(held: list[str]) -> list[str]:
    """A symbol's section repeats what its base section has: said once, of the base."""
    base = {path for path in held if not path.startswith("symbols.")}
    return [path for path in held if path in base or path.split(".", 2)[2] not in base]


def _log_invalid(config: ActiveConfig) -> None:
    logger.critical(
        "config_invalid",
        extra={
            "failureType": "CONFIG_INVALID",
            "number": config.number,
            "errors": [str(error) for error in config.errors],
            "what": "built-in defaults hold; no entries until an operator ends safe mode",
        },
    )


def _log_change(before: ActiveConfig, after: ActiveConfig, held: list[str]) -> None:
    changed = [
        each.path for each in differences(resolved(before.document), resolved(after.document))
    ]
    logger.info(
        "config_activated",
        extra={
            "number": after.number,
            "version": after.document.version,
            "changed": changed[:50],
        },
    )
    if held:
        logger.warning(
            "config_needs_restart", extra={"waiting": held, "what": "these stay until a restart"}
        )
