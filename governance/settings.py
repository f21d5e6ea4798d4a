"""Settings, all from the environment. A wrong or missing one stops the start with one readable line."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from audit.redaction import WithoutPaths, redact
from governance import environment

BASE_DIR = Path(__file__).resolve().parent.parent


TESTING = os.environ.get("ROLLCALL_TEST") == "1"
_ROLE = os.environ.get("ROLLCALL_ROLE", "")
AS_OWNER = TESTING or _ROLE == "owner"
# For `manage.py erase` and `manage.py archive` alone: no process that runs on holds what this role needs.
AS_ERASER = not TESTING and _ROLE == "eraser"

SECRET_KEY = environment.need("SECRET_KEY", why="it signs sessions and one-use links")
ROLLCALL_TOKEN_KEY = environment.need("ROLLCALL_TOKEN_KEY", why="it keys the digests of SCIM tokens and requests")
ROLLCALL_FIELD_KEYS = environment.parts("ROLLCALL_FIELD_KEYS")
if not ROLLCALL_FIELD_KEYS:
    raise ImproperlyConfigured("ROLLCALL_FIELD_KEYS is not set: Fernet keys, newest first, that encrypt stored secrets")
# The key is read by the task that seals, and by nothing else: other processes need not be able to.
ROLLCALL_SEAL_KEY_FILE = os.environ.get("ROLLCALL_SEAL_KEY_FILE", "")
ROLLCALL_METRICS_TOKEN = environment.token("ROLLCALL_METRICS_TOKEN")
ROLLCALL_SEAL_WITNESS = os.environ.get("ROLLCALL_SEAL_WITNESS", "")
ROLLCALL_PUBLIC_URL = environment.public_address("ROLLCALL_PUBLIC_URL", default="http://127.0.0.1:8000")
_public = urlsplit(ROLLCALL_PUBLIC_URL)
ROLLCALL_STATE_DIR = Path(os.environ.get("ROLLCALL_STATE_DIR", BASE_DIR / ".rollcall"))
ROLLCALL_DEMO_DIRECTORY_URL = os.environ.get("ROLLCALL_DEMO_DIRECTORY_URL", "")
# What the outbound client may reach beside public addresses. Loopback is for the demo's directory alone.
ROLLCALL_ALLOWED_NETWORKS = environment.networks("ROLLCALL_ALLOWED_NETWORKS")
ROLLCALL_ALLOW_LOOPBACK = bool(ROLLCALL_DEMO_DIRECTORY_URL) or TESTING
REDIS_URL = environment.need("REDIS_URL", why="it says where Redis or Valkey is, as redis://:password@host:port/0")

DEBUG = False
_is_https = _public.scheme == "https"
_is_loopback = _public.hostname in {"127.0.0.1", "localhost", "::1"}
if not _is_https and not _is_loopback:
    raise ImproperlyConfigured("ROLLCALL_PUBLIC_URL must be https unless it is on this machine: tokens travel over it")
ALLOWED_HOSTS = [_public.hostname, *environment.parts("ROLLCALL_ALLOWED_HOSTS")]
if _is_loopback:
    ALLOWED_HOSTS += ["127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = [ROLLCALL_PUBLIC_URL]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _is_https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^scim/"]
SECURE_HSTS_SECONDS = 31_536_000 if _is_https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _is_https
# Whose X-Forwarded-For and X-Forwarded-Proto are believed; see governance.proxies.
ROLLCALL_TRUSTED_PROXIES = environment.networks("ROLLCALL_TRUSTED_PROXIES", besides=frozenset({"unix"}))
if os.environ.get("ROLLCALL_BEHIND_PROXY"):
    raise ImproperlyConfigured(
        "ROLLCALL_BEHIND_PROXY is gone: name the proxies' addresses in ROLLCALL_TRUSTED_PROXIES instead"
    )
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_NAME = "rollcall_session"
CSRF_COOKIE_NAME = "rollcall_csrf"
CSRF_FAILURE_VIEW = "django.views.csrf.csrf_failure"
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "governance.apps.GovernanceConfig",
    "provisioning.apps.ProvisioningConfig",
    "accounts.apps.AccountsConfig",
    "audit.apps.AuditConfig",
    "governance.site.RollcallAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "simple_history",
    "rest_framework",
    "csp",
    "django_scim",
]
MIDDLEWARE = [
    "governance.proxies.ProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "governance.middleware.RequestLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "governance.middleware.TenantMiddleware",
]
ROOT_URLCONF = "governance.urls"
WSGI_APPLICATION = "governance.wsgi.application"
APPEND_SLASH = True
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
                "governance.middleware.frame",
            ],
        },
    }
]

_ADDRESS = "DATABASE_OWNER_URL" if AS_OWNER else "DATABASE_ERASER_URL" if AS_ERASER else "DATABASE_URL"
DATABASES = {"default": environment.database(_ADDRESS)}
if os.environ.get("ROLLCALL_POOL") == "1":
    # Whoever connects again pauses twice as long each time, for as long as `reconnect_timeout`: kept short, a server that
    # was away for minutes is found again within seconds of its return.
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 4, "timeout": 5, "reconnect_timeout": 2}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
     "OPTIONS": {"user_attributes": ("username", "display_name", "email")}},
]  # fmt: skip
PASSWORD_RESET_TIMEOUT = 24 * 3600
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(os.environ.get("ROLLCALL_STATIC_ROOT", BASE_DIR / ".rollcall" / "static"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = TESTING
WHITENOISE_AUTOREFRESH = False

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# A SCIM body may be 16 MiB; Django's own limit of 2.5 MB would answer before the receiver can.
DATA_UPLOAD_MAX_MEMORY_SIZE = 17 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000

SCIM_SERVICE_PROVIDER = {
    "NETLOC": _public.netloc,
    "SCHEME": _public.scheme,
    "AUTHENTICATION_SCHEMES": [],
    # The receiver asks for its tokens itself; the frame puts nothing around its dispatch.
    "AUTH_CHECK_MIDDLEWARE": "provisioning.scim.authentication.pass_through",
    "EXPOSE_SCIM_EXCEPTIONS": False,
}

SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True
SIMPLE_HISTORY_ENABLED = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Whoever answers a request may wake a worker, and must not wait for a broker that is away.
    "socket_connect_timeout": 1,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "visibility_timeout": 900,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# Minute ticks: each task looks for due rows, so a tick that is lost costs a minute and nothing else.
# Requests a second that one connection may make on average over ten seconds; more are answered 429.
ROLLCALL_SCIM_PACE = environment.number("ROLLCALL_SCIM_PACE", default=100, least=1, most=100_000)
# How large one file of a system may be, in bytes; it passes through a temporary file.
ROLLCALL_FILE_MAX_BYTES = environment.number("ROLLCALL_FILE_MAX_BYTES", default=1024**3, least=1024, most=64 * 1024**3)
_SWEEP = float(environment.number("ROLLCALL_SWEEP_SECONDS", default=15, least=1, most=3600))
# In memory: rows are the queue, so a clock that forgets its last ticks loses nothing, and leaves no file whose
# format and names depend on the machine's dbm.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    # A tick that waited longer than its interval in the queue is dropped: the next one does its work.
    name: {"task": name, "schedule": seconds, "options": {"expires": seconds}}
    for name, seconds in {
        # Hourly for what is needed monthly: a clock in memory forgets a day at each restart.
        "audit.tasks.make_months": 3600.0,
        "accounts.tasks.sweep_expiry": 60.0,
        "accounts.tasks.seal": 60.0,
        "provisioning.tasks.reconcile_due": _SWEEP,
        "provisioning.tasks.read_back_due": _SWEEP,
        "provisioning.tasks.follow_feeds": _SWEEP,
        "provisioning.tasks.execute_cleared_plans": _SWEEP,
        "provisioning.tasks.apply_received": _SWEEP,
        "provisioning.tasks.replay_due": _SWEEP,
        "provisioning.tasks.rebuild_due": 60.0,
        "provisioning.tasks.watch_freshness": 60.0,
        "provisioning.tasks.trim_rings": 600.0,
        "provisioning.tasks.fold_counts": 60.0,
        "governance.tasks.open_approvals": _SWEEP,
        "governance.tasks.lapse_approvals": 60.0,
        "governance.tasks.settle_campaigns": _SWEEP,
        "governance.tasks.write_notices": _SWEEP,
        "governance.tasks.send_notices": _SWEEP,
        "governance.tasks.certify": 600.0,
    }.items()
}

_mail_dir = os.environ.get("ROLLCALL_MAIL_DIR", "")
_mail_url = urlsplit(os.environ.get("EMAIL_URL", ""))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("ROLLCALL_MAIL_FROM", "rollcall@localhost")
if _mail_url.scheme in {"smtp", "smtps"} and _mail_url.hostname:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST = _mail_url.hostname
    EMAIL_PORT = _mail_url.port or (465 if _mail_url.scheme == "smtps" else 587)
    EMAIL_HOST_USER = unquote(_mail_url.username or "")
    EMAIL_HOST_PASSWORD = unquote(_mail_url.password or "")
    EMAIL_USE_SSL = _mail_url.scheme == "smtps"
    EMAIL_USE_TLS = _mail_url.scheme == "smtp"
    EMAIL_TIMEOUT = 20
elif os.environ.get("EMAIL_URL"):
    raise ImproperlyConfigured("EMAIL_URL must look like smtp://user:password@host:587 or smtps://…:465")
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = _mail_dir or str(ROLLCALL_STATE_DIR / "mail")


def _add_cause(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    from audit.cause import current_or_none  # noqa: PLC0415  models are not ready when settings load

    cause = current_or_none()
    if cause is not None:
        event.setdefault("cause", cause.pk)
    return event


def _without_secrets(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    clean: dict[str, Any] = redact(event)
    return clean


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _add_cause,
]
structlog.configure(
    processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _SHARED,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_secrets,
                structlog.processors.JSONRenderer(),
            ],
        }
    },
    "filters": {"paths": {"()": WithoutPaths}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["paths"]}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("ROLLCALL_LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "django.server": {"level": "WARNING"},
        # Its messages hold request bodies (django-scim2 logs them when DEBUG is on).
        "django_scim": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
    },
}
if LOGGING["root"]["level"] not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:  # type: ignore[index]
    raise ImproperlyConfigured("ROLLCALL_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
