"""Set before Django loads: tests keep away from the developer's data, keys and server."""

import os
import tempfile

for name in list(os.environ):
    if name.startswith(("BYBIT_", "EXECUTION_")):
        del os.environ[name]
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="scalper-tests-")
os.environ["ENV_FILE"] = os.devnull
os.environ["SCALPER_ENV"] = "development"
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "false"
