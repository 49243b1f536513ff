"""What arrived: whether it can be read, is one study, and is a whole, original and unaltered stack of slices."""

from __future__ import annotations

from phantoms.results import Owner
from qc.conformance.engine import Answer, Inputs, failed, passed, rule, unknown, warned

SAME_POSITION_MM = 0.01
GAP_RATIO = 1.5  # a step above this many usual steps is a missing slice
EVEN_MM = 0.01  # steps that differ by more are said; GE tables step 3.19 to 3.29 mm
#: The rule that a series is there, which nearly all others need; and that its slices have places.
ONE_SERIES, PLACED = "ING-09", "ING-04"


@rule(
    "ING-01",
    title="PET images can be read",
    severity="exclude",
    source="DICOM PS3.10; the PET image objects of PS3.3 A.21",
    attributes="(0008,0016)",
)
def images_can_be_read(inputs: Inputs) -> Answer:
    """At least one PET series was read; files that could not be are named."""
    facts = inputs.facts
    observed = f"{facts.series} PET series, {facts.unreadable_files} of {facts.files} files unreadable"
    if not facts.files:
        return unknown(
            "Nothing arrived that could be read.", next_step="Send the PET series as DICOM files.", owner=Owner.SITE
        )
    if not facts.series:
        return failed(
            f"None of {facts.files} files is a PET image (0008,0016).",
            observed=observed,
            expected="a PET series",
            next_step="Check that you chose the PET study, then export it again.",
        )
    if facts.unreadable_files:
        return warned(
            f"{facts.unreadable_files} of {facts.files} files could not be read as DICOM; they were left out.",
            observed=observed,
            expected="DICOM files",
            next_step="If a series is missing, export it again and add it here.",
            severity="info",
        )
    return passed("All files could be read.", observed=observed, expected="a PET series")


@rule(
    "ING-02",
    title="One person and one study",
    severity="exclude",
    source="trial submissions are one visit each",
    attributes="(0010,0020) (0020,000D)",
    needs=("ING-01",),
)
def is_one_study(inputs: Inputs) -> Answer:
    """All PET series are of one person and one study."""
    facts = inputs.facts
    people = "1 person" if facts.patients == 1 else f"{facts.patients} people"
    studies = "1 study" if facts.studies == 1 else f"{facts.studies} studies"
    observed, expected = f"{people}, {studies}", "1 person, 1 study"
    if facts.patients > 1 or facts.studies > 1:
        what = people if facts.patients > 1 else f"{studies} of one person"
        return failed(
            f"This upload holds scans of {what} (0010,0020) (0020,000D).",
            observed=observed,
            expected=expected,
            next_step="Send one visit at a time.",
        )
    return passed("All PET series are of one person and one study.", observed=observed, expected=expected)


@rule(
    "ING-09",
    title="One corrected PET series to judge",
    severity="exclude",
    source="one series is measured; the others stay beside it",
    attributes="(0028,0051) (0020,000E)",
    needs=("ING-01",),
)
def has_one_series(inputs: Inputs) -> Answer:
    """Exactly one series qualifies, or one was named."""
    facts = inputs.facts
    if facts.slices:
        return passed("One PET series is judged.", observed=f"{facts.slices} slices", expected="one PET series")
    if facts.series > 1:
        return unknown(
            f"Of {facts.series} PET series it is not clear which one to judge (0028,0051).",
            observed=f"{facts.series} PET series",
            expected="one attenuation-corrected series",
            next_step="Choose the series to judge, or take the others out.",
            owner=Owner.SITE,
        )
    return failed(
        "The only PET series is not attenuation corrected, or is no volume (0028,0051).",
        observed=f"{facts.series} PET series",
        expected="one attenuation-corrected series",
        next_step="Send the corrected series too; we judge that one.",
    )


@rule(
    "ING-04",
    title="No two slices lie in one place",
    severity="exclude",
    source="DICOM PS3.3 C.7.6.2.1.1",
    attributes="(0020,0032)",
    needs=(ONE_SERIES,),
)
def has_no_doubled_slices(inputs: Inputs) -> Answer:
    """Every slice has its own height."""
    facts = inputs.facts
    if not facts.positions_mm:
        return _no_positions()
    doubled = sum(step < SAME_POSITION_MM for step in facts.steps_mm)
    if doubled:
        return failed(
            f"{doubled} slices lie where another slice of the series lies (0020,0032).",
            observed=f"{doubled} doubled",
            expected="0 doubled",
            next_step="Send the static series alone, or tell us which slices are right.",
        )
    return passed("Every slice lies in its own place.", observed="0 doubled", expected="0 doubled")


def _no_positions() -> Answer:
    return unknown(
        "Some slices do not say where they lie (0020,0032) (0020,0037).",
        observed="no position",
        expected="a position for every slice",
        next_step="Export the original transaxial series again.",
        owner=Owner.SITE,
    )


@rule(
    "ING-05",
    title="As many slices as announced",
    severity="query",
    source="DICOM PS3.3 C.8.9.1",
    attributes="(0054,0081) (0054,0101)",
    needs=(ONE_SERIES,),
)
def has_all_slices(inputs: Inputs) -> Answer:
    """The series has NumberOfSlices files, or that many for every time slice."""
    facts = inputs.facts
    announced = facts.NumberOfSlices
    if not announced:
        return unknown(
            "The headers do not say how many slices there should be (0054,0081).",
            observed=f"{facts.slices} slices",
            expected="the number announced",
            next_step="Check that the whole series was sent.",
            owner=Owner.SITE,
        )
    times = max(facts.NumberOfTimeSlices or 1, 1)
    observed, expected = f"{facts.slices} slices", f"{announced} slices"
    # GE counts beds in NumberOfTimeSlices, so alone it does not multiply.
    if facts.slices in {announced, announced * times}:
        return passed(f"All {facts.slices} slices are there.", observed=observed, expected=expected)
    return failed(
        f"The series has {facts.slices} of {announced} slices (0054,0081).",
        observed=observed,
        expected=expected,
        next_step="Send the series again from the scanner or archive. Everything else is kept.",
    )


@rule(
    "ING-06",
    title="No slice is missing between others",
    severity="exclude",
    source="DICOM PS3.3 C.7.6.2.1.1; a step above 1.5 usual steps is a gap",
    attributes="(0020,0032)",
    needs=(PLACED,),
)
def has_no_gaps(inputs: Inputs) -> Answer:
    """No step from slice to slice is above 1.5 times the usual one; what is merely uneven is said."""
    facts = inputs.facts
    usual, steps = facts.step_mm, facts.steps_mm
    if not steps or not usual:
        return unknown(
            "One slice alone has no distance to another (0020,0032).",
            observed=f"{facts.slices} slices",
            next_step="Send the whole series.",
            owner=Owner.SITE,
        )
    gaps = [step for step in steps if step > GAP_RATIO * usual]
    observed = f"{min(steps):.2f} to {max(steps):.2f} mm"
    expected = f"at most {GAP_RATIO * usual:.2f} mm"
    if gaps:
        lost = sum(round(step / usual) - 1 for step in gaps)
        return failed(
            f"About {lost} slices are missing: {len(gaps)} steps are wider than the usual {usual:.2f} mm (0020,0032).",
            observed=observed,
            expected=expected,
            next_step="Send the whole series again from the scanner or archive.",
        )
    uneven = max(steps) - min(steps) > EVEN_MM
    how = f"steps of {observed}, as some makers write them" if uneven else f"every {usual:.2f} mm"
    return passed(f"No slice is missing: {how}.", observed=observed, expected=expected)


@rule(
    "ING-08",
    title="All slices are transverse",
    severity="query",
    source="DICOM PS3.3 C.7.6.2.1.1",
    attributes="(0020,0037)",
    needs=(ONE_SERIES,),
)
def is_axial(inputs: Inputs) -> Answer:
    """Every slice lies across the body, in one and the same direction."""
    axial = inputs.facts.is_axial
    if axial is None:
        return unknown(
            "Some slices do not say in which direction they lie (0020,0037).",
            observed="no orientation",
            expected="transverse",
            next_step="Export the original transaxial series again.",
            owner=Owner.SITE,
        )
    if not axial:
        return failed(
            "The slices do not lie across the body, or not all alike (0020,0037).",
            observed="other directions",
            expected="transverse",
            next_step="Send the original transaxial PET series.",
        )
    return passed("All slices lie across the body.", observed="transverse", expected="transverse")


@rule(
    "ING-10",
    title="Not compressed with loss",
    severity="exclude",
    source="DICOM PS3.3 C.7.6.1.1.5",
    attributes="(0028,2110) (0002,0010)",
    needs=(ONE_SERIES,),
)
def is_lossless(inputs: Inputs) -> Answer:
    """No slice was, or may have been, changed by compression."""
    if inputs.facts.is_lossy:
        return failed(
            "The series was compressed with loss, so its values cannot be measured (0028,2110).",
            observed="compressed with loss",
            expected="lossless",
            next_step="Export it again without compression, or with lossless compression.",
        )
    return passed("No value was changed by compression.", observed="lossless", expected="lossless")


@rule(
    "ING-11",
    title="The scanner's own images",
    severity="query",
    source="DICOM PS3.3 C.7.6.1.1.2",
    attributes="(0008,0008)",
    needs=(ONE_SERIES,),
    speaks_for=("SUV-DERIVED",),
)
def is_original(inputs: Inputs) -> Answer:
    """No slice is called derived: such may have been resampled, filtered or fused."""
    facts = inputs.facts
    observed = "\\".join(facts.ImageType)
    expected = "ORIGINAL"
    if facts.is_derived:
        return warned(
            "The series was made from other images: perhaps resampled, cropped or fused (0008,0008).",
            observed=observed,
            expected=expected,
            next_step="Send the original transaxial PET series.",
        )
    if not facts.ImageType:
        return unknown(
            "The headers do not say whether these are the scanner's own images (0008,0008).",
            expected=expected,
            next_step="Check that the original series was sent.",
            owner=Owner.SITE,
        )
    return passed("These are the scanner's own images.", observed=observed, expected=expected)


@rule(
    "ING-12",
    title="A volume, not projections",
    severity="exclude",
    source="DICOM PS3.3 C.8.9.1.1.1",
    attributes="(0054,1000) (0008,9207)",
    needs=(ONE_SERIES,),
)
def is_volume(inputs: Inputs) -> Answer:
    """The series is of images and not of projections such as a turning picture of the whole body."""
    is_one = inputs.facts.is_volume
    if is_one is None:
        return unknown(
            "The headers do not say whether these are slices or projections (0054,1000).",
            expected="slices",
            severity="query",
            next_step="Check that the transaxial series was sent.",
            owner=Owner.SITE,
        )
    if not is_one:
        return failed(
            "These are projections of the body, not slices (0054,1000).",
            observed="projections",
            expected="slices",
            next_step="Send the original transaxial PET series.",
        )
    return passed("These are slices.", observed="slices", expected="slices")
