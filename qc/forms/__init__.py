"""Forms of the quality-control pages, one module a noun."""

from qc.forms.calibrators import ReadingForm, SourceForm
from qc.forms.place import FileForm, PlaceForm
from qc.forms.protocols import ProtocolForm, PublishForm
from qc.forms.queries import AnswerForm, AskForm, WordsForm
from qc.forms.review import RECOMMENDATIONS, ChecklistForm, ReasonForm, ReviewForm, SignForm, SuvChoiceForm
from qc.forms.scan_day import PatientForm
from qc.forms.sheet import FILLS_OF_KIND, EntryForm, SheetForm, kept_of, typed_of

__all__ = [
    "FILLS_OF_KIND",
    "RECOMMENDATIONS",
    "AnswerForm",
    "AskForm",
    "ChecklistForm",
    "EntryForm",
    "FileForm",
    "PatientForm",
    "PlaceForm",
    "ProtocolForm",
    "PublishForm",
    "ReadingForm",
    "ReasonForm",
    "ReviewForm",
    "SheetForm",
    "SignForm",
    "SourceForm",
    "SuvChoiceForm",
    "WordsForm",
    "kept_of",
    "typed_of",
]
