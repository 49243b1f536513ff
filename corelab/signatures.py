"""Electronic signatures: who proved themselves signs a sentence about a digest."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from corelab import audit
from corelab.errors import NotAllowed
from corelab.models import Signature, User
from corelab.models.signatures import Meaning

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
        The password is not right; nothing was signed.
    """
    if not user.is_active or not user.check_password(password):
        raise NotAllowed("Password is not right. Nothing was signed.", code="SIGN-PASSWORD")
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
