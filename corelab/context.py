"""What every template may use."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from corelab import access
from corelab.middleware import idle_s_of
from corelab.navigation import navigation

THEMES = frozenset({"auto", "light", "dark"})


def shared(request: HttpRequest) -> dict[str, Any]:
    """Return the lab's name, the person's roles, the bar and the theme."""
    user = getattr(request, "user", None)
    is_signed_in = user is not None and user.is_authenticated
    theme = user.theme if is_signed_in else request.COOKIES.get("theme", "auto")
    return {
        "lab_name": settings.SITE_NAME,
        "my_roles": access.all_roles_of(user) if is_signed_in else frozenset(),
        "theme": theme if theme in THEMES else "auto",
        "nav": SimpleLazyObject(lambda: navigation(request)),
        "idle_s": idle_s_of(user) if is_signed_in else 0,
    }
