"""Which submissions, drafts and uploads a person may see."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from corelab import access
from corelab.models import AuditEvent, User
from qc.models import Submission, Upload
from qc.selectors.lookup import by_number, only
from qc.states import SubmissionState as S

#: A site sees measured numbers only in these states; before, a physicist has not spoken yet.
NUMBERS_FOR_SITE = (S.RELEASED, S.PREVIEWED)


#: States in which something is still to be done.
OPEN_STATES = (S.CHECKING, S.SENT, S.ANALYSING, S.AWAITING_REVIEW, S.IN_REVIEW, S.HELD)


#: Why a submission is held where the fault is the lab's.
OUR_ERROR = "OUR-ERROR"


def _of_sites(user: User) -> Q:
    return Q(site_id__in=access.site_ids_of(user))


def _of_trials(user: User) -> Q:
    """Return the released submissions of the person's trials; a dry run is nobody's result."""
    return Q(trial_id__in=access.trial_ids_of(user), state=S.RELEASED, is_dry_run=False)


def _of_lab(user: User) -> Q:
    """Return all that was sent, for those whom no site or trial bounds."""
    if not access.sees_everything(user):
        return Q(pk__in=[])
    return ~Q(state=S.DRAFT) & ~Q(state=S.WITHDRAWN, sent_by__isnull=True)


def _with_names(queryset: QuerySet[Submission]) -> QuerySet[Submission]:
    return queryset.select_related("site", "scanner", "reconstruction", "trial", "reviewer", "current_run")


def submissions_visible_to(user: User) -> QuerySet[Submission]:
    """Return the submissions the person may look at, newest first, with all that a list row prints."""
    mine = _of_lab(user) | _of_sites(user) | _of_trials(user)
    return _with_names(Submission.objects.filter(mine))


def drafts_visible_to(user: User) -> QuerySet[Submission]:
    """Return the drafts the person may go on with."""
    return _with_names(Submission.objects.filter(_of_sites(user), state=S.DRAFT))


def submission_for(user: User, number: int | str) -> Submission:
    """Return one submission by its number, ``1001`` or ``S-1001``, or raise NotFound."""
    return by_number(submissions_visible_to(user), number, "S-")


def draft_for(user: User, number: int | str) -> Submission:
    """Return one draft that the person may change, or raise NotFound."""
    return by_number(drafts_visible_to(user), number, "S-")


def draft_id_for(user: User, number: int | str) -> UUID:
    """Return the id of one draft that the person may change, or raise NotFound; nothing else is read."""
    draft: Submission = by_number(drafts_visible_to(user).select_related(None).only("pk"), number, "S-")
    return draft.pk


def uploads_visible_to(user: User) -> QuerySet[Upload]:
    """Return the uploads of drafts the person may go on with."""
    return Upload.objects.filter(
        submission__site_id__in=access.site_ids_of(user), submission__state=S.DRAFT
    ).select_related("submission__site")


def upload_for(user: User, upload_id: UUID) -> Upload:
    """Return one upload, or raise NotFound."""
    upload: Upload = only(uploads_visible_to(user).filter(pk=upload_id))
    return upload


def history_of(submission: Submission) -> QuerySet[AuditEvent]:
    """Return what was done to a submission that the person was already allowed to see, newest first."""
    return AuditEvent.objects.filter(object_type="qc.submission", object_id=str(submission.pk))
