"""Tables of a scan's life, one module a noun."""

from qc.models.calibrators import CalibratorReading, ReferenceSource
from qc.models.choices import SuvChoice
from qc.models.drifts import Drift
from qc.models.files import ReceivedFile, Upload
from qc.models.protocols import ProtocolVersion
from qc.models.queries import Query, QueryMessage
from qc.models.reviews import ChecklistAnswer, Review
from qc.models.runs import Figure, Report, Run
from qc.models.submissions import Submission
from qc.models.trial_reports import TrialReport

__all__ = [
    "CalibratorReading",
    "ChecklistAnswer",
    "Drift",
    "Figure",
    "ProtocolVersion",
    "Query",
    "QueryMessage",
    "ReceivedFile",
    "ReferenceSource",
    "Report",
    "Review",
    "Run",
    "Submission",
    "SuvChoice",
    "TrialReport",
    "Upload",
]
