"""Request bodies: JSON only, nothing said twice in it, and no body deep enough to exhaust the stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.utils.json import strict_constant

from failover.domain.strict_json import decode_strictly


class BoundedJSONParser(JSONParser):
    """DRF's JSON parser, with absurd nesting and numbers, names given twice and texts that are no
    Unicode refused as the bad requests they are."""

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        encoding = (parser_context or {}).get("encoding", settings.DEFAULT_CHARSET)
        try:
            value, faults = decode_strictly(stream.read().decode(encoding), strict_constant)
        except RecursionError as error:
            raise ParseError("JSON is nested too deeply") from error
        except (ValueError, LookupError) as error:
            raise ParseError(f"JSON parse error - {error}") from error
        if faults:
            fields: dict[str, list[str]] = defaultdict(list)
            for fault in faults:
                fields[fault.path or "body"].append(fault.reason)
            raise ValidationError(dict(fields))
        return value
