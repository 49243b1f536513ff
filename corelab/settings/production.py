"""Production: refuses to start without its secret, hosts, public address, database, broker and TLS."""

import os
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from corelab.settings.base import *  # noqa: F403

for _name in ("SECRET_KEY", "ALLOWED_HOSTS", "PUBLIC_URL", "DATABASE_URL", "REDIS_URL", "CSRF_TRUSTED_ORIGINS"):
    if not os.environ.get(_name):
        _message = f"Set {_name} in the environment: production does not start without it."
        raise ImproperlyConfigured(_message)

# A certificate is signed with this address on it: a wrong one stands there for as long as the paper lasts.
PUBLIC_URL = os.environ["PUBLIC_URL"].rstrip("/")
_parts = urlsplit(PUBLIC_URL)
if _parts.scheme != "https" or not _parts.hostname or _parts.path or _parts.query or _parts.fragment or _parts.username:
    _message = (
        "PUBLIC_URL is where people outside find the lab, and stands on every certificate: write it as https:// and a "
        "host, with nothing behind it."
    )
    raise ImproperlyConfigured(_message)

SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

# The address that sign-in limits count by is the one that the lab's own proxy saw, not the proxy's.
ALLAUTH_TRUSTED_PROXY_COUNT = 1
