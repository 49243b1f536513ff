"""Rows for tests: neutral people and places, one function a noun."""

from __future__ import annotations

import datetime
from itertools import count
from typing import Any

from corelab.models import DoseCalibrator, Membership, ReconstructionProfile, Role, Scanner, Site, Trial, User
from qc.models import CalibratorReading, ReferenceSource, Submission
from qc.states import SubmissionState

PASSWORD = "correct horse battery staple"
_serial = count(1)


def user(role: str | None = None, *, site: Site | None = None, trial: Trial | None = None, **fields: Any) -> User:
    """Make a person, with one role in force since long ago."""
    number = next(_serial)
    label = str(Role(role).label) if role else "Person"
    made = User.objects.create_user(
        fields.pop("email", f"person{number}@example.org"),
        PASSWORD,
        name=fields.pop("name", f"{label} {number}"),
        **fields,
    )
    if role:
        Membership.objects.create(user=made, role=role, site=site, trial=trial, from_on=datetime.date(2020, 1, 1))
    return made


def site(**fields: Any) -> Site:
    """Make a site."""
    number = next(_serial)
    return Site.objects.create(**{"code": f"site-{number}", "name": f"Site {number}"} | fields)


def scanner(of: Site | None = None, **fields: Any) -> Scanner:
    """Make a scanner with one reconstruction."""
    made = Scanner.objects.create(
        **{"site": of or site(), "manufacturer": "Digital", "model": "Phantom 1", "serial": f"{next(_serial):05}"}
        | fields
    )
    ReconstructionProfile.objects.create(scanner=made, name="OSEM 3i24s 4 mm", method="OSEM3D 3i24s")
    return made


def calibrator(of: Site) -> DoseCalibrator:
    """Make a dose calibrator."""
    return DoseCalibrator.objects.create(site=of, manufacturer="Digital", model="Well", serial=f"{next(_serial):05}")


def reading(of: DoseCalibrator) -> CalibratorReading:
    """Make a reading of a reference source, and the source."""
    by = user(Role.SITE_USER, site=of.site)
    source = ReferenceSource.objects.create(
        calibrator=of, nuclide="Cs-137", activity_mbq=9.2, certified_on=datetime.date(2020, 1, 15), added_by=by
    )
    at = datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC)
    return CalibratorReading.objects.create(source=source, read_at=at, activity_mbq=7.99, entered_by=by)


def trial(*sites: Site, **fields: Any) -> Trial:
    """Make a trial in which these sites take part."""
    number = next(_serial)
    made = Trial.objects.create(**{"code": f"trial-{number}", "title": f"Trial {number}"} | fields)
    made.sites.set(sites)
    return made


def submission(*, of: Site | None = None, state: str = SubmissionState.DRAFT, **fields: Any) -> Submission:
    """Make a submission in any state, without walking there."""
    where = of or site()
    machine = fields.pop("scanner", None) or where.scanners.first() or scanner(where)
    return Submission.objects.create(
        **{
            "number": 1000 + next(_serial),
            "site": where,
            "scanner": machine,
            "reconstruction": machine.reconstructions.first(),
            "kind": "cylinder",
            "state": state,
            "created_by": fields.pop("created_by", None) or user(Role.SITE_USER, site=where),
        }
        | fields
    )
