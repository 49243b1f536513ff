"""Unit tests: fast hashing, no broker, files in a folder of their own."""

import os
import tempfile
from pathlib import Path

from corelab.settings.base import *  # noqa: F403

SECRET_KEY = "tests-only-key-of-no-value-anywhere-else"  # noqa: S105
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
if not os.environ.get("DATABASE_URL"):
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
# A thread of the live server lives as long as its browser; it must not keep a session of the database as long.
DATABASES["default"]["CONN_MAX_AGE"] = 0
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
WHITENOISE_AUTOREFRESH = True
_FILES = Path(tempfile.mkdtemp(prefix="corelab-test-"))
OBJECT_STORE_DIR = _FILES / "objects"
UPLOAD_DIR = _FILES / "uploads"
REPORT_DIR = _FILES / "reports"
