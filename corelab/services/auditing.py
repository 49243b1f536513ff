"""The walk along the audit chain, which is itself recorded."""

from __future__ import annotations

from django.db import transaction

from corelab import access, audit
from corelab.errors import NotAllowed
from corelab.models import AuditEvent, AuditHead, User

audit.catalogue({"audit.verify": "The audit chain was walked from its first row to its last."})


@transaction.atomic
def audit_verify(*, actor: User) -> AuditEvent:
    """Walk the chain and record what was found: how many rows, intact or where it breaks."""
    if not access.lab_roles_of(actor) & access.OVERSIGHT_ROLES:
        raise NotAllowed("Only an auditor or an administrator verifies the audit chain.")
    found = audit.verify()
    return audit.record(
        "audit.verify",
        AuditHead.objects.get(pk=1),
        after={"rows": found.rows, "intact": found.intact, "first_break": found.first_break},
    )
