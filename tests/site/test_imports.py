"""What a web process loads."""

from __future__ import annotations

import subprocess
import sys

from django.conf import settings


def test_a_dashboard_loads_no_compiler() -> None:
    """numba alone takes a second to import, in every command that Django checks."""
    code = (
        "import django, sys; django.setup(); from django.core.management import call_command;"
        "call_command('check'); sys.exit('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=settings.BASE_DIR, check=False)
    assert done.returncode == 0
