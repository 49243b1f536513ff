"""Production: refuses to start without its secret, hosts, database, broker and TLS."""

import os

from django.core.exceptions import ImproperlyConfigured

from corelab.settings.base import *  # noqa: F403

for _name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL", "CSRF_TRUSTED_ORIGINS"):
    if not os.environ.get(_name):
        _message = f"Set {_name} in the environment: production does not start without it."
        raise ImproperlyConfigured(_message)

SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

# The address that sign-in limits count by is the one that the lab's own proxy saw, not the proxy's.
ALLAUTH_TRUSTED_PROXY_COUNT = 1
