"""Django settings: everything that varies comes through `scalper_site.env`, once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from importlib.resources import files
from pathlib import Path

import dj_database_url
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.core.management.utils import get_random_secret_key

from scalper_site.env import Problem, load_environment

BASE_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = Path(os.environ.get("ENV_FILE", BASE_DIR / ".env"))
ENVIRONMENT, ENVIRONMENT_PROBLEMS = load_environment(os.environ, ENV_FILE)

DATA_DIR = (BASE_DIR / ENVIRONMENT.data_dir).resolve()


def _runtime_dir() -> Path:
    """Sockets live beside the data unless the path would not fit a unix socket address (108 bytes)."""
    beside = DATA_DIR / "run"
    if len(str(beside)) < 80:
        return beside
    digest = hashlib.sha256(str(DATA_DIR).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"scalper-{os.getuid()}-{digest}"


RUN_DIR = _runtime_dir()
VALKEY_SOCKET = RUN_DIR / "valkey.sock"


def _development_secret_key() -> str:
    """One random key per data directory, so that sessions survive a restart on a developer's machine."""
    path = DATA_DIR / "run" / "secret_key"
    if path.is_file() and (key := path.read_text(encoding="utf-8").strip()):
        return key
    key = get_random_secret_key()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key)
    except FileExistsError:  # another process of the same start wrote it first
        return path.read_text(encoding="utf-8").strip() or key
    except OSError as error:
        ENVIRONMENT_PROBLEMS.append(
            Problem(
                "DATA_DIR",
                f"{error.filename} cannot be made ({error.strerror})",
                "name a folder that this user may write",
            )
        )
    return key


SECRET_KEY = ENVIRONMENT.secret_key or (
    "" if ENVIRONMENT.is_production else _development_secret_key()
)
if not SECRET_KEY:
    # Django refuses to load with an empty key before any check can explain it; check E002 does.
    SECRET_KEY = "unset"
DEBUG = ENVIRONMENT.debug
ALLOWED_HOSTS = [host.strip() for host in ENVIRONMENT.allowed_hosts.split(",") if host.strip()]
CSRF_TRUSTED_ORIGINS = [o.strip() for o in ENVIRONMENT.csrf_trusted_origins.split(",") if o.strip()]

# Not "daphne": as an app it ties Twisted to an event loop of its own before run_dashboard can give it ours.
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "scalper_site",
    "failover",
    "market",
    "strategy",
    "execution",
    "replay",
    "monitoring",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "scalper_site.urls"
ASGI_APPLICATION = "scalper_site.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "monitoring.views.dashboard_context",
            ]
        },
    }
]

_SQLITE_PATH = (
    Path(ENVIRONMENT.sqlite_path) if ENVIRONMENT.sqlite_path else DATA_DIR / "scalper.sqlite3"
)
if ENVIRONMENT.database_url:
    DATABASES = {"default": dj_database_url.parse(ENVIRONMENT.database_url, conn_max_age=60)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(_SQLITE_PATH),
            "OPTIONS": {
                # Writers wait for each other instead of failing, and take the lock when the
                # transaction starts, so that a read cannot turn into a refused write.
                "timeout": 10,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
            # A file also in tests: in memory, threads refuse each other instead of waiting.
            "TEST": {"NAME": str(DATA_DIR / "test.sqlite3")},
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = ENVIRONMENT.redis_url or f"unix://{VALKEY_SOCKET}"
_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
SCORER_PACKAGES = tuple(p.strip() for p in ENVIRONMENT.scorer_packages.split(",") if p.strip())
BUS_PREFIX = f"{ENVIRONMENT.service_cluster_id}:bus:"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            "hosts": [REDIS_URL],
            "prefix": f"{ENVIRONMENT.service_cluster_id}:channels",
            "capacity": 500,
            "expiry": 10,
        },
    }
}
CELERY_BROKER_URL = _BROKER_URL
CELERY_RESULT_BACKEND = _BROKER_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": f"{ENVIRONMENT.service_cluster_id}:celery:"}
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = CELERY_BROKER_TRANSPORT_OPTIONS
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "archiveRecordings": {"task": "archiveRecordings", "schedule": crontab(hour=0, minute=20)},
    # half an hour after midnight: the day before is whole and its files are closed
    "profileUpdater": {"task": "profileUpdater", "schedule": crontab(hour=0, minute=30)},
    # after it: what it reads is still there
    "retention": {"task": "retention", "schedule": crontab(hour=1, minute=15)},
    "indexJournals": {"task": "indexJournals", "schedule": crontab(minute="*/5")},
}

# By name: nobody imports scalper_site.
CELERY_APP = "scalper_site.celery:app"

# The children of run_all: (tier, command). Higher tiers stop first; Valkey, where it is ours, is tier 0.
# Each service outlives the loss of any other, so they stop side by side: only Valkey must outlive them all.
SUPERVISED_SERVICES = {
    "exchange": (1, "run_exchange"),
    "execution": (1, "run_execution"),
    "dashboard": (1, "run_dashboard"),
    "worker": (1, "run_worker"),
    "market": (1, "run_market"),
    "strategy": (1, "run_strategy"),
}
# What a first start compiles, in this order, side by side: prices wait for the first of each line.
FIRST_COMPILES = (
    {
        "market": "market.domain.kernel:compile_kernel",
        "strategy": "strategy.domain.core:compile_numeric_path",
    },
    {
        "exchange": "execution.domain.synthetic_market:compile_market",
        "execution": "execution.domain.sim_book:compile_venue_kernel",
    },
)
# run_all gives the account's keys to these children only; the environment of the others says so.
ACCOUNT_SERVICES = ("execution",)
WITHOUT_ACCOUNT = {
    "BYBIT_API_KEY": "", "BYBIT_API_SECRET": "",
    "BYBIT_API_KEY_FILE": "", "BYBIT_API_SECRET_FILE": "", "HOLDS_ACCOUNT": "false",
}  # fmt: skip
LISTENING_PORTS = {"WEB": (ENVIRONMENT.web_host, ENVIRONMENT.web_port)}
if ENVIRONMENT.bybit_env == "LOCAL":
    LISTENING_PORTS["EXCHANGE"] = (ENVIRONMENT.exchange_host, ENVIRONMENT.exchange_port)
else:
    del SUPERVISED_SERVICES["exchange"]
VALKEY_MAX_MEMORY = "512mb"

TRADING_PROFILES_DIR = BASE_DIR / "strategy" / "profiles"

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    # ADMIN_PASSWORD_HASH may be a plain bcrypt one; Django replaces it at the first login.
    "django.contrib.auth.hashers.BCryptPasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-gb"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    # The chart library is served out of the installed wheel, whose version the requirements pin.
    ("vendor/lightweight-charts", str(files("litecharts") / "js")),
]
# Served from the app folders in every mode: one process, no collect step to forget on an update.
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "monitoring.errors.api_exception_handler",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "1200/min", "operator": "120/min", "replay": "240/min"},
    "DEFAULT_PARSER_CLASSES": ["monitoring.parsers.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AI Scalper API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAdminUser"],
    "SWAGGER_UI_DIST": "SIDECAR",  # the page's own assets, no CDN
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if ENVIRONMENT.is_production:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_REDIRECT_EXEMPT = [r"^healthz$"]

UNFOLD = {
    "SITE_TITLE": "AI Scalper",
    "SITE_HEADER": "AI Scalper",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": "/",  # "view site" leads back to the dashboard
}

# Services configure structured logging themselves (failover.services.logs); this is for commands.
LOGGING_CONFIG = None
TEST_RUNNER = "django.test.runner.DiscoverRunner"
