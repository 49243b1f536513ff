"""One machine, no secrets to set: what bin/demo and plain manage.py use."""

from corelab.settings.base import *  # noqa: F403

ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
