"""The trading config as a form: one field for each field of the schema, or the JSON itself.

A value that equals the default is written only where the version it began from wrote it too, so that a
default of a later build still reaches those who never chose a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from failover.domain.config import SYMBOLS
from failover.domain.config_schema import FieldSchema, section_fields
from failover.domain.config_sections import ConfigError
from failover.domain.config_versions import canonical_text
from failover.models import ConfigVersion
from failover.services.config_store import validate

RAW, NOTE, ACTIVATE = "raw", "note", "activate"
_ABSENT = object()

if TYPE_CHECKING:
    _VersionForm = forms.ModelForm[ConfigVersion]
else:  # generic for the type checker only
    _VersionForm = forms.ModelForm


class ConfigForm(_VersionForm):
    """Base of the forms that `config_form` makes. A valid one has its JSON in `document`."""

    schema: dict[str, FieldSchema] = {}
    base: ConfigVersion | None = None  # what a new version begins from
    document: bytes = b"{}"

    class Meta:
        model = ConfigVersion
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began_from = _written(self.instance if self.instance.pk else self.base)
        for name, field in self.schema.items():
            self.fields[name].initial = _shown(_at(self._began_from, field.path), field)
        if overrides := self._began_from.get(SYMBOLS):
            self.fields[SYMBOLS].initial = overrides

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        if cleaned.get(RAW):
            self._judge(cleaned[RAW].encode(), of_raw=True)
        else:
            self._judge(msgspec.json.encode(self._collected(cleaned)), of_raw=False)
        return cleaned

    def _judge(self, document: bytes, *, of_raw: bool) -> None:
        loaded, errors = validate(document)
        for error in errors:
            name = RAW if of_raw else self._field_of(error)
            reason = error.reason if name in self.schema else str(error)
            self.add_error(name, reason)
        if loaded is None:
            return
        self.document = document
        if self.instance.pk and canonical_text(document) == self.instance.document:
            self.add_error(
                None,
                f"Nothing differs from version {self.instance.pk}. To make it active, "
                "use the action in the list of versions.",
            )

    def _field_of(self, error: ConfigError) -> str | None:
        """The form field an error belongs to: the one whose path it is, or begins with."""
        if error.path.split(".", 1)[0] == SYMBOLS:
            return SYMBOLS
        for name, field in self.schema.items():
            if error.path == field.path or error.path.startswith(
                (field.path + ".", field.path + "[")
            ):
                return name
        return None

    def _collected(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """What the fields say as a document."""
        document: dict[str, Any] = {}
        for name, field in self.schema.items():
            value = cleaned.get(name)
            if value in (None, ""):
                continue
            was_written = _at(self._began_from, field.path) is not _ABSENT
            if was_written or value != _plain(field.default):
                _put(document, field.path, value)
        if cleaned.get(SYMBOLS):
            document[SYMBOLS] = cleaned[SYMBOLS]
        return document


def config_form() -> type[ConfigForm]:
    """The form of the sections registered in this build."""
    schema = {
        form_name(field.path): field for fields in section_fields().values() for field in fields
    }
    members: dict[str, Any] = {name: _form_field(field) for name, field in schema.items()}
    members[SYMBOLS] = _json_field(
        SYMBOLS,
        'Single fields that differ by symbol, as JSON: {"BTCUSDT": {"strategy": {"entryScore": 75}}}.',
    )
    members[RAW] = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 24}),
        label="document",
        help_text="The whole document as JSON. When filled in, it is taken instead of all other fields.",
    )
    members[NOTE] = forms.CharField(
        required=False, max_length=2000, widget=UnfoldAdminTextInputWidget(),
        help_text="Why; kept with the version.",
    )  # fmt: skip
    members[ACTIVATE] = forms.BooleanField(
        required=False, widget=UnfoldBooleanSwitchWidget(), label="activate at once",
        help_text="All services follow within a second. Off: the version is only written.",
    )  # fmt: skip
    return type("TradingConfigForm", (ConfigForm,), {**members, "schema": schema})


def form_name(path: str) -> str:
    return path.replace(".", "__")


def help_of(field: FieldSchema) -> str:
    """Everything a trader should know of a field, in one line."""
    text = field.description or "As the schema says."
    parts = [text if text.endswith(".") else f"{text}."]
    if field.range_text:
        parts.append(f"{field.range_text[0].upper()}{field.range_text[1:]}.")
    if field.kind == "SWITCH":
        parts.append(f"Default {'on' if field.default else 'off'}.")
    elif field.kind != "JSON":
        parts.append(f"Default {field.default}.")
    if not field.per_symbol:
        parts.append("The same for all symbols.")
    if field.restart_only:
        parts.append("RUNNING SERVICES KEEP THE OLD VALUE UNTIL A RESTART.")
    return " ".join(parts)


def _form_field(field: FieldSchema) -> forms.Field:
    label = field.path.split(".", 1)[1] + (f", {field.unit}" if field.unit else "")
    common: dict[str, Any] = {"required": False, "label": label, "help_text": help_of(field)}
    match field.kind:
        case "INTEGER":
            return forms.IntegerField(widget=UnfoldAdminDecimalFieldWidget(), **common)
        case "NUMBER":
            return forms.FloatField(
                widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}), **common
            )
        case "SWITCH":
            return forms.BooleanField(widget=UnfoldBooleanSwitchWidget(), **common)
        case "CHOICE":
            choices = [(name, name) for name in field.choices]
            return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget(), **common)
        case "TEXT":
            return forms.CharField(widget=UnfoldAdminTextInputWidget(), **common)
        case _:
            return _json_field(label, common["help_text"])


def _json_field(label: str, help_text: str) -> forms.Field:
    return forms.JSONField(
        required=False, label=label, help_text=help_text,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}), encoder=None,
    )  # fmt: skip


def _written(version: ConfigVersion | None) -> dict[str, Any]:
    """The document a form begins from; empty when there is none, or it is no document."""
    try:
        document = msgspec.json.decode(version.document if version else "{}")
    except msgspec.DecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _at(document: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(document, dict) or name not in document:
            return _ABSENT
        document = document[name]
    return document


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *groups, name = path.split(".")
    for group in groups:
        document = document.setdefault(group, {})
    document[name] = value


def _shown(value: Any, field: FieldSchema) -> Any:
    return _plain(field.default) if value is _ABSENT else value


def _plain(value: Any) -> Any:
    """As JSON has it: a tuple is a list."""
    return msgspec.json.decode(msgspec.json.encode(value))
