"""Writes to the register: sites, scanners, reconstructions, dose calibrators, trials. Administrators only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from corelab import access, audit
from corelab.errors import NotAllowed, Refused, StaleState
from corelab.models import DoseCalibrator, ReconstructionProfile, Scanner, Site, Trial, User

audit.catalogue(
    {
        "site.add": "A site was added to the register.",
        "site.edit": "A site's entry in the register was changed.",
        "scanner.add": "A scanner was added to the register.",
        "scanner.edit": "A scanner's entry in the register was changed.",
        "reconstruction.add": "A reconstruction of a scanner was added to the register.",
        "reconstruction.edit": "A reconstruction's entry in the register was changed.",
        "calibrator.add": "A dose calibrator was added to the register.",
        "calibrator.edit": "A dose calibrator's entry in the register was changed.",
        "trial.add": "A trial was added to the register.",
        "trial.edit": "A trial's entry in the register, or the sites that take part, were changed.",
    }
)

SITE_FIELDS = ("code", "name", "city", "country", "time_zone", "is_active")
SCANNER_FIELDS = ("manufacturer", "model", "serial", "software", "is_active")
RECONSTRUCTION_FIELDS = ("name", "method", "filter_fwhm_mm", "is_active")
CALIBRATOR_FIELDS = ("manufacturer", "model", "serial", "is_active")
TRIAL_FIELDS = ("code", "title", "is_active")
FIELDS: Mapping[type[models.Model], tuple[str, ...]] = {
    Site: SITE_FIELDS,
    Scanner: SCANNER_FIELDS,
    ReconstructionProfile: RECONSTRUCTION_FIELDS,
    DoseCalibrator: CALIBRATOR_FIELDS,
    Trial: TRIAL_FIELDS,
}


def _require_administrator(actor: User) -> None:
    if not access.is_administrator(actor):
        raise NotAllowed("Only an administrator keeps the register.")


def _values(row: models.Model) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in FIELDS[type(row)]}
    plain = {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}
    if isinstance(row, Trial):
        plain["sites"] = sorted(row.sites.values_list("code", flat=True)) if row.pk else []
    return plain


def seen_of(row: models.Model) -> str:
    """Return a short digest of a row's values: a form carries it, so that two people at once are noticed."""
    return hashlib.sha256(json.dumps(_values(row), sort_keys=True).encode()).hexdigest()[:16]


def _site_id(row: models.Model) -> int | None:
    if isinstance(row, Site):
        return row.pk
    return row.scanner.site_id if isinstance(row, ReconstructionProfile) else getattr(row, "site_id", None)


def _clean(row: models.Model) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise Refused("; ".join(error.messages), code="REGISTER-VALUES") from error


def _add(action: str, row: models.Model, *, actor: User, sites: Iterable[Site] = ()) -> None:
    _require_administrator(actor)
    _clean(row)
    row.save()
    if isinstance(row, Trial):
        row.sites.set(sites)
    audit.record(action, row, after=_values(row), site_id=_site_id(row))


def _edit(
    action: str,
    row: models.Model,
    *,
    actor: User,
    seen: str,
    reason: str,
    fields: Mapping[str, Any],
    sites: Iterable[Site] | None = None,
) -> None:
    _require_administrator(actor)
    # The row is locked before it is compared: the caller's object may be old.
    current = type(row)._default_manager.select_for_update().get(pk=row.pk)
    before = _values(current)
    if seen and seen != seen_of(current):
        raise StaleState("Someone else changed this meanwhile. Nothing you wrote is lost: compare, then save again.")
    for name, value in fields.items():
        setattr(current, name, value)
    _clean(current)
    current.save()
    if isinstance(current, Trial) and sites is not None:
        current.sites.set(sites)
    row.refresh_from_db()
    after = _values(current)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        audit.record(
            action,
            current,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
            reason=reason,
            site_id=_site_id(current),
        )


@transaction.atomic
def site_add(
    *, actor: User, code: str, name: str, city: str = "", country: str = "", time_zone: str = "Europe/London"
) -> Site:
    """Add a site.

    Raises
    ------
    NotAllowed
        The actor is no administrator.
    Refused
        A value is not fit, or the code is taken.
    """
    site = Site(code=code, name=name, city=city, country=country, time_zone=time_zone)
    _add("site.add", site, actor=actor)
    return site


@transaction.atomic
def site_edit(*, actor: User, site: Site, seen: str = "", reason: str = "", **fields: Any) -> Site:
    """Change a site's entry; ``seen`` is `seen_of` the row that the change was made from."""
    _edit("site.edit", site, actor=actor, seen=seen, reason=reason, fields=_known(fields, SITE_FIELDS))
    return site


@transaction.atomic
def scanner_add(*, actor: User, site: Site, manufacturer: str, model: str, serial: str, software: str = "") -> Scanner:
    """Add a scanner to a site; the same serial number of the same maker twice is refused."""
    scanner = Scanner(site=site, manufacturer=manufacturer, model=model, serial=serial, software=software)
    _add("scanner.add", scanner, actor=actor)
    return scanner


@transaction.atomic
def scanner_edit(*, actor: User, scanner: Scanner, seen: str = "", reason: str = "", **fields: Any) -> Scanner:
    """Change a scanner's entry."""
    _edit("scanner.edit", scanner, actor=actor, seen=seen, reason=reason, fields=_known(fields, SCANNER_FIELDS))
    return scanner


@transaction.atomic
def reconstruction_add(
    *, actor: User, scanner: Scanner, name: str, method: str = "", filter_fwhm_mm: Decimal | None = None
) -> ReconstructionProfile:
    """Add a reconstruction to a scanner."""
    row = ReconstructionProfile(scanner=scanner, name=name, method=method, filter_fwhm_mm=filter_fwhm_mm)
    _add("reconstruction.add", row, actor=actor)
    return row


@transaction.atomic
def reconstruction_edit(
    *, actor: User, reconstruction: ReconstructionProfile, seen: str = "", reason: str = "", **fields: Any
) -> ReconstructionProfile:
    """Change a reconstruction's entry."""
    known = _known(fields, RECONSTRUCTION_FIELDS)
    _edit("reconstruction.edit", reconstruction, actor=actor, seen=seen, reason=reason, fields=known)
    return reconstruction


@transaction.atomic
def calibrator_add(*, actor: User, site: Site, manufacturer: str, model: str, serial: str) -> DoseCalibrator:
    """Add a dose calibrator to a site."""
    calibrator = DoseCalibrator(site=site, manufacturer=manufacturer, model=model, serial=serial)
    _add("calibrator.add", calibrator, actor=actor)
    return calibrator


@transaction.atomic
def calibrator_edit(
    *, actor: User, calibrator: DoseCalibrator, seen: str = "", reason: str = "", **fields: Any
) -> DoseCalibrator:
    """Change a dose calibrator's entry."""
    known = _known(fields, CALIBRATOR_FIELDS)
    _edit("calibrator.edit", calibrator, actor=actor, seen=seen, reason=reason, fields=known)
    return calibrator


@transaction.atomic
def trial_add(*, actor: User, code: str, title: str, sites: Iterable[Site] = ()) -> Trial:
    """Add a trial and the sites that take part."""
    trial = Trial(code=code, title=title)
    _add("trial.add", trial, actor=actor, sites=sites)
    return trial


@transaction.atomic
def trial_edit(
    *,
    actor: User,
    trial: Trial,
    seen: str = "",
    reason: str = "",
    sites: Iterable[Site] | None = None,
    **fields: Any,
) -> Trial:
    """Change a trial's entry; ``sites=None`` leaves the sites as they are."""
    known = _known(fields, TRIAL_FIELDS)
    _edit("trial.edit", trial, actor=actor, seen=seen, reason=reason, fields=known, sites=sites)
    return trial


def _known(fields: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    unknown = sorted(set(fields) - set(names))
    if unknown:
        msg = f"no such field to change: {', '.join(unknown)}"
        raise TypeError(msg)
    return fields
