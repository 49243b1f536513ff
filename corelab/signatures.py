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
    if wrong := password_wrong(user, password):
        raise NotAllowed(f"{wrong} Nothing was signed.", code="SIGN-PASSWORD")
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


def password_wrong(user: User, password: str) -> str:
    """Say what is wrong with a password that a signed-in person gives again; empty where it is theirs.

    All that ask count together: no page may be the one at which the password for signing is guessed.
    """
    key = f"wrong-passwords:{user.pk}"
    # Counted before it is compared: of many tries at once none slips past the limit.
    if _count(key) > WRONG_PASSWORDS:
        return f"After {WRONG_PASSWORDS} wrong passwords this waits {WAIT_S // 60} minutes."
    if not user.is_active or not user.check_password(password):
        logger.warning("wrong password of a signed-in person, %s", user.pk)
        return "Password is not right."
    cache.delete(key)
    return ""


def _count(key: str) -> int:
    while True:
        cache.add(key, 0, WAIT_S)
        try:
            return int(cache.incr(key))
        except ValueError:  # its time ended between the two
            continue
