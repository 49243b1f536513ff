"""Tables of a scan's life, one module a noun."""

from qc.models.files import ReceivedFile, Upload
from qc.models.reviews import ChecklistAnswer, Review
from qc.models.runs import Figure, Report, Run
from qc.models.submissions import Submission

__all__ = ["ChecklistAnswer", "Figure", "ReceivedFile", "Report", "Review", "Run", "Submission", "Upload"]
