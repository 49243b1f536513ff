"""The words and numbers that pages, lists and reports share: verdicts, names of measurements, quantities, headlines.

Plain Python on the offline contract's JSON: no Django, no arrays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantoms.results import Outcome, counted

if TYPE_CHECKING:
    from phantoms.sheet import DecayStep

NARROW_SPACE = "\u202f"  # no-break, between a number and its unit
MINUS = "−"

VERDICT_WORDS: Mapping[str, str] = {
    Outcome.PASS: "Pass",
    Outcome.WARN: "Warning",
    Outcome.FAIL: "Fail",
    Outcome.NOT_EVALUABLE: "Could not check",
    Outcome.REPORT_ONLY: "Report only",
    Outcome.ERROR: "Our error",
}
#: The last part of the classes ``chip-…`` and ``verdict-…``.
VERDICT_CLASSES: Mapping[str, str] = {
    Outcome.PASS: "pass",
    Outcome.WARN: "warn",
    Outcome.FAIL: "fail",
    Outcome.NOT_EVALUABLE: "unknown",
    Outcome.REPORT_ONLY: "report",
    Outcome.ERROR: "error",
}
SEVERITY_WORDS: Mapping[str, str] = {
    "exclude": "Excludes the scan",
    "query": "Needs an answer",
    "info": "For information",
}
OWNER_WORDS: Mapping[str, str] = {"site": "Site", "core_lab": "Core lab", "nobody": "Nobody"}
PROVENANCE_WORDS: Mapping[str, str] = {
    "C": "read in the named source",
    "C2": "read in a public work that quotes the source",
    "D": "derived, by the formula named",
    "MH": "common knowledge of the field, high confidence",
    "MM": "common knowledge of the field, medium confidence",
    "ML": "common knowledge of the field, low confidence",
    "none": "no limit is published",
}
FLAG_WORDS: Mapping[str, str] = {
    "UNCERTAINTY_NOT_STATED": "uncertainty not stated",
    "NO_SHEET": "the activity sheet is missing or does not give this fill",
    "SHEET_TIME_ASSUMED": "the sheet gives no time: taken as the image's own reference time",
    "NO_REFERENCE_TIME": "the image's decay reference time is not in the headers",
    "NO_SUV": "SUV was not worked out",
    "NO_UNITS": "the headers name no unit: raw values",
    "OTHER_UNITS": "the values are not Bq/mL",
    "OUTSIDE_IMAGE": "the region is cut by the edge of the image",
    "NOT_LOCALISED": "the phantom was not found",
    "NEAR_LIMIT": "near the limit",
    "NO_FIT": "the model that would give the number did not settle",
    "SMALL_REGION": "no sphere of 1 mL lies far enough inside the region",
    "OTHER_NUCLIDE_TOLD": "the scanner was told another nuclide than the source's; taken into account",
    "TOO_FEW_READINGS": "the readings are too few, or over too narrow a range",
    "FILTER_CANNOT_HELP": "no post-filter can be proposed",
    "SEARCH_END": "an end of the search, not an estimate",
    "COLD_SPHERE": "the sphere holds no activity",
    "PLACE_ASSUMED": "named by the usual order round the faceplate",
    "OTHER_FRAME": "PET and CT name different frames of reference",
    "NO_POSITION": "the CT does not say how the phantom lay",
    "LIMIT_UNCONFIRMED": "there is no limit with a confirmed source, so nothing decides",
}
METHOD_WORDS: Mapping[str, str] = {
    "nema_iq": "NEMA image quality phantom",
    "cylinder": "Uniform cylinder",
    "acr": "ACR PET phantom",
    "patient": "Patient scan",
    "suv": "SUV check",
    "calibrator": "Radionuclide calibrator",
}
_STANDARD_NAMES: Mapping[str, str] = {"acr_pet": "ACR PET", "radionuclide_calibrator": "Calibrator"}
_COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_SPHERE = re.compile(r"sphere_(?P<diameter>\d+)mm_(?P<what>.+)")
_SPHERE_LABELS: Mapping[str, str] = {
    "rc_a50": "A50",
    "rc_max": "Max",
    "rc_peak": "Peak",
    "crc_a50": "Contrast recovery A50",
    "crc_max": "Contrast recovery max",
    "crc_peak": "Contrast recovery peak",
    "qh_pct": "Hot contrast",
    "qc_pct": "Cold contrast",
    "n_pct": "Background variability",
    "a50": "A50 concentration",
    "max": "Hottest voxel",
    "peak": "Peak concentration",
    "center_x_mm": "Centre x",
    "center_y_mm": "Centre y",
    "center_z_mm": "Centre z",
    "relative_rc_a50": "Relative recovery A50",
    "relative_rc_max": "Relative recovery max",
    "relative_rc_peak": "Relative recovery peak",
    "fwhm_mm": "Blur (FWHM)",
    "bubble_limit_pct": "Smallest bubble that shows",
    "ct_min_hu": "lowest value on the CT",
    "ct_air_pct": "air on the CT",
    "ct_hu": "fill on the CT",
}
#: What stands beside every contrast recovery.
NO_CRC_LIMITS = "Report only: no edition publishes limits yet"
_POST_FILTER = re.compile(r"harmonisation_filter_(?P<edition>.+)_(?P<what>fwhm_mm|widest_mm|margin)")
_POST_FILTER_LABELS: Mapping[str, str] = {
    "fwhm_mm": "Post-filter for {}, narrowest",
    "widest_mm": "Post-filter for {}, widest",
    "margin": "Smallest margin behind the post-filter for {}",
}
_LABELS: Mapping[str, str] = {
    "cylinder_mean_bqml": "Mean concentration",
    "cylinder_expected_bqml": "Concentration by the sheet",
    "cylinder_bias_pct": "Calibration bias",
    "cylinder_suv_mean": "Mean SUV",
    "cylinder_suv_slice_min": "SUV of the lowest slice",
    "cylinder_suv_slice_max": "SUV of the highest slice",
    "cylinder_slice_deviation_max_pct": "Largest slice deviation",
    "cylinder_axial_slope_pct_per_cm": "Axial slope",
    "cylinder_cupping_pct": "Cupping, centre − edge",
    "cylinder_nu_pct": "Non-uniformity of tiles",
    "cylinder_cov_pct": "Noise (COV)",
    "cylinder_edge_fwhm_mm": "Blur across the wall (FWHM)",
    "cylinder_diameter_mm": "Diameter found",
    "cylinder_tilt_deg": "Tilt",
    "cylinder_cross_calibration": "Cross-calibration, scanner / calibrator",
    "calibrator_accuracy_pct": "Accuracy of the calibrator",
    "calibrator_constancy_max_pct": "Constancy, farthest reading",
    "calibrator_linearity_max_pct": "Linearity, farthest reading",
    "calibrator_clock_offset_s": "Clock of the calibrator",
    "acr_background_suv_mean": "Background, mean SUV",
    **{f"acr_cylinder_{d}mm_suv_max": f"{d}{NARROW_SPACE}mm cylinder, maximum SUV" for d in (25, 16, 12, 8)},
    **{f"acr_ratio_{d}_25": f"{d}{NARROW_SPACE}mm over 25{NARROW_SPACE}mm cylinder" for d in (16, 12, 8)},
    "acr_water_suv_min": "Cold water, minimum SUV",
    "acr_air_suv_min": "Air, minimum SUV",
    "acr_bone_suv_min": "Bone (Teflon), minimum SUV",
    "acr_slice_deviation_max_pct": "Largest slice deviation",
    "acr_nu_pct": "Non-uniformity of tiles",
    "acr_cov_pct": "Noise of 1 cm slices (COV)",
    "acr_background_bqml": "Background concentration",
    "acr_background_expected_bqml": "Background by the sheet",
    "acr_background_bias_pct": "Background against the sheet",
    "acr_activity_ratio": "Hot to background by the sheet",
    "acr_diameter_mm": "Diameter found",
    "acr_tilt_deg": "Tilt",
    "acr_ring_residual_mm": "Misfit of the ring found",
    "background_mean": "Background mean",
    "background_cov_pct": "Background noise (COV)",
    "background_roughness_pct": "Background roughness",
    "background_edge_margin_mm": "Background regions to the edge",
    "background_sphere_margin_mm": "Background regions to the spheres",
    "ct_water_hu": "Water on the CT",
    "ct_noise_hu": "Noise of the CT",
    "ct_offset_mm": "PET to CT, distance",
    **{f"ct_offset_{axis}_mm": f"PET to CT, {axis}" for axis in "xyz"},
    **{f"ct_turn_{axis}_deg": f"PET to CT, turn about {axis}" for axis in "xyz"},
    "ct_fill_air_ml": "Air above the water, CT",
    "ct_fill_air_pct": "Air above the water, part of the body",
    "ct_fill_height_mm": "Air above the water, greatest depth",
    "ct_fill_tilt_deg": "Tilt of the water's surface",
    "ct_bubble_ml": "Largest bubble in the water, CT",
    "lung_residual_max_pct": "Lung residual, largest slice",
    "localisation_residual_mm": "Misfit of the position found",
    "phantom_tilt_deg": "Tilt",
    "lung_residual_pct": "Lung residual",
    "activity_ratio": "Activity ratio by the sheet",
    "resolution_fwhm_mm": "Blur of the image (FWHM)",
    "image_max": "Image maximum",
    "image_mean": "Image mean",
    "suvbw_max": "SUV maximum",
    "suvbw_mean": "SUV mean, whole volume",
    "mask_suvbw_min": "SUV minimum in the mask",
    "mask_suvbw_median": "SUV median in the mask",
    "mask_suvbw_max": "SUV maximum in the mask",
    "mask_suvbw_mean": "SUV mean in the mask",
    "mask_suvbw_peak": "SUV peak in the mask",
    **{f"mask_suvbw_peak_center_{axis}_mm": f"Centre of the SUV peak, {axis}" for axis in "xyz"},
}


@dataclass(frozen=True)
class _Unit:
    """How a unit is shown: its sign, what turns the stored value into the shown one, and the decimals."""

    sign: str
    per_unit: float
    decimals: int


_UNITS: Mapping[str, _Unit] = {
    "1": _Unit("", 1.0, 3),
    "%": _Unit("%", 1.0, 1),
    "%/cm": _Unit("%/cm", 1.0, 2),
    "mm": _Unit("mm", 1.0, 1),
    "s": _Unit("s", 1.0, 0),
    "deg": _Unit("°", 1.0, 2),
    "Bq/mL": _Unit("kBq/mL", 1e-3, 2),
    "g/mL": _Unit("g/mL", 1.0, 2),
    "HU": _Unit("HU", 1.0, 0),
    "mL": _Unit("mL", 1.0, 1),
}
_DECIMALS: Mapping[str, int] = {"activity_ratio": 2, "acr_activity_ratio": 2}
_RAW_DECIMALS = 1
_MORE_DECIMALS = 3  # at most so many more than usual, where the uncertainty asks for them
#: What a rule is about, in the few words of a question's title; the rule's own title says what holds when it passes.
RULE_SUBJECTS: Mapping[str, str] = {
    "ING-01": "Unreadable images",
    "ING-02": "More than one person or study",
    "ING-04": "Slices twice in one place",
    "ING-05": "Number of slices",
    "ING-06": "Missing slices",
    "ING-08": "Slices that are not transverse",
    "ING-09": "Corrected PET series",
    "ING-10": "Compression with loss",
    "ING-11": "Derived images",
    "ING-12": "Projections in place of slices",
    "ACQ-01": "Duration of a bed position",
    "ACQ-03": "Length of the body that is shown",
    "INJ-01": "Tracer",
    "INJ-02": "Half-life",
    "INJ-03": "Injected activity",
    "INJ-04": "Net activity",
    "INJ-05": "Injection time",
    "PAT-01": "Weight",
    "PREP-01": "Blood glucose",
    "PREP-02": "Fasting",
    "REC-01": "Corrections",
    "REC-03": "Reconstruction",
    "REC-04": "Filter",
    "REC-05": "Matrix and pixel",
    "REC-06": "Distance of slices",
    "REC-07": "Scanner and software",
    "REC-08": "Clearance on the scan day",
    "SUV-01": "SUV cannot be worked out",
    "TIM-01": "Uptake time",
    "AD-01": "Dates of injection and scan",
}
#: The same by the beginning of an id, for findings that are no rule of the catalogue.
_SUBJECTS_BY_FAMILY: Mapping[str, str] = {
    "ING-": "What arrived",
    "SERIES-": "Which series to measure",
    "SHEET-": "Activity sheet",
    "SUV-": "SUV cannot be worked out",
    "AD-": "Dates in the images",
    "PHA-BUBBLE": "Air in a sphere",
    "PHA-MISFILL": "Filling of one sphere",
    "PHA-SPHERE": "One sphere reads low",
    "PHA-SIGHT": "Smallest bubble that shows",
    "PHA-SLOPE": "Drift along the axis",
    "PHA-WEDGE": "A sector reads low",
    "PHA-FILL": "Fills and activity sheet",
    "PHA-CALIBRATION": "Calibration",
    "PHA-FILTER": "Resolution",
    "PHA-RING": "A ring reads otherwise",
    "PHA-BED-JOIN": "Steps at bed joins",
    "PHA-CUPPING": "Middle against edge",
    "PHA-SLICE": "One slice off the mean",
    "PHA-POSE": "How the phantom lies",
    "PHA-BUDGET": "Uncertainty of the bias",
    "PHA-VOLUME": "Volume on the sheet",
    "PHA-CUT": "Ends of the phantom in the field",
    "PHA-RATIO": "Ratio of the fills",
    "PHA-RODS": "Section of rods",
    "PHA-COLD": "Cold spheres",
    "PHA-SCATTER": "Air against water",
    "PHA-UNSEEN": "A hot cylinder is not seen",
    "PHA-SUV": "SUV of the background",
    "PHA-HARMONISE": "Post-filter that mends it",
    "PHA-CT-BUBBLE": "Air in a sphere",
    "PHA-CT-FILL": "Fill of the body",
    "PHA-CT-": "CT of the phantom",
    "PHA-": "Phantom",
}


def subject_of(rule_id: str) -> str:
    """Return what a finding is about, without any value."""
    family = next((words for start, words in _SUBJECTS_BY_FAMILY.items() if rule_id.startswith(start)), "")
    return RULE_SUBJECTS.get(rule_id) or family or f"Rule {rule_id}"


def label(name: str) -> str:
    """Return a measurement's name in words; an unknown one is shown as it is, without its unit and underscores."""
    sphere = _SPHERE.fullmatch(name)
    if sphere is not None:
        what = sphere["what"].removesuffix("_axial")
        words = _SPHERE_LABELS.get(what, what.replace("_", " "))
        if what.startswith("ct_"):
            return f"{sphere['diameter']}{NARROW_SPACE}mm sphere: {words}"
        axial = ", axial plane" if sphere["what"].endswith("_axial") else ""
        return f"{words} {sphere['diameter']}{NARROW_SPACE}mm{axial}"
    filtered = _POST_FILTER.fullmatch(name)
    if filtered is not None:
        earl = re.fullmatch(r"earl\d", filtered["edition"])
        edition = standard_name(f"{filtered['edition']}_18f" if earl else filtered["edition"])
        return _POST_FILTER_LABELS[filtered["what"]].format(edition)
    plain_name = re.sub(r"_(mm|pct|deg|bqml)$", "", name)
    return _LABELS.get(name, plain_name.replace("_", " ").capitalize())


def standard_name(standard_id: str) -> str:
    """Return the short name of a standard: ``EARL 1`` for ``earl1_18f``."""
    known = re.fullmatch(r"earl(\d)_18f", standard_id)
    return f"EARL {known[1]}" if known else _STANDARD_NAMES.get(standard_id, standard_id.replace("_", " "))


# --- numbers --------------------------------------------------------------------------------------------------


def number(value: float, decimals: int, low: float | None = None, high: float | None = None) -> str:
    """Return a number with its sign, never rounded across a limit.

    Decimals are added until the rounded value meets or misses ``low`` and ``high`` as the value itself does, both
    ends belonging to the band: 0.849 against 0.85 keeps its third decimal.
    """
    places = decimals
    while places < 12 and (
        (low is not None and (round(value, places) < low) != (value < low))
        or (high is not None and (round(value, places) > high) != (value > high))
    ):
        places += 1
    text = f"{round(value, places):.{places}f}"
    return text.replace("-", MINUS) if round(value, places) else text.lstrip("-")


def _decimals_of(reach: float, decimals: int) -> int:
    """Return the decimals of a value ± reach: the usual ones, or where those would hide the reach, its two digits."""
    if reach <= 0 or reach >= 10.0**-decimals:
        return decimals
    return min(1 - math.floor(math.log10(reach)), decimals + _MORE_DECIMALS)


def _spread(reach: float, places: int) -> str:
    """Return ``± 0.024``; what is less than the last place can show is said to be less, and is never nothing."""
    half = 0.5 * 10.0**-places
    return f"± {reach:.{places}f}" if reach >= half else f"± < {half:.{places + 1}f}"


def plain(value: float) -> str:
    """Return a limit as it is written in its source: no added zeros beyond two decimals."""
    return f"{value:.10g}".replace("-", MINUS)


def signed(value: float, decimals: int) -> str:
    """Return a number with + or −; decimals are added until a difference from nothing is seen."""
    while decimals < 12 and value and not round(value, decimals):
        decimals += 1
    text = f"{abs(round(value, decimals)):.{decimals}f}"
    return text if not value else (MINUS if value < 0 else "+") + text


def with_unit(text: str, unit_sign: str) -> str:
    """Join a number and its unit with a narrow no-break space."""
    return f"{text}{NARROW_SPACE}{unit_sign}" if unit_sign else text


@dataclass(frozen=True)
class Quantity:
    """A measurement ready to be shown.

    Attributes
    ----------
    value : str
        Without unit; empty where there is none.
    spread : str
        ``± 0.024``, two standard deviations; empty where not stated.
    unit : str
        The unit's sign, empty for a pure number.
    limits : str
        ``0.85–1.00``, ``≤ 15``; empty where nothing is limited.
    margin : str
        Distance to the nearest limit, signed, negative outside; empty without value or limit.
    missing : str
        Why there is no value, in words.
    notes : tuple of str
        The other flags in words.
    """

    value: str
    spread: str
    unit: str
    limits: str
    margin: str
    missing: str
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """Value, spread and unit in one piece."""
        if not self.value:
            return f"not measured: {self.missing}"
        return with_unit(f"{self.value} {self.spread}".rstrip(), self.unit)


def quantity(measurement: Mapping[str, Any]) -> Quantity:
    """Turn one ``measurements[]`` object into what is shown."""
    unit = _UNITS.get(measurement["unit"], _Unit(measurement["unit"], 1.0, 2))
    decimals = _DECIMALS.get(measurement["name"], unit.decimals)
    if measurement["unit"] == "1" and not _is_ratio(measurement["name"]):
        unit, decimals = _Unit("", 1.0, _RAW_DECIMALS), _RAW_DECIMALS
    low, high = (
        None if limit is None else limit * unit.per_unit
        for limit in (measurement["limit_low"], measurement["limit_high"])
    )
    flags = [flag for flag in measurement["flags"] if flag != "UNCERTAINTY_NOT_STATED"]
    words = tuple(FLAG_WORDS.get(flag, flag.replace("_", " ").lower()) for flag in flags)
    if measurement["value"] is None:
        missing = "; ".join(words) or "no reason given"
        return Quantity("", "", unit.sign, limits_text(low, high), "", missing, ())
    value = measurement["value"] * unit.per_unit
    if unit.sign == "kBq/mL" and abs(value) < 1:
        decimals += 1
    reach = None if measurement["uncertainty"] is None else 2 * measurement["uncertainty"] * unit.per_unit
    shown = number(value, decimals if reach is None else _decimals_of(reach, decimals), low, high)
    places = len(shown.partition(".")[2])
    spread = "" if reach is None else _spread(reach, places)
    margins = [value - low] if low is not None else []
    margins += [high - value] if high is not None else []
    margin = signed(min(margins), places) if margins else ""
    return Quantity(shown, spread, unit.sign, limits_text(low, high), margin, "", words)


def decay_words(step: DecayStep) -> str:
    """Return how a line of a decay table follows from the one above: time between, factor, what was taken off."""
    if step.waited_s is None or step.factor is None:
        # A certificate is months old, so its clock time says little without its date.
        return f"{step.at.day} {step.at:%b %Y}" if step.at is not None and step.label == "Certified" else ""
    minutes = round(abs(step.waited_s) / 60)
    hours, days = minutes // 60, minutes / 1440
    if hours >= 48:
        waited = with_unit(number(days, 1), "d")
    elif hours:
        waited = f"{with_unit(str(hours), 'h')} {with_unit(str(minutes % 60), 'min')}"
    else:
        waited = with_unit(str(minutes), "min")
    words = f"{waited} {'later' if step.waited_s >= 0 else 'earlier'}: × {number(step.factor, 4)}"
    if step.taken_off_mbq is None:
        return words
    return f"{words}, then {with_unit(number(step.taken_off_mbq, 2), 'MBq')} off"


def limits_text(low: float | None, high: float | None) -> str:
    """Return the accepted range in signs: ``0.85–1.00``, ``−10 to +10``, ``≤ 15``, ``≥ 3``."""
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return f"≤ {plain(high)}" if high is not None else f"≥ {plain(low or 0.0)}"
    places = max(len(f"{end:.10g}".partition(".")[2]) for end in (low, high))
    if low < 0:
        return f"{signed(low, places)} to {signed(high, places)}"
    return f"{low:.{places}f}–{high:.{places}f}"


def relative_margin(measurement: Mapping[str, Any]) -> float | None:
    """Return the distance to the nearest limit as a part of the band's width, negative outside; None without both.

    A band with one end is as wide as that end is far from nothing.
    """
    value, low, high = measurement["value"], measurement["limit_low"], measurement["limit_high"]
    if value is None or (low is None and high is None):
        return None
    below = value - low if low is not None else math.inf
    above = high - value if high is not None else math.inf
    width = high - low if low is not None and high is not None else abs(low if high is None else high)
    return float(min(below, above) / (width or 1.0))


def _is_ratio(name: str) -> bool:
    """Say whether a number of unit 1 is a true ratio, not a raw pixel value whose headers name no unit."""
    sphere = _SPHERE.fullmatch(name)
    if sphere is not None:
        return "rc_" in sphere["what"]
    return name not in {"image_max", "image_mean", "background_mean", "cylinder_mean_bqml", "acr_background_bqml"}


# --- one sentence ---------------------------------------------------------------------------------------------


def deciding_standards(run: Mapping[str, Any], standards: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the standards whose limits decide: the named ones, else the first that judged anything."""
    if standards:
        return tuple(standards)
    judged = (one["standard"] for one in run["measurements"] if one["standard"] is not None)
    return tuple([first] if (first := next(judged, None)) else [])


def headline(run: Mapping[str, Any], standards: Sequence[str] = ()) -> str:
    """Return a run's verdict in one sentence.

    Parameters
    ----------
    run : mapping
        The offline contract's object.
    standards : sequence of str
        The standards that decide; without them the first that judged anything.

    Returns
    -------
    str
        For example ``Fail – five of six spheres are below the EARL 1 band``. It holds no name and no file name.
    """
    verdict = verdict_of(run)
    word = VERDICT_WORDS[verdict] if verdict is not None else "Measured"
    why = reason(run, standards)
    return f"{word} – {why}" if why else word


def verdict_of(run: Mapping[str, Any]) -> str | None:
    """Return a run's verdict; a refused run could not be checked, and None is a run that nothing judges."""
    return run["verdict"] or (Outcome.NOT_EVALUABLE.value if run["refused"] else None)


def reason(run: Mapping[str, Any], standards: Sequence[str] = ()) -> str:
    """Return the second half of `headline`, what stands after the verdict's word; empty where nothing is to say."""
    verdict, standards = verdict_of(run), deciding_standards(run, standards)
    if verdict is None:
        return "nothing to judge it by"
    if verdict == Outcome.ERROR:
        return "we are on it"
    if run["refused"] is not None and verdict == Outcome.NOT_EVALUABLE:
        return _refusal(run["refused"])
    if verdict == Outcome.NOT_EVALUABLE and run["method"] in {"patient", "suv"} and run["suv"]["refused"]:
        return _refusal(run["suv"]["refused"])
    judged = [one for one in run["measurements"] if one["standard"] in standards and one["verdict"] == verdict]
    found = [one for one in run["findings"] if counted(Outcome(one["outcome"]), one["severity"]) == verdict]
    phrases: list[str] = []
    if verdict == Outcome.PASS:
        return _pass_reason(run, judged, standards)
    if verdict == Outcome.NOT_EVALUABLE:
        phrases = _missing_reasons(judged)
    elif judged:
        phrases = _limit_reasons(judged, run, standards)
    if not phrases:
        phrases = [_as_clause(one["message"]) for one in found]
    more = f" (and {len(phrases) - 1} more)" if len(phrases) > 1 else ""
    return phrases[0] + more if phrases else ""


def _pass_reason(run: Mapping[str, Any], judged: list[Mapping[str, Any]], standards: tuple[str, ...]) -> str:
    spheres = {m["diameter"] for one in judged if (m := _SPHERE.fullmatch(one["name"])) and "rc_" in m["what"]}
    if spheres:
        near = sum("NEAR_LIMIT" in one["flags"] for one in judged)
        close = f", {_count(near)} {'number' if near == 1 else 'numbers'} near an edge" if near else ""
        return f"all {_count(len(spheres))} spheres lie inside the {_names(standards)} band{close}"
    bias = next((one for one in judged if one["name"] == "cylinder_bias_pct"), None)
    if bias is not None:
        return _bias_clause(bias)
    background = next((one for one in judged if one["name"] == "acr_background_suv_mean"), None)
    if background is not None:
        return f"{_background_clause(background)}, and the hot cylinders lie inside the {_names(standards)} limits"
    if run.get("conformance") and run["method"] == "patient":
        return "it is as the protocol asks"
    if run["method"] in {"patient", "suv"}:
        return "SUV can be worked out from the headers"
    return ""


def _limit_reasons(judged: list[Mapping[str, Any]], run: Mapping[str, Any], standards: tuple[str, ...]) -> list[str]:
    """Say what lies outside its limits: the spheres together, then each other number, farthest first."""
    spheres = [one for one in judged if (m := _SPHERE.fullmatch(one["name"])) and "rc_" in m["what"]]
    rest = [one for one in judged if one not in spheres]
    reasons = [_spheres_clause(spheres, run, standards)] if spheres else []
    rest.sort(key=lambda one: (one["name"] != "cylinder_bias_pct", relative_margin(one) or 0.0))
    return reasons + [_limit_clause(one) for one in rest]


def _spheres_clause(spheres: list[Mapping[str, Any]], run: Mapping[str, Any], standards: tuple[str, ...]) -> str:
    outside: dict[str, set[str]] = {}
    for one in spheres:
        side = "below" if one["limit_low"] is not None and one["value"] < one["limit_low"] else "above"
        inside = (one["limit_low"] is None or one["value"] >= one["limit_low"]) and (
            one["limit_high"] is None or one["value"] <= one["limit_high"]
        )
        outside.setdefault(_diameter(one), set()).add("near the edge of" if inside else side)
    total = {_diameter(one) for one in run["measurements"] if one["standard"] in standards and "mm_rc_" in one["name"]}
    sides = set().union(*outside.values())
    where = sides.pop() if len(sides) == 1 else "outside"
    band = f"the {_names(standards)} band"
    if len(outside) == 1:
        return f"the {next(iter(outside))}{NARROW_SPACE}mm sphere is {where} {band}"
    if len(outside) == len(total):
        return f"all {_count(len(total))} spheres are {where} {band}"
    return f"{_count(len(outside))} of {_count(len(total))} spheres are {where} {band}"


def _limit_clause(one: Mapping[str, Any]) -> str:
    if one["name"] == "cylinder_bias_pct":
        return _bias_clause(one)
    shown = quantity(one)
    if one["name"] == "acr_background_suv_mean":
        return f"{_background_clause(one)}; {plain(one['limit_low'])} to {plain(one['limit_high'])} is accepted"
    if one["name"] == "acr_ratio_16_25":
        size = number(one["value"], 2, one["limit_low"], one["limit_high"])
        ones = f"the 16{NARROW_SPACE}mm cylinder reads {size} of the 25{NARROW_SPACE}mm one"
        return f"{ones}; more than {plain(one['limit_low'])} is needed"
    if one["name"] == "cylinder_slice_deviation_max_pct":
        return f"one slice is {_percent(one)} off the mean; {plain(one['limit_high'])}{NARROW_SPACE}% is allowed"
    if one["name"] == "background_cov_pct":
        return f"the background noise is {_percent(one)}; {plain(one['limit_high'])}{NARROW_SPACE}% is allowed"
    if one["name"] == "activity_ratio":
        return f"sphere to background is {shown.value} by the sheet; {shown.limits} is accepted"
    words = label(one["name"])
    if one["value"] in {one["limit_low"], one["limit_high"]}:
        return f"{words} is {with_unit(shown.value, shown.unit)}, an end of its band that is not accepted"
    return f"{words} is {with_unit(shown.value, shown.unit)}; {with_unit(shown.limits, shown.unit)} is accepted"


def _bias_clause(bias: Mapping[str, Any]) -> str:
    value, low, high = bias["value"], bias["limit_low"], bias["limit_high"]
    limit = high if value >= 0 or low is None else abs(low)
    size = number(abs(value), 0 if abs(value) >= 2 else 1, high=limit)
    allowed = f"; {plain(limit)}{NARROW_SPACE}% is allowed" if limit is not None else ""
    side = "off" if not float(size) else ("high" if value > 0 else "low")
    return f"the cylinder reads {size}{NARROW_SPACE}% {side}{allowed}"


def _background_clause(one: Mapping[str, Any]) -> str:
    return f"the background reads SUV {number(one['value'], 2, one['limit_low'], one['limit_high'])}"


def _percent(one: Mapping[str, Any]) -> str:
    return number(one["value"], 0, one["limit_low"], one["limit_high"]) + f"{NARROW_SPACE}%"


def _missing_reasons(judged: list[Mapping[str, Any]]) -> list[str]:
    """Say why required numbers are missing, each reason once."""
    reasons: dict[str, None] = {}
    for one in judged:
        for flag in one["flags"]:
            if flag not in {"UNCERTAINTY_NOT_STATED", "NEAR_LIMIT"}:
                reasons.setdefault(FLAG_WORDS.get(flag, flag), None)
    return list(reasons)


def _refusal(refused: Mapping[str, Any]) -> str:
    detail = _as_clause(refused["detail"])
    is_suv = refused["code"].startswith("SUV-")
    return f"SUV was not worked out: {detail}" if is_suv and "SUV was not worked out" not in detail else detail


def _as_clause(sentence: str) -> str:
    """Return a sentence as the second half of another: no full stop, a small first letter unless it is a name."""
    text = sentence.strip().rstrip(".")
    first_word = text.split(" ", 1)[0]
    return text if len(first_word) > 1 and first_word[1:2].isupper() else text[:1].lower() + text[1:]


def _diameter(one: Mapping[str, Any]) -> str:
    sphere = _SPHERE.fullmatch(one["name"])
    return sphere["diameter"] if sphere else ""


def _count(count: int) -> str:
    return _COUNT_WORDS[count] if count < len(_COUNT_WORDS) else str(count)


def _names(standards: tuple[str, ...]) -> str:
    return " and ".join(standard_name(one) for one in standards)
