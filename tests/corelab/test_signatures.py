"""A signature needs the person's own password, again, and not by guessing."""

from __future__ import annotations

import pytest

from corelab import audit, signatures
from corelab.errors import NotAllowed
from corelab.forms import PasswordChangeForm
from corelab.models import AuditEvent, Role, Signature
from corelab.models.signatures import Meaning
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def sign(make_user, make_submission):
    physicist, target = make_user(Role.PHYSICIST), make_submission()

    def attempt(password: str) -> Signature:
        with audit.acting(physicist, role="Physicist"):
            return signatures.sign(
                user=physicist,
                password=password,
                role="Physicist",
                meaning=Meaning.REVIEW,
                statement="I have reviewed this.",
                digest="0" * 64,
                target=target,
            )

    return attempt


def test_sign_when_the_password_is_right_then_name_role_and_digest_stand_in_the_row_and_the_log(sign):
    signature = sign(PASSWORD)
    assert (signature.printed_name, signature.role, signature.digest) == (signature.user.name, "Physicist", "0" * 64)
    assert AuditEvent.objects.get().after["signature"] == str(signature.pk)


def test_sign_when_the_password_is_wrong_then_nothing_is_signed(sign):
    with pytest.raises(NotAllowed, match="Nothing was signed"):
        sign("guess")
    assert not Signature.objects.exists()


def test_sign_when_guessed_too_often_then_even_the_right_password_waits(sign):
    for _ in range(signatures.WRONG_PASSWORDS):
        with pytest.raises(NotAllowed, match="not right"):
            sign("guess")
    with pytest.raises(NotAllowed, match="15 minutes"):
        sign(PASSWORD)
    assert not Signature.objects.exists()


def test_sign_when_right_in_between_then_the_count_begins_anew(sign):
    for _ in range(2):
        for _ in range(signatures.WRONG_PASSWORDS - 1):
            with pytest.raises(NotAllowed):
                sign("guess")
        assert sign(PASSWORD)


def test_password_change_when_guessed_too_often_then_signing_waits_too(sign, make_user):
    person = sign(PASSWORD).user
    for _ in range(signatures.WRONG_PASSWORDS):
        form = PasswordChangeForm({"old": "guess", "password": "a" * 20, "again": "a" * 20}, person=person)
        assert "not right" in form.errors["old"][0]
    form = PasswordChangeForm({"old": PASSWORD, "password": "a" * 20, "again": "a" * 20}, person=person)
    assert "15 minutes" in form.errors["old"][0]
    with pytest.raises(NotAllowed, match="15 minutes"):
        sign(PASSWORD)


def test_password_when_many_are_tried_at_once_then_no_more_are_compared_than_the_limit(make_user, monkeypatch):
    person, compared = make_user(), []

    def slow_comparison(password):
        # While this one is compared the others come in.
        compared.append(password)
        if len(compared) < 50:
            signatures.password_wrong(person, "guess")
        return False

    monkeypatch.setattr(person, "check_password", slow_comparison)
    signatures.password_wrong(person, "guess")
    assert len(compared) == signatures.WRONG_PASSWORDS
