"""Tables of the core app, one module a noun."""

from corelab.models.accounts import Membership, Role, User
from corelab.models.audit import AuditEvent, AuditHead
from corelab.models.governance import Clearance
from corelab.models.registry import DoseCalibrator, ReconstructionProfile, Scanner, Site, Trial
from corelab.models.signatures import Signature
from corelab.models.storage import StoredObject
from corelab.models.work import Attempt, Counter, Work

__all__ = [
    "Attempt",
    "AuditEvent",
    "AuditHead",
    "Clearance",
    "Counter",
    "DoseCalibrator",
    "Membership",
    "ReconstructionProfile",
    "Role",
    "Scanner",
    "Signature",
    "Site",
    "StoredObject",
    "Trial",
    "User",
    "Work",
]
