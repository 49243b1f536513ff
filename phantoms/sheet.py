"""The activity sheet: what the site wrote down when it filled the phantom, and the true concentration it implies.

Times on the sheet are the site's wall clock in ``time_zone``; DICOM times are the scanner's wall clock. The two are
compared as they stand, without zone, after ``clock_offset_s`` (scanner minus sheet) is added to the sheet's. A time
with an offset (``…Z``, ``…+01:00``) is first turned into the wall clock of ``time_zone``.

What looks like a slip is named together with the value that would mend it; nothing is ever changed here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from phantoms import sheet_checks, sheet_slips
from phantoms.errors import AnalysisRefused
from phantoms.fills import FILLS, NAMES, DecayClock, Fill
from phantoms.nuclides import NUCLIDES, half_life_s, nuclide_name
from phantoms.results import Finding, Outcome, QualityFlag

DEFAULT_NUCLIDE = "F-18"
# What a number, a clock offset and a year of the sheet can be at all; decay and products stay finite inside. A
# scanner's clock that was never set stands at 1970 or 2000.
NUMBERS = (1e-9, 1e12)
MAX_CLOCK_OFFSET_S = 2e9
YEARS = (1900, 2199)

_KEYS = {"nuclide", "time_zone", "fills", "phantom_serial", "calibrator", "volume_uncertainty_ml", "clock_offset_s"}
_KEYS |= {"header_dose"}
_FILL_KEYS = {"what", "activity_mbq", "assayed_at", "residual_mbq", "residual_at", "volume_ml", "concentration_bqml"}
_FILL_KEYS |= {"at", "sealed", "uncertainty_pct"}
#: A sealed source is used for years; what decays faster is filled anew.
SEALED_HALF_LIFE_S = 100 * 86_400.0


@dataclass(frozen=True)
class FillUncertainty:
    """One standard deviation of each step that makes a true concentration (the lab's rules, low confidence).

    Accredited calibrators are traceable to 2 to 5 %; flasks and weighed phantoms to about 1 %; clocks are read to
    the minute, so timing counts what the nuclide decays in one.
    """

    calibrator_pct: float = 3.0
    volume_pct: float = 1.0
    residual_pct: float = 0.5
    clock_min: float = 1.0


@dataclass(frozen=True)
class BudgetRow:
    """One contribution to the uncertainty of a true concentration, one standard deviation in per cent."""

    what: str
    pct: float
    source: str


@dataclass(frozen=True)
class Budget:
    """Independent contributions; ``total_pct`` is the root of the sum of their squares."""

    rows: tuple[BudgetRow, ...]

    @property
    def total_pct(self) -> float:
        """One standard deviation of the true concentration, per cent."""
        return math.sqrt(sum(row.pct**2 for row in self.rows))


@dataclass(frozen=True)
class DecayStep:
    """One line of the decay table: the activity and concentration at a clock time.

    The steps of the fill carry the sheet's clock, the last one the scanner's.

    Attributes
    ----------
    waited_s, factor : float or None
        Time since the line above, on one clock, and what is left of an activity after it; None on the first line.
    taken_off_mbq : float or None
        The residual, where this line has it taken off after the decay.
    """

    label: str
    at: datetime | None
    activity_mbq: float | None
    concentration_bqml: float | None
    waited_s: float | None = None
    factor: float | None = None
    taken_off_mbq: float | None = None


@dataclass(frozen=True)
class Sheet:
    """An activity sheet that could be read; it may still be half filled in, which `check` says."""

    fills: tuple[Fill, ...]
    nuclide: str = DEFAULT_NUCLIDE
    time_zone: str | None = None
    phantom_serial: str | None = None
    calibrator: Any = None
    volume_uncertainty_ml: float | None = None
    clock_offset_s: float = 0.0
    header_dose: str | None = None
    unknown_keys: tuple[str, ...] = ()
    header_nuclide: str | None = None  # what the images name
    is_nuclide_written: bool = True  # whether `nuclide` stands on the sheet, or is the images' or the default
    is_one_instant: bool = True

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, header_nuclide: str | None = None, is_one_instant: bool = True) -> Sheet:
        """Read a ``sheet.json`` object.

        Parameters
        ----------
        data : mapping
            The object as it was sent.
        header_nuclide : str or None
            The nuclide that the images name. It is taken where the sheet names none, and without either F-18 is;
            `check` compares the two.
        is_one_instant : bool
            Whether all values of the image hold at one instant. Where they do not (no decay correction), a
            concentration with ``"at": null`` holds at no known time: it is not given, but a ratio of two is.

        Raises
        ------
        AnalysisRefused
            ``SHEET-FORM``, ``SHEET-NUCLIDE``, ``SHEET-WHAT``, ``SHEET-NUMBER`` or ``SHEET-TIME``: the code of the
            first problem, the words of all of them.
        """
        reader = _Reader(header_nuclide, is_one_instant=is_one_instant)
        sheet = reader.sheet(data)
        if reader.problems:
            detail = " ".join(finding.message for finding in reader.problems)
            raise AnalysisRefused(reader.problems[0].id, detail, next_step=reader.problems[0].next_step)
        return sheet

    @property
    def clock(self) -> DecayClock:
        """The nuclide's decay on the scanner's clock."""
        return DecayClock(half_life_s(self.nuclide), self.clock_offset_s)

    @property
    def is_told_otherwise(self) -> bool:
        """Whether the fills are a sealed source and the images name another nuclide than its own."""
        is_sealed = any(fill.is_sealed for fill in self.fills)
        return is_sealed and self.header_nuclide not in (None, nuclide_name(self.nuclide))

    @property
    def positron_ratio(self) -> float:
        """What a scanner shows of a true concentration: 1, or the source's positrons over those it was told of.

        A scanner divides by the positron fraction of the nuclide that it was told.
        """
        told = NUCLIDES.get(self.header_nuclide or "") if self.is_told_otherwise else None
        own = NUCLIDES.get(nuclide_name(self.nuclide) or "")
        return own.positron_fraction / told.positron_fraction if told and own else 1.0

    def fill(self, what: str) -> Fill | None:
        """Return the fill of ``cylinder``, ``spheres`` or ``background``."""
        return next((fill for fill in self.fills if fill.what == what), None)

    def concentration_bqml(self, what: str, at: datetime | None) -> tuple[float | None, QualityFlag]:
        """Return the true concentration at the image's decay reference time, and flags.

        ``(A·2^(-(t - t_A)/T) - A_r·2^(-(t - t_r)/T)) / V`` with the drawn activity A, the residual A_r, their clock
        times, the half-life T and the volume V. Of a sealed source whose nuclide the scanner was not told, what such a
        scanner shows of it (`positron_ratio`), with the flag ``OTHER_NUCLIDE_TOLD``.

        Parameters
        ----------
        what : str
            ``cylinder``, ``spheres`` or ``background``.
        at : datetime or None
            The image's decay reference time on the scanner's clock, without zone; None where it is not known.

        Returns
        -------
        float or None
            Bq/mL; None with ``NO_SHEET`` where the fill is absent, half filled in, leaves nothing or was at a time
            more than `phantoms.fills.MAX_HALF_LIVES` from ``at``, with ``NO_REFERENCE_TIME`` where ``at`` is None
            and the fill's own time is fixed, or the fill's time is null and the image is not of one instant.
        """
        fill = self.fill(what)
        if fill is None or fill.missing:
            return None, QualityFlag.NO_SHEET
        told = QualityFlag.OTHER_NUCLIDE_TOLD if self.is_told_otherwise else QualityFlag.NONE
        if fill.is_at_reference_time and self.is_one_instant:
            stated = (fill.concentration_bqml or 0.0) * self.positron_ratio
            return stated, QualityFlag.SHEET_TIME_ASSUMED | told
        if fill.is_at_reference_time or at is None:
            return None, QualityFlag.NO_REFERENCE_TIME
        value = self.clock.concentration_bqml(fill, at)
        if value is None or value <= 0:
            return None, QualityFlag.NO_SHEET
        return value * self.positron_ratio, told

    def activity_ratio(self, at: datetime | None = None) -> tuple[float | None, QualityFlag]:
        """Return spheres over background at one moment, and flags.

        With one nuclide the moment does not matter: two fills with times of their own are compared at that of the
        spheres, two whose times are null as they stand. ``at`` is needed only where one time is null and one is not.
        """
        stock, around = self.fill("spheres"), self.fill("background")
        if stock is None or around is None or stock.missing or around.missing:
            return None, QualityFlag.NO_SHEET
        if stock.is_at_reference_time and around.is_at_reference_time:
            return (stock.concentration_bqml or 0.0) / (around.concentration_bqml or math.inf), (
                QualityFlag.SHEET_TIME_ASSUMED
            )
        if not stock.is_at_reference_time and not around.is_at_reference_time:
            at = self.clock.on_scanner(stock.moments[0])
        elif at is None or not self.is_one_instant:
            return None, QualityFlag.NO_REFERENCE_TIME
        spheres, spheres_flags = self.concentration_bqml("spheres", at)
        background, background_flags = self.concentration_bqml("background", at)
        flags = spheres_flags | background_flags
        if spheres is None or background is None:
            return None, flags
        return spheres / background, flags

    def decay_steps(self, what: str, at: datetime | None) -> list[DecayStep]:
        """Return the decay table of one fill from the draw to the scan; only the steps whose data are there."""
        fill = self.fill(what)
        if fill is None:
            return []
        clock = self.clock
        if fill.is_concentration:
            steps = [DecayStep("Certified" if fill.is_sealed else "Stated", fill.at, None, fill.concentration_bqml)]
        else:
            steps = [DecayStep("Certified" if fill.is_sealed else "Drawn", fill.assayed_at, fill.activity_mbq, None)]
            place = {"cylinder": "phantom", "spheres": "stock"}.get(what, what)
            if not fill.missing and fill.residual_at is not None:
                bqml = clock.concentration_bqml(fill, clock.on_scanner(fill.residual_at))
                if bqml is not None:
                    label, left_at = f"In the {place}, residual off", fill.residual_at
                    since = clock.since(fill.assayed_at, clock.on_scanner(left_at))
                    steps.append(DecayStep(label, left_at, _mbq(fill, bqml), bqml, *since, fill.residual_mbq))
        value, _ = self.concentration_bqml(what, at)
        if value is not None:
            if self.positron_ratio != 1.0:
                true = value / self.positron_ratio
                steps.append(DecayStep("At the scan", at, _mbq(fill, true), true, *clock.since(steps[-1].at, at)))
                label = f"As a scanner told {self.header_nuclide} shows it"
                return [*steps, DecayStep(label, at, None, value, 0.0, self.positron_ratio)]
            steps.append(DecayStep("At the scan", at, _mbq(fill, value), value, *clock.since(steps[-1].at, at)))
        return steps

    def uncertainty_budget(self, what: str, parameters: FillUncertainty | None = None) -> Budget:
        """Return what the true concentration of one fill may be off by, one standard deviation each.

        A concentration that the site stated has the same budget: how it was obtained is not on the sheet.
        """
        p = parameters or FillUncertainty()
        fill = self.fill(what)
        volume_pct, volume_source = p.volume_pct, "house value for a measured volume"
        if fill and fill.volume_ml and self.volume_uncertainty_ml is not None:
            volume_pct, volume_source = 100 * self.volume_uncertainty_ml / fill.volume_ml, "the sheet"
        if fill and fill.is_sealed:
            source = (
                "the certificate" if fill.activity_sd_pct is not None else "house value; no uncertainty on the sheet"
            )
            certificate_pct = p.calibrator_pct if fill.activity_sd_pct is None else fill.activity_sd_pct
            rows = [BudgetRow("Certificate", certificate_pct, source)]
            # A certified concentration has its volume in it.
            return Budget(
                tuple(rows if fill.is_concentration else [*rows, BudgetRow("Volume", volume_pct, volume_source)])
            )
        timing_pct = 100 * math.log(2) * 60 * p.clock_min / half_life_s(self.nuclide)
        rows = [
            BudgetRow("Dose calibrator", p.calibrator_pct, "house value; calibrators are traceable to 2 to 5 %"),
            BudgetRow("Volume", volume_pct, volume_source),
            BudgetRow("Residual", p.residual_pct, "house value"),
        ]
        if not (fill and fill.is_at_reference_time):
            rows.append(BudgetRow("Clock", timing_pct, f"decay of {self.nuclide} in {p.clock_min:g} min"))
        return Budget(tuple(rows))

    def ratio_uncertainty_pct(self) -> float:
        """Return one standard deviation of spheres over background, per cent: volumes and residuals of both.

        Both are drawn on one calibrator and one clock, which leave their ratio alone.
        """
        rows = [*self.uncertainty_budget("spheres").rows, *self.uncertainty_budget("background").rows]
        return math.sqrt(sum(row.pct**2 for row in rows if row.what in {"Volume", "Residual"}))

    def check(
        self,
        at: datetime | None = None,
        *,
        fills: Collection[str] | None = None,
        readings: Mapping[str, sheet_slips.Reading] | None = None,
        nominal_ratio: float = sheet_checks.NOMINAL_RATIO,
    ) -> tuple[Finding, ...]:
        """Return everything that looks wrong, all at once, with the slips that explain it.

        Parameters
        ----------
        at : datetime or None
            The image's decay reference time; with it the order of draw and scan, and the concentrations at the scan,
            are looked at too.
        fills : collection of str or None
            The fills that the scan's method uses; only they are looked at, and spheres against background only
            where it uses both. None looks at all.
        readings : mapping of str to Reading, optional
            What the images show of each fill, once they are measured: it tells slips apart, and gives ``SHEET-SLIP``
            where one explains why image and sheet disagree.
        nominal_ratio : float
            The ratio of spheres to background that the phantom is made for.
        """
        used = [fill for fill in self.fills if fills is None or fill.what in fills]
        findings = [*sheet_checks.check_keys(self.unknown_keys)]
        written = nuclide_name(self.nuclide) if self.is_nuclide_written else None
        is_sealed = any(fill.is_sealed for fill in used)
        findings += sheet_checks.check_nuclide(written, self.header_nuclide, is_sealed=is_sealed)
        for fill in used:
            findings += sheet_checks.check_fill(fill, self.clock, at)
        if fills is None or {"spheres", "background"} <= set(fills):
            findings += sheet_checks.check_partner(fill.what for fill in used)
            findings += sheet_checks.check_ratio(self.activity_ratio(at)[0], nominal_ratio)
        budget_pct = {fill.what: self.uncertainty_budget(fill.what).total_pct for fill in used}
        at = at if self.is_one_instant else None
        shown = {
            what: replace(reading, bqml=reading.bqml / self.positron_ratio)
            for what, reading in (readings or {}).items()
        }
        accepted = sheet_checks.ratio_bands(nominal_ratio)[0]
        evidence = sheet_slips.Evidence(self.clock, at, budget_pct, shown, accepted)
        return sheet_slips.with_slips(findings, used, evidence)


def problems(
    data: object,
    at: datetime | None = None,
    *,
    header_nuclide: str | None = None,
    fills: Collection[str] | None = None,
    nominal_ratio: float = sheet_checks.NOMINAL_RATIO,
) -> tuple[Finding, ...]:
    """Return all that is wrong with a ``sheet.json`` object at once, whether or not it can be read."""
    reader = _Reader(header_nuclide)
    sheet = reader.sheet(data)
    return tuple(reader.problems) + sheet.check(at, fills=fills, nominal_ratio=nominal_ratio)


class _Reader:
    """Reads a sheet and collects what cannot be read, instead of stopping at the first."""

    def __init__(self, header_nuclide: str | None, *, is_one_instant: bool = True) -> None:
        self.problems: list[Finding] = []
        self._header_nuclide = nuclide_name(header_nuclide) or header_nuclide
        self._is_one_instant = is_one_instant
        self._zone: ZoneInfo | None = None
        self._nuclide = DEFAULT_NUCLIDE

    def sheet(self, data: object) -> Sheet:
        if not isinstance(data, Mapping):
            self._note("SHEET-FORM", "The sheet is not a table of fields.", "Send the sheet as sheet.json.")
            return Sheet(())
        zone = self._text(data, "time_zone")
        self._zone = self._known_zone(zone)
        written = self._text(data, "nuclide")
        header_nuclide = self._header_nuclide
        nuclide = written or header_nuclide or DEFAULT_NUCLIDE
        try:
            half_life_s(nuclide)
        except AnalysisRefused as refusal:
            self._note("SHEET-NUCLIDE", refusal.detail, "Name the nuclide as in F-18.")
            nuclide, header_nuclide = DEFAULT_NUCLIDE, None  # nothing is left to compare
        self._nuclide = nuclide
        header_dose = self._text(data, "header_dose")
        if header_dose not in (None, "real", "placeholder"):
            self._note("SHEET-FORM", "The header's dose is either real or placeholder.", "Choose one of them.")
        unknown = [key for key in data if key not in _KEYS]
        fills: list[Fill] = []
        rows = data.get("fills")
        if not isinstance(rows, list) or not rows:
            self._note("SHEET-FORM", "The sheet has no fills.", "Enter the cylinder, or spheres and background.")
            rows = []
        for row in rows:
            fill = self._fill(row, {fill.what for fill in fills})
            if fill is not None:
                fills.append(fill)
                unknown += [f"{fill.what}: {key}" for key in row if key not in _FILL_KEYS]
        return Sheet(
            fills=tuple(fills),
            nuclide=nuclide,
            time_zone=zone,
            phantom_serial=self._text(data, "phantom_serial"),
            calibrator=data.get("calibrator"),
            volume_uncertainty_ml=self._number(data, "volume_uncertainty_ml", "The volume's uncertainty"),
            clock_offset_s=self._clock_offset_s(data),
            header_dose=header_dose,
            unknown_keys=tuple(str(key) for key in unknown),
            header_nuclide=header_nuclide,
            is_nuclide_written=written is not None,
            is_one_instant=self._is_one_instant,
        )

    def _fill(self, row: object, seen: set[str]) -> Fill | None:
        if not isinstance(row, Mapping):
            self._note("SHEET-FORM", "A fill is not a table of fields.", "Send the sheet as sheet.json.")
            return None
        what = row.get("what")
        if not isinstance(what, str) or what not in FILLS:
            self._note(
                "SHEET-WHAT",
                f"A fill is of {sheet_checks.listed(FILLS, 'or')}; “{_shown(what)}” is none.",
                "Say what was filled.",
            )
            return None
        name = NAMES[what].capitalize()
        if what in seen:
            self._note("SHEET-WHAT", f"{name} is on the sheet twice.", "Leave one of them out.")
            return None
        concentration = self._number(row, "concentration_bqml", f"{name}: the concentration")
        volume = self._number(row, "volume_ml", f"{name}: the volume")
        is_sealed = row.get("sealed", False)
        if not isinstance(is_sealed, bool):
            self._note("SHEET-FORM", f"{name}: sealed is neither true nor false.", "Say whether the source is sealed.")
            is_sealed = False
        if is_sealed and half_life_s(self._nuclide) < SEALED_HALF_LIFE_S:
            self._note(
                "SHEET-FORM",
                f"{name}: a sealed source is of a nuclide that lives for months, and {self._nuclide} is none.",
                "Name the nuclide of the source, as in Ge-68.",
            )
        if is_sealed and (row.get("residual_mbq") or row.get("residual_at")):
            self._note("SHEET-FORM", f"{name}: a sealed source has no residual.", "Leave the residual out.")
        if volume == 0 or concentration == 0:
            self._note("SHEET-NUMBER", f"{name}: a volume or concentration of 0 says nothing.", "Enter what it was.")
        return Fill(
            what=what,
            activity_mbq=self._number(row, "activity_mbq", f"{name}: the activity"),
            assayed_at=self._time(row, "assayed_at", f"{name}: the time of the draw", is_day_enough=is_sealed),
            residual_mbq=self._number(row, "residual_mbq", f"{name}: the residual"),
            residual_at=self._time(row, "residual_at", f"{name}: the time of the residual"),
            volume_ml=volume,
            concentration_bqml=concentration,
            at=self._time(row, "at", f"{name}: the time of the concentration", is_day_enough=is_sealed),
            is_at_reference_time=concentration is not None and "at" in row and row["at"] is None,
            is_sealed=is_sealed,
            activity_sd_pct=self._number(row, "uncertainty_pct", f"{name}: the uncertainty") if is_sealed else None,
        )

    def _text(self, row: Mapping[str, Any], key: str) -> str | None:
        value = row.get(key)
        if value is None or isinstance(value, str):
            return value or None
        self._note("SHEET-FORM", f"“{key}” is not a word.", "Enter it as text.")
        return None

    def _number(self, row: Mapping[str, Any], key: str, name: str) -> float | None:
        value = row.get(key)
        if value is None:
            return None
        number = _float(value)
        if number is None or number < 0:
            self._note("SHEET-NUMBER", f"{name} is not a number from 0 up ({_shown(value)}).", "Enter a number.")
            return None
        least, most = NUMBERS
        if number > most or 0 < number < least:
            size = "large" if number > most else "small"
            self._note("SHEET-NUMBER", f"{name} is too {size} to be right ({number:.3g}).", "Check number and unit.")
            return None
        return number

    def _clock_offset_s(self, data: Mapping[str, Any]) -> float:
        value = data.get("clock_offset_s")
        if value is None:
            return 0.0
        number = _float(value)
        if number is None:
            self._note("SHEET-NUMBER", f"The clock offset is not a number ({_shown(value)}).", "Enter seconds.")
            return 0.0
        if abs(number) > MAX_CLOCK_OFFSET_S:
            self._note(
                "SHEET-NUMBER",
                f"The clock offset is too large to be right ({number:.3g} s).",
                "Enter the seconds that the scanner's clock was ahead of the site's.",
            )
            return 0.0
        return number

    def _time(self, row: Mapping[str, Any], key: str, name: str, *, is_day_enough: bool = False) -> datetime | None:
        """Return a moment; a certificate may give the day alone, which stands for its noon."""
        value = row.get(key)
        if value is None:
            return None
        try:
            if not isinstance(value, str) or (":" not in value and not is_day_enough):
                raise ValueError  # noqa: TRY301 (a date alone is no clock time)
            moment = datetime.fromisoformat(value if ":" in value else f"{value}T12:00:00")
        except ValueError:
            self._note("SHEET-TIME", f"{name} is not a date with a clock time ({_shown(value)}).", "Enter both.")
            return None
        if not YEARS[0] <= moment.year <= YEARS[1]:
            self._note("SHEET-TIME", f"{name} lies in the year {moment.year}, which cannot be.", "Check the date.")
            return None
        if moment.tzinfo is None:
            return moment
        if self._zone is None:
            self._note("SHEET-TIME", f"{name} has a zone, the sheet has none.", "Name the site's time zone.")
            return None
        return moment.astimezone(self._zone).replace(tzinfo=None)

    def _known_zone(self, name: str | None) -> ZoneInfo | None:
        if name is None:
            return None
        try:
            return ZoneInfo(name)
        except (ValueError, OSError, KeyError):  # KeyError: the zone, or the machine's whole table, is not there
            self._note("SHEET-TIME", f"“{name[:40]}” is not a time zone.", "Name it as in Europe/London.")
            return None

    def _note(self, code: str, message: str, next_step: str) -> None:
        self.problems.append(sheet_checks.finding(code, Outcome.NOT_EVALUABLE, "exclude", message, next_step))


def _float(value: object) -> float | None:
    """Return a JSON number as a float, infinite where it is too large for one; None where it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number


def _shown(value: object) -> str:
    """Return what was written, shortened; Python writes out no whole number of thousands of digits."""
    try:
        return str(value)[:30]
    except ValueError:
        return "a number too long to show"


def _mbq(fill: Fill, concentration_bqml: float) -> float | None:
    return concentration_bqml * fill.volume_ml / 1e6 if fill.volume_ml else None
