"""`manage.py check --deploy` under production settings must be clean; run by `make check`."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile


def main() -> int:
    with tempfile.TemporaryDirectory() as data_dir:
        environ = {
            **os.environ,
            "ENV_FILE": os.devnull,
            "SCALPER_ENV": "production",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": "scalper.example",
            "DATA_DIR": data_dir,
            "BYBIT_ENV": "MAINNET",
        }
        command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
        return subprocess.run(command, env=environ).returncode


if __name__ == "__main__":
    sys.exit(main())
