"""What body weight is replaced by in the other SUVs: lean mass, ideal weight, surface; each None outside its range."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from phantoms.errors import AnalysisRefused
from phantoms.suv.catalogue import refusal
from phantoms.suv.header import SeriesHeader
from phantoms.suv.notes import Notes

MAX_HEIGHT_M = 2.3

# Each formula takes weight in kg and height in cm.
_JAMES = {128: {"M": (1.10, 128.0), "F": (1.07, 148.0)}, 120: {"M": (1.10, 120.0), "F": (1.07, 148.0)}}
_JANMAHASATIAN = {"M": (6680.0, 216.0), "F": (8780.0, 244.0)}
_IDEAL = {"M": (48.0, 1.06), "F": (45.5, 0.91)}
_IDEAL_HEIGHT_CM = 152.0


@dataclass(frozen=True)
class Size:
    """A mass in kg or a surface in m², or None with the reason why it is not given."""

    value: float | None
    reason: str = ""


def lean_mass_james_kg(weight_kg: float, height_cm: float, sex: str, coefficient: int = 128) -> Size:
    """Lean body mass of James (1976), kg, with the coefficient 128 for men.

    With 120 it is the widespread variant that DICOM's SUV type LBM stands for; the two are never mixed. The parabola
    has its maximum at W* = a·H²/(2·b); a heavier body would get less lean mass, so it gets none. Where the formula
    gives more than the body's weight it is out of its range too.
    """
    for one in _sexes(sex):
        a, b = _JAMES[coefficient][one]
        limit_kg = a * height_cm**2 / (2 * b)
        if weight_kg > limit_kg:
            return Size(None, f"The James formula does not hold above {limit_kg:.1f} kg at {height_cm:.0f} cm.")

    def mass(one: str) -> float:
        a, b = _JAMES[coefficient][one]
        return a * weight_kg - b * (weight_kg / height_cm) ** 2

    size = _mean(sex, mass)
    if size.value is not None and not 0 < size.value <= weight_kg:
        return Size(None, f"The James formula does not hold for {weight_kg:g} kg at {height_cm:.0f} cm.")
    return size


def lean_mass_janmahasatian_kg(weight_kg: float, height_cm: float, sex: str) -> Size:
    """Lean body mass of Janmahasatian (2005), kg."""
    bmi = weight_kg / (height_cm / 100) ** 2

    def mass(one: str) -> float:
        a, b = _JANMAHASATIAN[one]
        return 9270.0 * weight_kg / (a + b * bmi)

    return _mean(sex, mass)


def ideal_weight_kg(weight_kg: float, height_cm: float, sex: str) -> Size:
    """Ideal body weight of Sugawara (1999), kg; it may exceed the weight and is not clamped to it."""
    del weight_kg

    def mass(one: str) -> float:
        a, b = _IDEAL[one]
        return a + b * (height_cm - _IDEAL_HEIGHT_CM)

    size = _mean(sex, mass)
    if size.value is not None and size.value <= 0:
        return Size(None, f"The ideal-weight formula does not hold at {height_cm:.0f} cm.")
    return size


def surface_m2(weight_kg: float, height_cm: float, sex: str = "") -> Size:
    """Body surface of Du Bois (1916), m²; the same for every sex."""
    del sex
    return Size(0.007184 * weight_kg**0.425 * height_cm**0.725)


def _sexes(sex: str) -> tuple[str, ...]:
    return ("M", "F") if sex == "O" else (sex,)


def _mean(sex: str, of_one: Callable[[str], float]) -> Size:
    """Return the formula of the sex; for O the mean of both, as IBSI does."""
    values = [of_one(one) for one in _sexes(sex)]
    return Size(sum(values) / len(values))


LBM_120 = "lbm_120"
#: What may stand in the place of weight, by the name of its SUV: kg, and m² for bsa.
KINDS: Mapping[str, Callable[[float, float, str], Size]] = {
    "lbm_james128": lean_mass_james_kg,
    LBM_120: lambda weight_kg, height_cm, sex: lean_mass_james_kg(weight_kg, height_cm, sex, 120),
    "lbm_janmahasatian": lean_mass_janmahasatian_kg,
    "bsa": surface_m2,
    "ibw": ideal_weight_kg,
}


# --- from the header ---


@dataclass(frozen=True)
class Body:
    """Weight and what replaces it, each with the reason where it cannot be had."""

    weight_kg: float | None
    sizes: Mapping[str, Size]  # kg, and m² for bsa
    problems: Mapping[str, AnalysisRefused]  # why a size cannot be had, by kind

    def factors(
        self, factor: float | None, *, differs_by_slice: bool
    ) -> tuple[dict[str, float | None], dict[str, str]]:
        """Return the factors to every kind of SUV from the one to SUVbw, and the reasons of those that are None."""
        found: dict[str, float | None] = {"bw": factor}
        reasons: dict[str, str] = {}
        for kind, size in self.sizes.items():
            found[kind] = None
            if differs_by_slice:
                reasons[kind] = "The factor differs by slice."
            elif factor is None:
                reasons[kind] = "There is no SUVbw."
            elif size.value is None or self.weight_kg is None:
                reasons[kind] = size.reason or "The weight is missing or 0 (0010,1030)."
            else:
                found[kind] = factor * relative_to_bw(kind, size.value, self.weight_kg)
        if factor is None:
            reasons["bw"] = "The factor differs by slice." if differs_by_slice else "It was refused."
        return found, reasons


def relative_to_bw(kind: str, size: float, weight_kg: float) -> float:
    """Return the SUV of this kind as a multiple of SUVbw; for bsa in cm²/g."""
    return size * 1e4 / (weight_kg * 1000) if kind == "bsa" else size / weight_kg


def read_body(header: SeriesHeader, notes: Notes, *, accepts_lbm120: bool = False) -> Body:
    """Read weight, height and sex, and work out every size that they allow.

    The lean mass with the coefficient 120 is among them only by the decision of a physicist.
    """
    weight_kg = _weight_kg(header.PatientWeight, header.PatientSize, notes)
    height_cm, height_problem = _height_cm(header.PatientSize, notes)
    sex = header.PatientSex if header.PatientSex in {"M", "F", "O"} else None
    notes.note("(0010,0040)", header.PatientSex, "sex; with O lean mass and ideal weight are the mean of both formulas")
    sex_problem = None
    if sex is None:
        sex_problem = refusal("SUV-NO-SEX", "The sex is missing or not M, F or O (0010,0040).")
    sizes: dict[str, Size] = {}
    problems: dict[str, AnalysisRefused] = {}
    for kind in KINDS if accepts_lbm120 else [kind for kind in KINDS if kind != LBM_120]:
        problem = height_problem or (sex_problem if kind != "bsa" else None)
        if problem is None and weight_kg is not None and height_cm is not None:
            sizes[kind] = KINDS[kind](weight_kg, height_cm, sex or "")
            if sizes[kind].value is None:
                problem = refusal("SUV-HABITUS", sizes[kind].reason)
        else:
            sizes[kind] = Size(None, problem.detail if problem else "The weight is missing or 0 (0010,1030).")
        if problem is not None:
            problems[kind] = problem
        unit = "m²" if kind == "bsa" else "kg"
        value = sizes[kind].value
        notes.note(kind, None if value is None else f"{value:.6g} {unit}", sizes[kind].reason or "in place of weight")
    return Body(weight_kg, sizes, problems)


def _weight_kg(weight: float | None, height: float | None, notes: Notes) -> float | None:
    notes.note("(0010,1030)", weight, "weight, kg")
    if not weight:
        notes.refuse("SUV-NO-WEIGHT", "The weight is missing or 0 (0010,1030).")
        return None
    if not 1 <= weight <= 500:
        hint = ", probably grams" if weight > 1000 else ""
        notes.refuse("SUV-WEIGHT", f"The weight of {weight:g} kg{hint} cannot be (0010,1030).")
        return None
    if weight <= MAX_HEIGHT_M and height is not None and height > MAX_HEIGHT_M:
        notes.refuse(
            "SUV-WEIGHT",
            f"A weight of {weight:g} kg with a height of {height:g} m cannot be; they look exchanged "
            "(0010,1030) (0010,1020).",
        )
        return None
    if not 20 <= weight <= 300:
        notes.warn("SUV-WEIGHT", f"The weight of {weight:g} kg is unusual for an adult (0010,1030).")
    return weight


def _height_cm(size: float | None, notes: Notes) -> tuple[float | None, AnalysisRefused | None]:
    notes.note("(0010,1020)", size, "height, m")
    if not size:
        return None, refusal("SUV-NO-HEIGHT", "The height is missing or 0 (0010,1020).")
    height_cm = size * 100
    if size > 3:
        height_cm = size
        notes.warn("SUV-HEIGHT-CM", f"The height of {size:g} was read as centimetres, not metres (0010,1020).")
    if not 50 <= height_cm <= 100 * MAX_HEIGHT_M:
        return None, refusal("SUV-HEIGHT", f"The height of {height_cm:g} cm cannot be (0010,1020).")
    return height_cm, None
