"""How the images were made from the data: corrections, algorithm, filter, matrix and slices, as accredited."""

from __future__ import annotations

from phantoms.results import Owner
from qc.conformance.engine import (
    Answer,
    Inputs,
    failed,
    judged,
    passed,
    rule,
    unknown,
    worst_of,
)
from qc.conformance.ingest import ONE_SERIES, PLACED
from qc.facts import Reconstruction, SubmissionFacts, filter_words, read_reconstruction
from qc.protocols import Profile

SAME_MM = 0.05  # lengths that differ by less are one
NEEDED = ("ATTN", "SCAT", "DECY")
EXPECTED = ("RAN", "DTIM", "NORM")
_WITHIN = "Reconstruct the same data as the protocol asks and send that series. If that cannot be, tell us why."
_AGAIN = "Reconstruct the same data with the accredited settings and send that series."


@rule(
    "REC-01",
    title="All corrections were made",
    severity="exclude",
    source="DICOM PS3.3 C.8.9.1; QIBA FDG-PET/CT profile 1.14",
    attributes="(0028,0051) (0054,1102)",
    needs=(ONE_SERIES,),
    speaks_for=("SUV-CORRECTIONS",),
)
def is_corrected(inputs: Inputs) -> Answer:
    """Attenuation, scatter and decay are corrected; randoms, dead time and normalisation are named too."""
    facts, protocol = inputs.facts, inputs.protocol
    needed = protocol.corrections_needed if protocol else NEEDED
    expected = protocol.corrections_expected if protocol else EXPECTED
    if facts.DecayCorrection == "NONE":
        needed = tuple(term for term in needed if term != "DECY")
    observed, wanted = "\\".join(facts.CorrectedImage), ", ".join((*needed, *expected))
    if not facts.CorrectedImage:
        return unknown(
            "The headers do not say which corrections were made (0028,0051).",
            observed="missing",
            expected=wanted,
            next_step="Export the corrected series again from the scanner or archive.",
            owner=Owner.SITE,
        )
    for terms, severity in ((needed, None), (expected, "query")):
        missing = [term for term in terms if not _is_made(term, facts.CorrectedImage)]
        if missing:
            return failed(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not among the corrections made "
                "(0028,0051).",
                observed=observed,
                expected=wanted,
                severity=severity,
                next_step="Send the series with all corrections.",
            )
    return passed("All corrections were made.", observed=observed, expected=wanted)


def _is_made(term: str, made: tuple[str, ...]) -> bool:
    if term == "RAN":
        return any(one.startswith("RAN") for one in made)
    return term in made or (term == "DECY" and "DECAY" in made)


def _no_profile(inputs: Inputs) -> Answer:
    if not inputs.has_register:
        return unknown(
            "There is no register of accredited scanners to compare with.",
            next_step="Give the register, or register the scanner.",
            owner=Owner.CORE_LAB,
        )
    if inputs.registered is None:
        return unknown(
            "The scanner is not known, so there is no accredited reconstruction to compare with (0018,1000).",
            observed=inputs.facts.DeviceSerialNumber or "no serial number",
            next_step="Register the scanner.",
            owner=Owner.CORE_LAB,
        )
    return unknown(
        "No reconstruction of this scanner is registered that could be the one of this scan (0054,1103).",
        observed=inputs.facts.reconstruction.words,
        expected=", ".join(profile.name for profile in inputs.registered.reconstructions) or "a registered one",
        next_step="Register the reconstruction, or tell us which one was used.",
        owner=Owner.CORE_LAB,
    )


def _silent(what: str, observed: str) -> Answer:
    """Return that the register does not say; the lab can mend that, the scan is not to blame."""
    return unknown(
        f"The register does not say which {what} is accredited.",
        observed=observed,
        severity="query",
        next_step=f"Enter the {what} of the accredited reconstruction.",
        owner=Owner.CORE_LAB,
    )


@rule(
    "REC-03",
    title="Reconstructed as accredited",
    severity="exclude",
    source="accreditation is given for one reconstruction",
    attributes="(0054,1103) (0009,xxB2) (0009,xxB3) (0009,xxBD)",
    needs=(ONE_SERIES,),
)
def is_reconstructed_as_accredited(inputs: Inputs) -> Answer:
    """Algorithm, TOF, PSF, iterations, subsets and β are those of the accredited reconstruction."""
    facts, profile = inputs.facts, inputs.profile
    if profile is None:
        return _no_profile(inputs)
    seen = facts.reconstruction
    if not profile.method:
        return _silent("method", seen.words)
    wanted = read_reconstruction(facts.Manufacturer, profile.method)
    observed = facts.ReconstructionMethod or "missing"
    if not facts.ReconstructionMethod:
        return unknown(
            "The headers do not say how the images were reconstructed (0054,1103).",
            observed=observed,
            expected=profile.method,
            next_step="Tell us the reconstruction that was used.",
            owner=Owner.SITE,
        )
    if not is_same_method(facts, profile):
        return failed(
            f"The images were made by {_named(observed, seen)} (0054,1103); this scanner is accredited with "
            f"{_named(profile.method, wanted)}.",
            observed=observed,
            expected=profile.method,
            next_step=_AGAIN,
        )
    if unsaid := _unsaid(seen, wanted):
        return unknown(
            f"The images were made by {_named(observed, seen)}; the register does not name the {unsaid} of the "
            "accredited reconstruction.",
            observed=observed,
            expected=profile.method,
            severity="query",
            next_step=f"Write the {unsaid} into the method of the accredited reconstruction.",
            owner=Owner.CORE_LAB,
        )
    but = f"; the images do not name the {unsaid}" if (unsaid := _unsaid(wanted, seen)) else ""
    return passed(
        f"The images were made by {_named(observed, seen)}, as accredited{but}.",
        observed=observed,
        expected=profile.method,
    )


def _unsaid(saying: Reconstruction, silent: Reconstruction) -> str:
    """Return what one of the two says and the other leaves out, so that it was not compared."""
    named = {"iterations": "iterations", "subsets": "subsets", "beta": "β"}
    missing = [
        words for name, words in named.items() if getattr(saying, name) is not None and getattr(silent, name) is None
    ]
    return " and ".join(filter(None, (", ".join(missing[:-1]), *missing[-1:])))


def _named(method: str, read: Reconstruction) -> str:
    """Return the maker's name of a method, with what it means where that says more."""
    return f"{method} ({read.words})" if read.family and read.words != method else method


def is_same_method(facts: SubmissionFacts, profile: Profile) -> bool:
    """Say whether the images were made the accredited way; what one of the two does not say is no difference."""
    seen, wanted = facts.reconstruction, read_reconstruction(facts.Manufacturer, profile.method)
    if seen.family is None and wanted.family is None:
        # Names that nobody can read are held together as they are.
        return facts.ReconstructionMethod.casefold() == profile.method.casefold()
    if (seen.family, seen.is_deep_learning) != (wanted.family, wanted.is_deep_learning):
        return False
    names = ("has_tof", "has_psf", "iterations", "subsets", "beta")
    pairs = [(getattr(seen, name), getattr(wanted, name)) for name in names]
    return all(one is None or other is None or one == other for one, other in pairs)


def accredited_filter_mm(facts: SubmissionFacts, profile: Profile) -> float | None:
    """Return the width of the accredited post-filter, given as a number or by the kernel's name; None if neither."""
    if profile.filter_fwhm_mm is not None:
        return profile.filter_fwhm_mm
    return read_reconstruction(facts.Manufacturer, profile.method, profile.kernel).filter_fwhm_mm


def is_same_filter(facts: SubmissionFacts, profile: Profile) -> bool:
    """Say whether the post-filter is the accredited one; in the plane alone it is another than in all directions."""
    seen, axes = facts.reconstruction, _accredited_axes(facts, profile)
    is_turned = bool(seen.filter_fwhm_mm) and None not in (seen.filter_axes, axes) and seen.filter_axes != axes
    return _is_same_mm(seen.filter_fwhm_mm, accredited_filter_mm(facts, profile)) and not is_turned


def _accredited_axes(facts: SubmissionFacts, profile: Profile) -> str | None:
    return read_reconstruction(facts.Manufacturer, profile.method, profile.kernel).filter_axes


def is_same_pixel(facts: SubmissionFacts, profile: Profile) -> bool:
    """Say whether matrix and pixel are the accredited ones."""
    pixel_mm = max(facts.PixelSpacing, default=None)
    return profile.matrix in {None, facts.Columns} and _is_same_mm(pixel_mm, profile.pixel_mm)


def is_same_slice(facts: SubmissionFacts, profile: Profile) -> bool:
    """Say whether slices are as far apart as accredited."""
    return _is_same_mm(facts.step_mm, profile.slice_mm)


def is_as_accredited(facts: SubmissionFacts, profile: Profile) -> bool:
    """Say whether nothing of a reconstruction differs from the accredited one, as far as both are known."""
    is_method_known = bool(facts.ReconstructionMethod and profile.method)
    return (
        (not is_method_known or is_same_method(facts, profile))
        and is_same_filter(facts, profile)
        and is_same_pixel(facts, profile)
        and is_same_slice(facts, profile)
    )


def _is_same_mm(seen: float | None, wanted: float | None) -> bool:
    return seen is None or wanted is None or abs(seen - wanted) <= SAME_MM


@rule(
    "REC-04",
    title="Filtered as accredited",
    severity="exclude",
    source="the post-filter sets the recovery that was accredited",
    attributes="(0018,1210) (0009,xxBA) (0009,xxBB)",
    needs=(ONE_SERIES,),
)
def is_filtered_as_accredited(inputs: Inputs) -> Answer:
    """The post-filter is that of the accredited reconstruction."""
    facts, profile = inputs.facts, inputs.profile
    if profile is None:
        return _no_profile(inputs)
    seen_mm = facts.reconstruction.filter_fwhm_mm
    wanted_mm = accredited_filter_mm(facts, profile)
    if wanted_mm is None:
        return _silent("filter", facts.ConvolutionKernel)
    expected = filter_words(wanted_mm)
    if seen_mm is None:
        return unknown(
            "The headers do not say which filter was used (0018,1210).",
            observed=facts.ConvolutionKernel or "missing",
            expected=expected,
            severity="query",
            next_step="Tell us the filter that was used.",
            owner=Owner.SITE,
        )
    observed = filter_words(seen_mm)
    if not is_same_filter(facts, profile):
        if observed == expected:  # as wide, and in other directions
            observed = filter_words(seen_mm, facts.reconstruction.filter_axes)
            expected = filter_words(wanted_mm, _accredited_axes(facts, profile))
        return failed(
            f"The images use {_article(observed)} (0018,1210); this scanner is accredited with {_article(expected)}.",
            observed=observed,
            expected=expected,
            next_step=_AGAIN,
        )
    return passed(f"The images use {_article(observed)}, as accredited.", observed=observed, expected=expected)


def _article(words: str) -> str:
    return words if words.startswith("no ") else f"a {words}"


@rule(
    "REC-05",
    title="Matrix and pixel as accredited and within the protocol",
    severity="exclude",
    source="EANM FDG guideline 2.0: 3 to 4 mm, never above 5 mm; accredited ± 0.05 mm",
    attributes="(0028,0010) (0028,0011) (0028,0030)",
    needs=(ONE_SERIES,),
)
def pixel_is_right(inputs: Inputs) -> Answer | None:
    """The pixel is as large as accredited, and no larger than the protocol accepts."""
    facts, profile = inputs.facts, inputs.profile
    if not facts.PixelSpacing:
        return unknown(
            "The size of the pixels is missing (0028,0030).",
            observed="missing",
            next_step="Export the original series again from the scanner or archive.",
            owner=Owner.SITE,
        )
    pixel_mm = max(facts.PixelSpacing)
    answers: list[Answer | None] = []
    if limit := inputs.limit("matrix"):
        answers.append(judged(facts.Columns, limit, "The matrix has {} columns (0028,0011)", next_step=_WITHIN))
    if limit := inputs.limit("pixel_mm"):
        answers.append(judged(pixel_mm, limit, "The pixel is {} (0028,0030)", decimals=2, next_step=_WITHIN))
    if profile is None:
        answers.append(_no_profile(inputs))
    elif profile.pixel_mm is None and profile.matrix is None:
        answers.append(_silent("matrix and pixel", f"{facts.Columns} × {pixel_mm:.2f} mm"))
    else:
        observed = f"{facts.Columns} × {pixel_mm:.2f} mm"
        parts = (str(profile.matrix or ""), f"{profile.pixel_mm:.2f} mm" if profile.pixel_mm else "")
        expected = " × ".join(filter(None, parts))
        answers.append(
            passed(f"Matrix and pixel are as accredited: {observed}.", observed=observed, expected=expected)
            if is_same_pixel(facts, profile)
            else failed(
                f"The images have {observed} (0028,0011) (0028,0030); this scanner is accredited with {expected}.",
                observed=observed,
                expected=expected,
                next_step=_AGAIN,
            )
        )
    return worst_of(answers)


@rule(
    "REC-06",
    title="Slices as accredited and within the protocol",
    severity="exclude",
    source="EANM FDG guideline 2.0: 3 to 4 mm, never above 5 mm; accredited ± 0.05 mm",
    attributes="(0020,0032) (0018,0050)",
    needs=(PLACED,),
)
def slice_is_right(inputs: Inputs) -> Answer | None:
    """Slices are as far apart as accredited, and no farther than the protocol accepts."""
    facts, profile = inputs.facts, inputs.profile
    slice_mm = facts.step_mm
    if slice_mm is None:
        return unknown(
            "The distance of the slices cannot be told (0020,0032).",
            observed="missing",
            next_step="Export the original series again from the scanner or archive.",
            owner=Owner.SITE,
        )
    answers: list[Answer | None] = []
    if limit := inputs.limit("slice_mm"):
        answers.append(judged(slice_mm, limit, "Slices are {} apart (0020,0032)", decimals=2, next_step=_WITHIN))
    observed = f"{slice_mm:.2f} mm"
    if profile is None:
        answers.append(_no_profile(inputs))
    elif profile.slice_mm is None:
        answers.append(_silent("distance of slices", observed))
    else:
        expected = f"{profile.slice_mm:.2f} mm"
        answers.append(
            passed(f"Slices are {observed} apart, as accredited.", observed=observed, expected=expected)
            if is_same_slice(facts, profile)
            else failed(
                f"Slices are {observed} apart (0020,0032); this scanner is accredited with {expected}.",
                observed=observed,
                expected=expected,
                next_step=_AGAIN,
            )
        )
    return worst_of(answers)
