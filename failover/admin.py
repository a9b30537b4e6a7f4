"""The audit trail and the index of the journal, to read; versions of the trading config, as a form.

A version is never changed: its form, saved, makes a new one. Activating, rolling back and declining are
actions of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from failover.domain.config import SYMBOLS, BadConfigDocument, load_document
from failover.domain.config_schema import section_fields
from failover.domain.config_versions import differences, text_differences
from failover.forms import ACTIVATE, NOTE, RAW, ConfigForm, config_form, form_name
from failover.models import AuditEntry, AuditSource, ConfigActivation, ConfigVersion, JournalFile
from failover.services import config_store as store
from failover.services.audit import Actor
from failover.services.config_effect import needing_restart
from failover.services.config_view import config_in_use

_ABOUT = ("status", "author", "created_at", "parent", "differences_shown", "evidence_shown")
_VIEWED = (*_ABOUT, "note", "resolved_shown", "document_shown")


class RecordAdmin(ModelAdmin):
    """Written by others: to look at, and to delete when nobody needs it any more."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


class ReadOnlyAdmin(RecordAdmin):
    """Written by others: to look at."""

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("timestamp", "actor", "source", "action", "target", "result")
    list_filter = ("source", "action", "actor")
    search_fields = ("target", "reason", "result")
    date_hierarchy = "timestamp"


@admin.register(ConfigActivation)
class ConfigActivationAdmin(ReadOnlyAdmin):
    list_display = ("activated_at", "version", "activated_by", "reason")
    search_fields = ("reason", "activated_by")
    date_hierarchy = "activated_at"
    list_select_related = ("version",)


class DamageFilter(admin.SimpleListFilter):
    """Files from which not everything can be had."""

    title = "damage"
    parameter_name = "damage"
    _ANY = Q(missing_records__gt=0) | Q(damaged_bytes__gt=0) | Q(torn_bytes__gt=0)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Records missing, damaged or torn"), ("no", "Whole")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[JournalFile]
    ) -> QuerySet[JournalFile]:
        if self.value() == "yes":
            return queryset.filter(self._ANY)
        return queryset.exclude(self._ANY) if self.value() == "no" else queryset


@admin.register(JournalFile)
class JournalFileAdmin(ReadOnlyAdmin):
    """A mirror of `data/journal`: the worker and `manage.py index_journals` write it."""

    list_display = (
        "day", "core", "run_id", "first_at", "last_at", "records", "size", "checkpoints", "missing_records",
        "damaged_bytes", "torn_bytes", "is_complete", "is_open",
    )  # fmt: skip
    list_filter = ("core", "is_complete", "is_open", DamageFilter)
    search_fields = ("run_id", "path")
    date_hierarchy = "day"

    @admin.display(description="size", ordering="bytes")
    def size(self, row: JournalFile) -> str:
        return filesizeformat(row.bytes)


@admin.register(ConfigVersion)
class ConfigVersionAdmin(ModelAdmin):
    list_display = ("number", "is_active", "status", "author", "created_at", "note", "content")
    list_filter = ("status", "author")
    search_fields = ("note", "content")
    actions = ("activate_version", "roll_back_version", "decline_version")

    # -- who may -----------------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return bool(request.user.is_staff)

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return bool(request.user.has_perm("failover.edit_config"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    # -- the list ----------------------------------------------------------------------------------

    @admin.display(description="version", ordering="id")
    def number(self, version: ConfigVersion) -> str:
        return f"v{version.pk}"

    @admin.display(description="active", boolean=True)
    def is_active(self, version: ConfigVersion) -> bool:
        active = store.active_version()
        return active is not None and active.pk == version.pk

    @admin.action(description="Activate the selected version", permissions=["change"])
    def activate_version(self, request: HttpRequest, chosen: QuerySet[ConfigVersion]) -> None:
        if (version := self._only_one(request, chosen)) is not None:
            self._do(request, lambda actor: store.activate(version.pk, actor=actor))

    @admin.action(description="Roll back from the selected, active version", permissions=["change"])
    def roll_back_version(self, request: HttpRequest, chosen: QuerySet[ConfigVersion]) -> None:
        version = self._only_one(request, chosen)
        if version is not None and not self.is_active(version):
            self.message_user(request, f"v{version.pk} is not the active version", messages.ERROR)
        elif version is not None:
            self._do(request, lambda actor: store.roll_back(actor=actor))

    @admin.action(description="Decline the selected proposal", permissions=["change"])
    def decline_version(self, request: HttpRequest, chosen: QuerySet[ConfigVersion]) -> None:
        if (version := self._only_one(request, chosen)) is not None:
            self._do(request, lambda actor: store.decline(version.pk, actor=actor))

    def _only_one(
        self, request: HttpRequest, chosen: QuerySet[ConfigVersion]
    ) -> ConfigVersion | None:
        if len(chosen) == 1:
            return chosen[0]
        self.message_user(request, "Select one version for this", messages.ERROR)
        return None

    def _do(self, request: HttpRequest, act: Any) -> bool:
        before = config_in_use().document
        try:
            done = act(_actor(request))
        except (BadConfigDocument, store.NotActivated, store.NoSuchVersion) as error:
            self.message_user(request, str(error), messages.ERROR)
            return False
        if isinstance(done, ConfigActivation):
            self.message_user(request, f"v{done.version_id} is active", messages.SUCCESS)
            if held := needing_restart(before, done.version):
                text = f"Running services keep these until a restart: {', '.join(held)}"
                self.message_user(request, text, messages.WARNING)
        else:
            self.message_user(request, f"v{done.pk} is declined", messages.SUCCESS)
        return True

    # -- the form ----------------------------------------------------------------------------------

    def get_form(
        self,
        request: HttpRequest,
        obj: ConfigVersion | None = None,
        change: bool = False,
        **kw: Any,
    ) -> type[ConfigForm]:
        form = config_form()
        if obj is None:  # a new version begins from the active one
            form.base = store.active_version()
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: ConfigVersion | None = None) -> Any:
        """An editor's note is a new version's, not the note of the one it begins from."""
        shown = (*_ABOUT, "resolved_shown", "document_shown")
        return shown if self.has_change_permission(request, obj) else _VIEWED

    def get_fieldsets(self, request: HttpRequest, obj: ConfigVersion | None = None) -> Any:
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": _VIEWED})]
        sections = [
            (section, {"classes": ["tab"], "fields": [form_name(field.path) for field in fields]})
            for section, fields in section_fields().items()
        ]
        by_symbol: list[str] = [SYMBOLS, *(["resolved_shown"] if obj else [])]
        about = [("About this version", {"classes": ["tab"], "fields": _ABOUT})] if obj else []
        return [
            (None, {"fields": [NOTE, ACTIVATE]}),
            *sections,
            ("By symbol", {"classes": ["tab"], "fields": by_symbol}),
            ("JSON", {"classes": ["tab"], "fields": [RAW, *(["document_shown"] if obj else [])]}),
            *about,
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        title = f"v{object_id}: saving makes a new version" if object_id else "New version"
        context = {
            "title": title,
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def save_form(self, request: HttpRequest, form: ConfigForm, change: bool) -> ConfigVersion:
        parent = form.instance if change else form.base
        return store.save_version(
            form.document, actor=_actor(request), note=form.cleaned_data[NOTE], parent=parent
        )

    def save_model(
        self, request: HttpRequest, obj: ConfigVersion, form: ConfigForm, change: bool
    ) -> None:
        """The version is written already; `activate` is what is left of the form."""
        self.message_user(request, f"v{obj.pk} is written", messages.SUCCESS)
        if form.cleaned_data[ACTIVATE]:
            reason = form.cleaned_data[NOTE]
            self._do(request, lambda actor: store.activate(obj.pk, actor=actor, reason=reason))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """There is nothing beside the version."""

    def response_add(
        self, request: HttpRequest, obj: ConfigVersion, post_url_continue: str | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:failover_configversion_change", args=(obj.pk,)))

    def response_change(self, request: HttpRequest, obj: ConfigVersion) -> HttpResponse:
        return self.response_add(request, obj)

    # -- what is shown of a version ------------------------------------------------------------------

    @admin.display(description="differs from its parent")
    def differences_shown(self, version: ConfigVersion) -> SafeString:
        before = version.parent.document if version.parent else "{}"
        found = text_differences(before, version.document)
        return _table(
            ("field", "before", "now"), [(d.path, _text(d.before), _text(d.after)) for d in found]
        )

    @admin.display(description="evidence")
    def evidence_shown(self, version: ConfigVersion) -> SafeString:
        return _json(version.evidence) if version.evidence is not None else SafeString("none")

    @admin.display(description="as written")
    def document_shown(self, version: ConfigVersion) -> SafeString:
        document = msgspec.json.format(version.document, indent=2)
        return format_html("<pre>{}</pre>", document)

    @admin.display(description="what holds for each symbol")
    def resolved_shown(self, version: ConfigVersion) -> SafeString:
        """The fields in which a symbol differs: base value and its own."""
        document, errors = load_document(version.document.encode())
        if document is None:
            return _table(
                ("where", "why this build cannot use it"), [(e.path, e.reason) for e in errors]
            )
        base = msgspec.to_builtins(document.sections)
        rows = [
            (symbol, each.path, _text(each.before), _text(each.after))
            for symbol, own in document.symbols.items()
            for each in differences({n: base[n] for n in own}, msgspec.to_builtins(own))
        ]
        return _table(("symbol", "field", "all others", "this symbol"), rows)


def _actor(request: HttpRequest) -> Actor:
    return Actor(
        name=request.user.get_username(),
        source=AuditSource.DASHBOARD,
        ip=request.META.get("REMOTE_ADDR") or None,
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> SafeString:
    if not rows:
        return SafeString("nothing")
    cell = '<td style="padding:2px 12px 2px 0">{}</td>'
    heads = format_html_join("", cell, ((name,) for name in head))
    lines = format_html_join(
        "",
        "<tr>{}</tr>",
        ((format_html_join("", cell, ((each,) for each in row)),) for row in rows),
    )
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", heads, lines)


def _json(value: Any) -> SafeString:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return format_html("<pre>{}</pre>", text)


def _text(value: Any) -> str:
    return "-" if value is msgspec.UNSET else msgspec.json.encode(value).decode()
