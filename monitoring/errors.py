"""The one shape of an API error: `{error: {code, message, fields?}}`."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler


class BusDown(APIException):
    """The command did not reach the bus: nothing was ordered; use the local control socket or retry."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "BUS_DOWN"
    default_detail = "The bus is not reachable; nothing was sent."


class NoAnswer(APIException):
    """The command is on the bus but execution has not answered: look at the positions before repeating."""

    status_code = status.HTTP_504_GATEWAY_TIMEOUT
    default_code = "NO_ANSWER"
    default_detail = (
        "Execution has not answered in time. The command was handed over and may still be carried "
        "out: watch positions and orders, and the execution lamp."
    )


class StateUnknown(APIException):
    """No snapshot from execution has been seen: there is nothing true to say yet."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "STATE_UNKNOWN"
    default_detail = "Execution has not reported its state yet."


class CannotCompare(APIException):
    """The two runs cannot be compared; the message says why."""

    status_code: int = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "CANNOT_COMPARE"


class NoSuchRun(CannotCompare):
    """There is no run of that id."""

    status_code = status.HTTP_404_NOT_FOUND


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's handler, with the body in our shape. None (an error page) for what is no API error."""
    response = exception_handler(error, context)
    if response is None:
        return None
    body: dict[str, Any] = {"code": _code(error), "message": _message(error, response.data)}
    if isinstance(error, ValidationError):
        body |= {"code": "INVALID", "message": "The request is not valid."}
        body["fields"] = _fields(response.data)
    response.data = {"error": body}
    return response


def _code(error: Exception) -> str:
    codes = error.get_codes() if isinstance(error, APIException) else "not_found"
    return (codes if isinstance(codes, str) else "invalid").upper()


def _message(error: Exception, data: Any) -> str:
    detail = data.get("detail") if isinstance(data, dict) else None
    return str(detail or error)


def _fields(data: Any) -> dict[str, list[str]]:
    if not isinstance(data, dict):
        return {
            "nonFieldErrors": [str(item) for item in (data if isinstance(data, list) else [data])]
        }
    return {
        str(name): [str(item) for item in (value if isinstance(value, list) else [value])]
        for name, value in data.items()
    }
