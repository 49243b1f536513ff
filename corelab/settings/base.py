"""What all settings share. The environment is read here; the commit that runs is read where runs are named."""

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parents[2]
VAR_DIR = Path(os.environ.get("CORELAB_VAR_DIR", BASE_DIR / "var")).resolve()

SITE_NAME = os.environ.get("CORELAB_NAME", "PET core lab")
# Where people outside find this installation: it stands, with a QR code, on every certificate.
PUBLIC_URL = os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")


def _secret_key() -> str:
    """Return the key of the environment, of the var folder, or one that lives as long as this process."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    kept = VAR_DIR / "secret_key"
    return kept.read_text().strip() if kept.is_file() else get_random_secret_key()


SECRET_KEY = _secret_key()
DEBUG = False
ALLOWED_HOSTS = [host for host in os.environ.get("ALLOWED_HOSTS", "").split(",") if host]
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]

INSTALLED_APPS = [
    "corelab",
    "qc",
    "accreditation",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "django_htmx",
]

MIDDLEWARE = [
    "corelab.middleware.RequestIdMiddleware",
    # These two read before all others: the first how long the body is, the second then whatever was sent.
    "corelab.middleware.BodyLimitMiddleware",
    "corelab.middleware.NulMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corelab.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "corelab.middleware.SignInRequiredMiddleware",
    "corelab.middleware.IdleMiddleware",
    "corelab.middleware.SignedInMiddleware",
    "corelab.middleware.DomainErrorMiddleware",
]

ROOT_URLCONF = "corelab.urls"
WSGI_APPLICATION = "corelab.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "corelab.context.shared",
            ],
        },
    },
]

# --- database ---------------------------------------------------------------------------


def _host(parts: SplitResult) -> str:
    """Return the host as written: a socket folder travels percent-encoded in its place, and its case counts."""
    written = parts.netloc.rpartition("@")[2]
    return written.removesuffix(f":{parts.port}") if parts.port else written


def _database(url: str) -> dict[str, object]:
    """Read ``sqlite:////path`` or ``postgresql://user:password@host:port/name``."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path[1:]),
            # WAL with IMMEDIATE loses no write to a lock; FULL because "received" is promised after commit.
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;",
            },
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(_host(parts)),
        "PORT": parts.port or "",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


try:
    DATABASES = {"default": _database(os.environ.get("DATABASE_URL") or f"sqlite:///{VAR_DIR / 'db.sqlite3'}")}
except ValueError:
    # The error's own words hold part of the address, which may be the password.
    _message = (
        "DATABASE_URL cannot be read as an address: its host or port is malformed (the port is a number up to 65535, "
        "and :, / and @ in a password are written %3A, %2F and %40)."
    )
    raise ImproperlyConfigured(_message) from None
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- broker and cache -------------------------------------------------------------------


def _embedded_socket() -> Path:
    """Return where the embedded server listens; a socket's path may not pass 107 bytes."""
    wanted = VAR_DIR / "run" / "valkey.sock"
    if len(str(wanted)) < 100:
        return wanted
    digest = hashlib.sha256(str(VAR_DIR).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"corelab-{digest}" / "valkey.sock"


EMBEDDED_SOCKET = _embedded_socket()
REDIS_URL = os.environ.get("REDIS_URL", "")
CELERY_BROKER_URL = REDIS_URL or f"redis+socket://{EMBEDDED_SOCKET}?virtual_host=0"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL or f"unix://{EMBEDDED_SOCKET}?db=0",
        "KEY_PREFIX": "cache",
    }
}

# --- people -----------------------------------------------------------------------------

AUTH_USER_MODEL = "corelab.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "corelab:home-show"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "corelab.accounts.ClosedAccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # no e-mail leaves the system yet; people are invited by an administrator
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_FORMS = {"login": "corelab.forms.SignInForm"}
ACCOUNT_RATE_LIMITS = {"login_failed": "5/15m/key,50/15m/ip"}
PASSWORD_RESET_TIMEOUT = 7 * 24 * 60 * 60  # how long an invitation's link is good
SESSION_COOKIE_AGE = 60 * 60  # shortened by idleness, see corelab.middleware
SESSION_SAVE_EVERY_REQUEST = False
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = False
CSRF_FAILURE_VIEW = "corelab.views.csrf_failure"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# --- language, time, files --------------------------------------------------------------

LANGUAGE_CODE = "en-gb"
LANGUAGES = [("en-gb", "English")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
OBJECT_STORE_DIR = VAR_DIR / "objects"
UPLOAD_DIR = VAR_DIR / "uploads"
REPORT_DIR = VAR_DIR / "reports"

# One PATCH of a resumable upload; larger ones hold a web thread for too long.
UPLOAD_CHUNK_BYTES = 4 * 1024 * 1024
UPLOAD_FILE_MAX_BYTES = 4 * 1024**3
ZIP_MAX_RATIO = 50
ZIP_MAX_TOTAL_BYTES = 8 * 1024**3
ZIP_MAX_ENTRIES = 20_000
DRY_RUN_KEPT_DAYS = 30
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000
# Where larger bodies may come: the form with one file, and the resumable uploads, which hold to UPLOAD_CHUNK_BYTES.
FILE_FORM_VIEWS = frozenset({"qc:submission-files"})
RESUMABLE_VIEWS = frozenset({"qc:upload-create", "qc:upload-patch"})

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "corelab.request_ids.RequestIdFilter"}},
    "formatters": {"line": {"format": "{asctime} {levelname} {name} [{request_id}] {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
}
