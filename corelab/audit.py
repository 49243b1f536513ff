"""The audit log: every write records who, what, before, after and why, in the same transaction.

Rows are chained: each row's hash covers its own content and the hash before it, so a changed, missing or
inserted row breaks the chain from there on. The database refuses UPDATE and DELETE by triggers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import connection, models
from django.utils import timezone

from corelab.models import AuditEvent, AuditHead, User

FIRST_HASH = "0" * 64

#: Every action that can be recorded, with the sentence that explains it. Packages add theirs on import.
CATALOGUE: dict[str, str] = {}


def catalogue(actions: Mapping[str, str]) -> None:
    """Add actions to the catalogue; the same name twice is a mistake in the program."""
    for name, sentence in actions.items():
        if CATALOGUE.get(name, sentence) != sentence:
            msg = f"audit action {name} is described twice"
            raise ValueError(msg)
        CATALOGUE[name] = sentence


@dataclass(frozen=True)
class Acting:
    """On whose behalf the program acts now: a person, or the system by the name of its job."""

    user: User | None
    name: str
    role: str = ""
    request_id: str = ""


_acting: ContextVar[Acting | None] = ContextVar("acting", default=None)


@contextmanager
def acting(user: User | None = None, *, name: str = "", role: str = "", request_id: str = "") -> Iterator[None]:
    """Say who acts within the block; without a person, ``name`` is ``system: …``."""
    token = _acting.set(Acting(user=user, name=name or (user.name if user else ""), role=role, request_id=request_id))
    try:
        yield
    finally:
        _acting.reset(token)


def current() -> Acting:
    """Return who acts now, or fail: a write without an actor is a mistake in the program."""
    who = _acting.get()
    if who is None:
        msg = "nobody acts: wrap the write in audit.acting(…)"
        raise RuntimeError(msg)
    return who


#: Up to here every integer is a float of its own.
_EXACT_INTEGERS = 2**53


def storable(value: Any) -> Any:
    """Return a JSON value as every database gives it back: hash it, and store it, as this.

    PostgreSQL keeps numbers as decimals: -0.0 comes back as 0.0, and 1e22 as an integer.
    """
    if isinstance(value, Mapping):
        return {key: storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [storable(one) for one in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) >= _EXACT_INTEGERS else value + 0.0
    return value


def _digest(previous_hash: str, content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{previous_hash}\n{canonical}".encode()).hexdigest()


def _content(event: AuditEvent) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "action": event.action,
        "actor": str(event.actor_id) if event.actor_id else None,
        "actor_name": event.actor_name,
        "actor_role": event.actor_role,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_label": event.object_label,
        "site_id": event.site_id,
        "before": event.before,
        "after": event.after,
        "reason": event.reason,
        "request_id": event.request_id,
    }


def record(
    action: str,
    target: models.Model,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    site_id: int | None = None,
) -> AuditEvent:
    """Append one row to the chain, inside the caller's transaction.

    ``before`` and ``after`` hold plain JSON values of what changed; never a patient's name or a file's name.
    """
    if not connection.in_atomic_block:
        msg = f"{action}: audit rows are written in the transaction of the change"
        raise RuntimeError(msg)
    if action not in CATALOGUE:
        msg = f"{action} is not in the audit catalogue"
        raise ValueError(msg)
    who = current()
    head = AuditHead.objects.select_for_update().get(pk=1)
    event = AuditEvent(
        sequence=head.sequence + 1,
        at=timezone.now(),
        action=action,
        actor=who.user,
        actor_name=who.name,
        actor_role=who.role,
        object_type=target._meta.label_lower,
        object_id=str(target.pk),
        object_label=str(target)[:200],
        site_id=site_id if site_id is not None else getattr(target, "site_id", None),
        before=storable(before or {}),
        after=storable(after or {}),
        reason=reason,
        request_id=who.request_id,
        previous_hash=head.hash,
    )
    event.hash = _digest(head.hash, _content(event))
    event.save(force_insert=True)
    head.sequence, head.hash = event.sequence, event.hash
    head.save(update_fields=["sequence", "hash"])
    return event


@dataclass(frozen=True)
class Verification:
    """What a walk along the chain found."""

    rows: int
    intact: bool
    first_break: int | None


def verify() -> Verification:
    """Walk the whole chain, oldest first, in flat memory; what is appended meanwhile is walked too."""
    previous, rows = FIRST_HASH, 0
    while True:
        walked = rows
        for event in AuditEvent.objects.filter(sequence__gt=rows).order_by("sequence").iterator(chunk_size=2_000):
            rows += 1
            if (
                event.sequence != rows
                or event.previous_hash != previous
                or event.hash != _digest(previous, _content(event))
            ):
                return Verification(rows=rows, intact=False, first_break=event.sequence)
            previous = event.hash
        head = AuditHead.objects.get(pk=1)
        if (head.sequence, head.hash) == (rows, previous):
            return Verification(rows=rows, intact=True, first_break=None)
        if rows == walked or head.sequence < rows:
            return Verification(rows=rows, intact=False, first_break=rows + 1)
