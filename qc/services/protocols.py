"""A trial's protocol, version by version: started, written, published with the day it begins, then frozen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone

from corelab import access, audit
from corelab.errors import NotAllowed, NotFound, Refused, StaleState
from corelab.models import Role, Trial, User
from qc import analysis, protocols, selectors
from qc.models import ProtocolVersion

audit.catalogue(
    {
        "protocol.start": "A physicist started a version of a trial's protocol.",
        "protocol.save": "A physicist changed a draft of a trial's protocol.",
        "protocol.publish": "A physicist published a version of a trial's protocol.",
    }
)


@transaction.atomic
def protocol_start(*, trial: Trial, actor: User, template: str = "") -> ProtocolVersion:
    """Start the next version of a trial's protocol; a draft that is there already is found.

    Parameters
    ----------
    template : str
        A key of `qc.protocols.TEMPLATES`; empty copies the last version.

    Raises
    ------
    NotAllowed
        Only a physicist writes protocols.
    Refused
        ``PROTOCOL-TEMPLATE``: no such template, or nothing to copy.
    """
    _require_physicist(actor)
    # Two people who start at once get one draft.
    Trial.objects.select_for_update().get(pk=trial.pk)
    last = ProtocolVersion.objects.filter(trial=trial).order_by("-version").first()
    if last is not None and last.published_at is None:
        return last
    if template:
        if template not in protocols.TEMPLATES:
            raise Refused("Choose what the protocol starts from.", code="PROTOCOL-TEMPLATE")
        document = protocols.template(template)
        document["trial"] = trial.code
    elif last is not None:
        document = last.document
    else:
        raise Refused("Choose what the protocol starts from.", code="PROTOCOL-TEMPLATE")
    protocol = ProtocolVersion.objects.create(
        trial=trial,
        version=last.version + 1 if last else 1,
        document=document,
        digest=analysis.digest(document),
        made_by=actor,
    )
    audit.record(
        "protocol.start",
        protocol,
        after={"version": protocol.version, "template": template, "digest": protocol.digest},
    )
    return protocol


@transaction.atomic
def protocol_save(
    *, protocol_id: int, actor: User, document: Mapping[str, Any], shown_digest: str = ""
) -> ProtocolVersion:
    """Keep a draft's document; the audit log keeps what it was before.

    Parameters
    ----------
    shown_digest : str
        Digest of the document that the change was made from: another one now is a StaleState.

    Raises
    ------
    Refused
        ``PROTOCOL-FROZEN``: it is published, and scans are judged by it. ``PROTOCOL-DOCUMENT``: it cannot be judged
        by, with everything that is wrong with it in words.
    NotAllowed, NotFound, StaleState
    """
    protocol = _draft(protocol_id, actor)
    wanted = audit.storable(dict(document))
    if found := protocols.problems(wanted):
        raise Refused(" ".join(found), code="PROTOCOL-DOCUMENT", problems=found)
    if shown_digest and shown_digest != protocol.digest:
        raise StaleState("Someone else changed this draft meanwhile. Compare, then save again.")
    digest = analysis.digest(wanted)
    if digest == protocol.digest:
        return protocol
    before = {"digest": protocol.digest, "document": protocol.document}
    _swap(protocol, document=wanted, digest=digest)
    audit.record("protocol.save", protocol, before=before, after={"digest": digest, "document": wanted})
    return protocol


@transaction.atomic
def protocol_publish(*, protocol_id: int, actor: User, effective_on: date, shown_digest: str = "") -> ProtocolVersion:
    """Publish a draft: scans from this day on are judged by it, and it never changes again.

    Raises
    ------
    Refused
        ``PROTOCOL-FROZEN``; ``PROTOCOL-DOCUMENT``; ``PROTOCOL-DAY``: an earlier version begins later, or holds on
        that day, which has passed. Only a trial's first version may begin on a past day, for a trial that runs already.
    NotAllowed, NotFound, StaleState
    """
    protocol = _draft(protocol_id, actor)
    if found := protocols.problems(protocol.document):
        raise Refused(" ".join(found), code="PROTOCOL-DOCUMENT", problems=found)
    if shown_digest and shown_digest != protocol.digest:
        raise StaleState("The draft changed while you were reading. Read it again before you publish.")
    earlier = ProtocolVersion.objects.filter(trial=protocol.trial, published_at__isnull=False)
    last = earlier.order_by("-effective_on").first()
    if last is not None and last.effective_on is not None and effective_on < last.effective_on:
        raise Refused(
            f"Version {last.version} begins on {last.effective_on:%d %b %Y}. Choose that day or a later one.",
            code="PROTOCOL-DAY",
        )
    if last is not None and effective_on < timezone.now().date():
        raise Refused(
            f"That day has passed, and its scans are judged by version {last.version}. Choose today or a later day.",
            code="PROTOCOL-DAY",
        )
    _swap(protocol, effective_on=effective_on, published_at=timezone.now())
    audit.record(
        "protocol.publish",
        protocol,
        after={"version": protocol.version, "effective_on": effective_on.isoformat(), "digest": protocol.digest},
    )
    return protocol


# --- the steps -------------------------------------------------------------------------------


def _require_physicist(actor: User) -> None:
    if Role.PHYSICIST not in access.lab_roles_of(actor):
        raise NotAllowed("A physicist writes protocols.")


def _draft(protocol_id: int, actor: User) -> ProtocolVersion:
    protocol = selectors.protocols_visible_to(actor).filter(pk=protocol_id).first()
    if protocol is None:
        raise NotFound("There is nothing here, or it is not yours to see.")
    _require_physicist(actor)
    if protocol.published_at is not None:
        raise Refused(
            f"Version {protocol.version} is published, and scans are judged by it. It does not change any more: "
            "start the next version.",
            code="PROTOCOL-FROZEN",
        )
    return protocol


def _swap(protocol: ProtocolVersion, **values: Any) -> None:
    """Change a draft that is still what was read; of two at once the slower one is told."""
    mine = ProtocolVersion.objects.filter(pk=protocol.pk, published_at__isnull=True, digest=protocol.digest)
    if not mine.update(changed_at=timezone.now(), **values):
        raise StaleState("Someone else changed this draft meanwhile. Compare, then do it again.")
    for name, value in values.items():
        setattr(protocol, name, value)
