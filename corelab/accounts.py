"""How allauth is bent to a closed house: nobody signs up, an administrator invites."""

from __future__ import annotations

from typing import ClassVar

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class ClosedAccountAdapter(DefaultAccountAdapter):
    """Sign-in by e-mail for people whom an administrator added."""

    error_messages: ClassVar[dict[str, str]] = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "Email or password is not right. After 5 tries this account waits 15 minutes.",
        "too_many_login_attempts": "After 5 tries this account waits 15 minutes. Try again later.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Refuse every sign-up."""
        return False

    def add_message(self, *args: object, **kwargs: object) -> None:
        """Say nothing: the page itself shows that one is signed in or out."""
