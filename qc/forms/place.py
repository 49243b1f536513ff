"""What is sent and where it was scanned: the first step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms

from phantoms import standards
from qc.analysis import OWN_STANDARD

#: What can be sent; the words are those of the radio buttons.
KINDS = [
    ("cylinder", "Uniform cylinder"),
    ("nema_iq", "NEMA IQ phantom"),
    ("acr", "ACR PET phantom"),
    ("patient", "Patient scan for a trial"),
]
KIND_HINTS = {
    "cylinder": "Calibration: the scanner against your dose calibrator.",
    "nema_iq": "Image quality: how well six spheres of 10 to 37 mm are recovered.",
    "acr": "Background, four hot cylinders of 8 to 25 mm, rods and uniformity, by the ACR's own limits.",
    "patient": "We check whether its SUV can be worked out.",
}


class GroupedSelect(forms.Select):
    """A select whose options carry the scanner they belong to, for the script that hides the others."""

    template_name = "django/forms/widgets/select.html"

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the option with ``data-scanner`` where its row has a scanner."""
        option = super().create_option(name, value, *args, **kwargs)
        if scanner_id := getattr(getattr(value, "instance", None), "scanner_id", None):
            option["attrs"]["data-scanner"] = str(scanner_id)
        return option


class _GroupedIterator(forms.models.ModelChoiceIterator):
    """Choices under the name of what they belong to, where there is more than one such group."""

    def __iter__(self) -> Iterator[Any]:
        if self.field.empty_label is not None:
            yield ("", self.field.empty_label)
        groups: dict[str, list[Any]] = {}
        for row in self.queryset:
            groups.setdefault(self.field.group_of(row), []).append(self.choice(row))
        if len(groups) == 1:
            yield from next(iter(groups.values()))
        else:
            yield from groups.items()


class GroupedModelChoiceField(forms.ModelChoiceField):
    """A choice of rows, grouped by an attribute."""

    iterator = _GroupedIterator

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        self.group = group
        super().__init__(*args, **kwargs)

    def group_of(self, row: Any) -> str:
        """Return the heading under which the row stands."""
        return str(getattr(row, self.group))


def standard_choices() -> list[tuple[str, str]]:
    """Return the standards that a site chooses among: those that judge scans and that no phantom has to itself."""
    own = set(OWN_STANDARD.values())
    found = [standards.load(standard_id) for standard_id in standards.available() if standard_id not in own]
    return [(standard.id, standard.title) for standard in found]


class PlaceForm(forms.Form):
    """What, where, for whom.

    Parameters
    ----------
    scanners, reconstructions, calibrators, trials : QuerySet
        What the person may choose from; the view takes them from selectors.
    """

    kind = forms.ChoiceField(
        label="What are you sending?",
        choices=KINDS,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what you are sending."},
    )
    scanner = GroupedModelChoiceField(
        label="Scanner",
        queryset=None,
        group="site",
        empty_label="Choose a scanner",
        error_messages={"required": "Choose the scanner."},
        widget=forms.Select(attrs={"class": "form-select w-m"}),
    )
    reconstruction = GroupedModelChoiceField(
        label="Reconstruction",
        queryset=None,
        group="scanner",
        required=False,
        empty_label="Something else, or not listed",
        widget=GroupedSelect(attrs={"class": "form-select w-m"}),
    )
    standard = forms.ChoiceField(
        label="Judge it against", initial="earl1_18f", widget=forms.Select(attrs={"class": "form-select w-m"})
    )
    trial = forms.ModelChoiceField(
        label="Trial",
        queryset=None,
        required=False,
        empty_label="Choose a trial",
        widget=forms.Select(attrs={"class": "form-select w-m"}),
    )
    subject_code = forms.CharField(
        label="Subject code",
        max_length=32,
        required=False,
        help_text="The trial's own code. Never a name, a date of birth or a hospital number.",
        widget=forms.TextInput(attrs={"class": "form-control w-s", "autocomplete": "off"}),
    )
    visit = forms.CharField(
        label="Visit",
        max_length=64,
        required=False,
        help_text="As the trial calls it: baseline, interim.",
        widget=forms.TextInput(attrs={"class": "form-control w-m", "autocomplete": "off"}),
    )
    calibrator = GroupedModelChoiceField(
        label="Dose calibrator",
        queryset=None,
        group="site",
        required=False,
        empty_label="Not listed",
        help_text="The one on which the activity was measured.",
        widget=forms.Select(attrs={"class": "form-select w-m"}),
    )
    is_dry_run = forms.BooleanField(
        label="This is a dry run",
        required=False,
        help_text="Same measurement, marked unofficial, not reviewed, not counted, deleted after 30 days.",
    )

    def __init__(
        self,
        *args: Any,
        scanners: Any,
        reconstructions: Any,
        calibrators: Any,
        trials: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, queryset in (
            ("scanner", scanners),
            ("reconstruction", reconstructions),
            ("calibrator", calibrators),
            ("trial", trials),
        ):
            self.fields[name].queryset = queryset
        self.fields["standard"].choices = standard_choices()

    def kind_choices(self) -> list[tuple[Any, str]]:
        """Return the kinds as radio buttons, each with its hint."""
        return [(radio, KIND_HINTS[str(radio.data["value"])]) for radio in self["kind"]]

    def clean(self) -> dict[str, Any]:
        """Check what belongs together: reconstruction and calibrator to the scanner, trial and code to a patient."""
        values = super().clean() or self.cleaned_data
        scanner, reconstruction = values.get("scanner"), values.get("reconstruction")
        if scanner and reconstruction and reconstruction.scanner_id != scanner.pk:
            self.add_error("reconstruction", f"This reconstruction is not one of {scanner}. Choose one that is.")
        calibrator = values.get("calibrator")
        if scanner and calibrator and calibrator.site_id != scanner.site_id:
            self.add_error("calibrator", f"This calibrator does not stand at {scanner.site}. Choose one that does.")
        if own := OWN_STANDARD.get(values.get("kind", "")):
            values["standard"] = own
        if values.get("kind") == "patient":
            self._clean_patient(values)
        else:
            values |= {"trial": None, "subject_code": "", "visit": ""}
        return values

    def _clean_patient(self, values: dict[str, Any]) -> None:
        if not values.get("trial"):
            self.add_error("trial", "Choose the trial that the scan belongs to.")
        if not values.get("subject_code"):
            self.add_error("subject_code", "Enter the trial's code of the subject.")
        elif not _looks_like_a_code(values["subject_code"]):
            self.add_error(
                "subject_code", "This does not look like a trial's code. Use letters, figures, hyphens; never a name."
            )


def _looks_like_a_code(text: str) -> bool:
    """Say whether a text can be a code: no blanks, at least one figure."""
    return not any(character.isspace() for character in text) and any(character.isdigit() for character in text)


class FileForm(forms.Form):
    """One file sent without script: a zip of the folder, or a single image."""

    file = forms.FileField(
        label="A zip of the folder, or one file",
        allow_empty_file=False,
        widget=forms.ClearableFileInput(attrs={"class": "form-control w-l"}),
        error_messages={
            "required": "Choose a file first.",
            "empty": "This file is empty. Choose another one.",
        },
    )
