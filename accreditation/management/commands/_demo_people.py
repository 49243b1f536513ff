"""The demonstration's register and people: neutral places, one person a role, passwords kept in a private file."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from corelab import audit, services
from corelab.models import Role, Scanner, Site, Trial, User
from corelab.services.founding import administrator_found

TRIAL = "DEMO-1"
#: The trial whose scans are judged by a protocol and reported.
CONFORMANCE_TRIAL = "DEMO-2"
RECONSTRUCTION = "PSF+TOF 3i21s 4 mm"
#: What the digital scans of the second part are drawn on.
MATRIX, PIXEL_MM, SLICE_MM = 100, 4.0, 4.0
KERNEL = "XYZ Gauss4.00"
TIME_ZONE = "Europe/London"


@dataclass(frozen=True)
class Account:
    """One person's sign-in."""

    email: str
    name: str
    role: str
    where: str
    password: str


#: E-mail, printed name, role, and the site or the trials it is given for.
PEOPLE = (
    ("administrator@example.org", "Administrator 1", Role.ADMINISTRATOR, ""),
    ("north@example.org", "Site user North", Role.SITE_USER, "north"),
    ("south@example.org", "Site user South", Role.SITE_USER, "south"),
    ("west@example.org", "Site user West", Role.SITE_USER, "west"),
    ("east@example.org", "Site user East", Role.SITE_USER, "east"),
    ("technician@example.org", "Technician 1", Role.TECHNICIAN, ""),
    ("physicist@example.org", "Physicist 1", Role.PHYSICIST, ""),
    ("approver@example.org", "Approver 1", Role.APPROVER, ""),
    ("trial-manager@example.org", "Trial manager 1", Role.TRIAL_MANAGER, f"{TRIAL}, {CONFORMANCE_TRIAL}"),
    ("monitor@example.org", "Monitor 1", Role.MONITOR, f"{TRIAL}, {CONFORMANCE_TRIAL}"),
    ("auditor@example.org", "Auditor 1", Role.AUDITOR, ""),
)
SITES = (("north", "Site North"), ("south", "Site South"), ("west", "Site West"), ("east", "Site East"))
#: Site and serial number of each scanner; all are of the make that the digital scans carry in their headers.
SCANNERS = (("north", "1"), ("south", "2"), ("west", "3"), ("west", "4"), ("east", "5"))
TRIALS = (
    (TRIAL, "Demonstration trial", ("north", "south")),
    (CONFORMANCE_TRIAL, "Demonstration of a lymphoma trial", ("south", "west")),
)


def accounts_in(path: Path) -> list[Account]:
    """Return everybody's sign-in, from the file if it is there; else new ones, written before they are used."""
    if path.is_file():
        return [Account(**about) for about in json.loads(path.read_text())]
    made = [
        Account(email=email, name=name, role=str(role.label), where=where, password=secrets.token_urlsafe(12))
        for email, name, role, where in PEOPLE
    ]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump([asdict(account) for account in made], file, indent=1)
    return made


def find_or_make(accounts: Sequence[Account]) -> User:
    """Make what is not there yet of the register and the people; return the administrator."""
    passwords = {account.email: account.password for account in accounts}
    email, name, role, _ = PEOPLE[0]
    administrator = User.objects.filter(email=email).first()
    if administrator is None:
        with audit.acting(name="system: demo"):
            administrator = administrator_found(email=email, name=name)
        _choose_password(administrator, administrator, passwords[email])
    with audit.acting(administrator, role=str(role.label)):
        for code, title in SITES:
            site = Site.objects.filter(code=code).first() or services.site_add(
                actor=administrator, code=code, name=title, time_zone=TIME_ZONE
            )
            if not site.calibrators.exists():
                services.calibrator_add(
                    actor=administrator,
                    site=site,
                    manufacturer="Digital",
                    model="Ion chamber",
                    serial=f"{code}-1",
                )
        for code, serial in SCANNERS:
            scanner_find_or_make(administrator, Site.objects.get(code=code), "SIEMENS", "Digital PET", serial, "1")
        for code, title, of_sites in TRIALS:
            if not Trial.objects.filter(code=code).exists():
                services.trial_add(
                    actor=administrator, code=code, title=title, sites=Site.objects.filter(code__in=of_sites)
                )
        for email, name, role, where in PEOPLE[1:]:
            if not User.objects.filter(email=email).exists():
                _invite(administrator, email, name, role, where, passwords[email])
    return administrator


def scanner_find_or_make(
    administrator: User, site: Site, manufacturer: str, model: str, serial: str, software: str, method: str = ""
) -> Scanner:
    """Return the scanner with this maker and serial number, adding it and one reconstruction where it is new."""
    scanner = Scanner.objects.filter(manufacturer=manufacturer, serial=serial).first()
    if scanner is None:
        with audit.acting(administrator, role="Administrator"):
            scanner = services.scanner_add(
                actor=administrator, site=site, manufacturer=manufacturer, model=model, serial=serial, software=software
            )
            services.reconstruction_add(
                actor=administrator,
                scanner=scanner,
                **({"name": method, "method": method} if method else _as_drawn(serial)),
            )
    return scanner


def _as_drawn(serial: str) -> dict[str, Any]:
    """Return the reconstruction of the digital scans; the grid of the first part's is not one, so it is left open."""
    drawn = {"name": RECONSTRUCTION, "method": "PSF+TOF 3i21s", "filter_fwhm_mm": Decimal("4.0")}
    grid = {"kernel": KERNEL, "matrix": MATRIX, "pixel_mm": Decimal(PIXEL_MM), "slice_mm": Decimal(SLICE_MM)}
    return drawn if serial == "1" else drawn | grid


def _invite(administrator: User, email: str, name: str, role: Role, where: str, password: str) -> None:
    """Invite a person, let them choose their password, and give the same role for what else they have it for."""
    trials = list(Trial.objects.filter(code__in=where.split(", ")).order_by("code"))
    person = services.person_invite(
        actor=administrator,
        email=email,
        name=name,
        role=role,
        site=Site.objects.filter(code=where).first(),
        trial=next(iter(trials), None),
    )
    for trial in trials[1:]:
        services.membership_grant(actor=administrator, person=person, role=role, trial=trial)
    _choose_password(administrator, person, password)


def _choose_password(administrator: User, person: User, password: str) -> None:
    """Go the way of an invited person: a link, good once, and a password of one's own."""
    with audit.acting(administrator, role="Administrator"):
        uid, token = services.invitation_make(actor=administrator, person=person)
        services.invitation_accept(uid=uid, token=token, password=password)
