"""What every template may use."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from corelab import access


def shared(request: HttpRequest) -> dict[str, Any]:
    """Return the lab's name and the person's roles."""
    user = getattr(request, "user", None)
    roles = access.all_roles_of(user) if user is not None and user.is_authenticated else frozenset()
    return {"lab_name": settings.SITE_NAME, "my_roles": roles}
