"""Bodies and answers of the trading config's API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

PAGE_SIZE = 50


class _Strict(serializers.Serializer[Any]):
    """Refuses fields it does not know: a misspelt name must not be taken for a default."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if unknown := [str(name)[:60] for name in data if name not in self.fields]:
            raise serializers.ValidationError({name: ["unknown field"] for name in unknown[:10]})
        return values


class DocumentBody(_Strict):
    document = serializers.DictField(
        help_text="Sections and `symbols`; what is left out has its default."
    )


class NewVersionBody(DocumentBody):
    note = serializers.CharField(max_length=2000, default="", allow_blank=True, help_text="Why.")
    madeFrom = serializers.IntegerField(
        required=False, min_value=1, help_text="What it was made from; default: the active version."
    )
    activate = serializers.BooleanField(default=False, help_text="Make it the active version.")


class VersionReasonBody(_Strict):
    reason = serializers.CharField(
        min_length=3, max_length=200, help_text="Why; kept in the audit trail."
    )


class VersionsQuery(serializers.Serializer[Any]):
    page = serializers.IntegerField(default=1, min_value=1, max_value=1_000_000)
    status = serializers.ChoiceField(
        choices=("SAVED", "PROPOSED", "ACCEPTED", "DECLINED"), required=False
    )


class DiffQuery(serializers.Serializer[Any]):
    base = serializers.IntegerField(
        required=False, min_value=1, help_text="Compared with; default: what it was made from."
    )


class VersionRow(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    version = serializers.CharField(help_text="Name of the content; decisions carry it.")
    status = serializers.CharField()
    isActive = serializers.BooleanField()
    author = serializers.CharField()
    createdAt = serializers.DateTimeField()
    note = serializers.CharField()
    madeFrom = serializers.IntegerField(allow_null=True)


class VersionList(serializers.Serializer[Any]):
    versions = VersionRow(many=True)
    count = serializers.IntegerField()
    page = serializers.IntegerField()
    pageSize = serializers.IntegerField()


class VersionDetail(VersionRow):
    document = serializers.DictField(help_text="As it was written.")
    resolved = serializers.DictField(
        allow_null=True,
        help_text="Every value that holds; under `symbols` the whole sections of each symbol.",
    )
    evidence = serializers.JSONField(allow_null=True)
    problems = serializers.ListField(
        child=serializers.CharField(), help_text="Why this build cannot use it."
    )


class ActiveConfigAnswer(serializers.Serializer[Any]):
    number = serializers.IntegerField(help_text="0: a document named by TRADING_CONFIG.")
    version = serializers.CharField()
    activation = serializers.IntegerField()
    isInvalid = serializers.BooleanField()
    problem = serializers.CharField(allow_blank=True)
    resolved = serializers.DictField()


class DifferenceRow(serializers.Serializer[Any]):
    path = serializers.CharField()
    before = serializers.JSONField(required=False)
    after = serializers.JSONField(required=False)


class DiffAnswer(serializers.Serializer[Any]):
    base = serializers.IntegerField(allow_null=True)
    number = serializers.IntegerField()
    differences = DifferenceRow(many=True)


class ProblemRow(serializers.Serializer[Any]):
    path = serializers.CharField()
    reason = serializers.CharField()


class ValidationAnswer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    version = serializers.CharField(allow_null=True)
    problems = ProblemRow(many=True)


class ActivationAnswer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    version = serializers.CharField()
    activation = serializers.IntegerField()
    needsRestart = serializers.ListField(
        child=serializers.CharField(),
        help_text="Fields that running services keep until a restart.",
    )


class SchemaAnswer(serializers.Serializer[Any]):
    sections = serializers.DictField(
        child=serializers.ListField(child=serializers.DictField()),
        help_text="Fields of each section: path, kind, description, unit, default, range, restartOnly.",
    )


class ErrorDetail(serializers.Serializer[Any]):
    """`fields` maps the path of each wrong field to its reasons."""

    code = serializers.CharField()
    message = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        reasons = serializers.ListField(child=serializers.CharField())
        return {
            **super().get_fields(),
            "fields": serializers.DictField(child=reasons, required=False),
        }


class ConfigErrorAnswer(serializers.Serializer[Any]):
    error = ErrorDetail()
