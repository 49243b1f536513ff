"""Forms of the quality-control pages, one module a noun."""

from qc.forms.place import FileForm, PlaceForm
from qc.forms.review import RECOMMENDATIONS, ChecklistForm, ReasonForm, ReviewForm, SignForm
from qc.forms.sheet import FILLS_OF_KIND, EntryForm, PatientForm, SheetForm, kept_of, typed_of

__all__ = [
    "FILLS_OF_KIND",
    "RECOMMENDATIONS",
    "ChecklistForm",
    "EntryForm",
    "FileForm",
    "PatientForm",
    "PlaceForm",
    "ReasonForm",
    "ReviewForm",
    "SheetForm",
    "SignForm",
    "kept_of",
    "typed_of",
]
