"""Electronic signatures: who proved themselves signs a sentence about a digest."""

from __future__ import annotations

import logging

from django.core.cache import cache
from django.db import models
from django.utils import timezone

from corelab import audit
from corelab.errors import NotAllowed
from corelab.models import Signature, User
from corelab.models.signatures import Meaning

logger = logging.getLogger(__name__)

#: After so many wrong passwords in a row a person waits: whoever finds an open session must not guess.
WRONG_PASSWORDS = 5
WAIT_S = 15 * 60

audit.catalogue({"signature.sign": "A person signed, with their own factor, a statement about a digest."})


def sign(
    *, user: User, password: str, role: str, meaning: Meaning, statement: str, digest: str, target: models.Model
) -> Signature:
    """Sign a statement about a digest, in the caller's transaction.

    Parameters
    ----------
    password : str
        The account's own factor, given again at every signature.
    role : str
        The role in which the person signs, as text.
    digest : str
        SHA-256 of exactly what was shown and signed.

    Raises
    ------
    NotAllowed
        ``SIGN-PASSWORD``: the password is not right, or was wrong too often just now; nothing was signed.
    """
    _prove(user, password)
    signature = Signature.objects.create(
        user=user,
        printed_name=user.name,
        role=role,
        meaning=meaning,
        statement=statement,
        method="password",
        signed_at=timezone.now(),
        digest=digest,
        object_type=target._meta.label_lower,
        object_id=str(target.pk),
    )
    audit.record(
        "signature.sign",
        target,
        after={"meaning": meaning, "statement": statement, "digest": digest, "signature": str(signature.pk)},
    )
    return signature


def _prove(user: User, password: str) -> None:
    """Raise NotAllowed unless the password is the person's and they did not guess too often."""
    key = f"wrong-signing-passwords:{user.pk}"
    if cache.get(key, 0) >= WRONG_PASSWORDS:
        message = f"After {WRONG_PASSWORDS} wrong passwords signing waits {WAIT_S // 60} minutes. Nothing was signed."
        raise NotAllowed(message, code="SIGN-PASSWORD")
    if not user.is_active or not user.check_password(password):
        cache.add(key, 0, WAIT_S)
        wrong = cache.incr(key)
        logger.warning("wrong password at a signature, person %s, number %s", user.pk, wrong)
        raise NotAllowed("Password is not right. Nothing was signed.", code="SIGN-PASSWORD")
    cache.delete(key)
