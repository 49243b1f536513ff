"""Writes of the core app, one module a noun; each checks, changes and records in one transaction."""

from corelab.services.accounts import account_edit, account_password_change, fresh
from corelab.services.auditing import audit_verify
from corelab.services.people import (
    invitation_accept,
    invitation_for,
    invitation_make,
    membership_end,
    membership_grant,
    person_end,
    person_invite,
    person_open,
)
from corelab.services.registry import (
    calibrator_add,
    calibrator_edit,
    reconstruction_add,
    reconstruction_declare,
    reconstruction_edit,
    scanner_add,
    scanner_declare,
    scanner_edit,
    seen_of,
    site_add,
    site_edit,
    trial_add,
    trial_edit,
)

__all__ = [
    "account_edit",
    "account_password_change",
    "audit_verify",
    "calibrator_add",
    "calibrator_edit",
    "fresh",
    "invitation_accept",
    "invitation_for",
    "invitation_make",
    "membership_end",
    "membership_grant",
    "person_end",
    "person_invite",
    "person_open",
    "reconstruction_add",
    "reconstruction_declare",
    "reconstruction_edit",
    "scanner_add",
    "scanner_declare",
    "scanner_edit",
    "seen_of",
    "site_add",
    "site_edit",
    "trial_add",
    "trial_edit",
]
