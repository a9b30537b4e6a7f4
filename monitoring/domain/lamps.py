"""What a service's lamp says."""

from __future__ import annotations

OK, WARN, ERROR = "OK", "WARN", "ERROR"
