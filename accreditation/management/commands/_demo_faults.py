"""The demonstration's faults: one digital phantom for each fault that the product names, and what must come out.

`FAULTS` is the one list: what is drawn, which codes must be named, which may stand beside them as another side of the
same fault, and the verdict. A code that a method can give and that is not drawn here is listed in `NOT_DRAWN` with the
reason (`NOT_DRAWN_OF_KIND` for one kind of phantom), which a test holds complete.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from accreditation.management.commands import _demo_people as people
from accreditation.management.commands import _demo_site as site
from accreditation.management.commands._demo_scans import DemoScan
from accreditation.management.commands._demo_sendings import PHYSICIST, Desk, Sending
from phantoms import digital, digital_acr, digital_ct
from phantoms.results import Outcome
from phantoms.volume import PetVolume

#: Coarse grids that hold the phantoms: drawn and measured in a second each.
CYLINDER_GRID: dict[str, Any] = {"shape_zyx": (64, 90, 90), "spacing_zyx_mm": (4.0, 4.0, 4.0), "cov": 0.03, "seed": 11}
SPHERE_GRID: dict[str, Any] = {"shape_zyx": (60, 100, 100), "spacing_zyx_mm": (4.0, 4.0, 4.0), "cov": 0.04, "seed": 11}
ACR_GRID: dict[str, Any] = {"cov": 0.04, "seed": 1}
IN_ORDER_FWHM_MM = 8.0  # inside the EARL 1 bands

#: Codes that a phantom method can give and that no row draws, each with the reason.
NOT_DRAWN = {
    "PHA-NOT-FOUND": "a refusal: there is no phantom to draw a fault into",
    "PHA-CT-UNREAD": "a CT that cannot be used, no fault of the phantom",
    "PHA-CT-NONE": "said wherever no CT was sent",
    "PHA-CT-FRAME": "a header of the CT, no fault of the phantom",
    "PHA-CUT": "the field of view, no fault of scanner or fill",
    "PHA-POSE": "how the phantom lies, no fault of scanner or fill",
    "PHA-BUDGET": "an uncertainty in words",
    "PHA-VOLUME": "a number of the sheet, checked where both ends are seen",
    "PHA-SPHERE": "given where the image does not tell PHA-BUBBLE from PHA-MISFILL, which are drawn",
    "PHA-HARMONISE": "the way out, not a cause",
    "PHA-SIGHT": "how small a bubble the image shows, no fault by itself",
    "PHA-UNSEEN": "a hot cylinder that noise hides, no fault by itself",
    "PHA-SUV": "header against sheet, no fault of the images",
}
#: The same for one kind of phantom only, by kind and code.
NOT_DRAWN_OF_KIND = {
    ("acr", "PHA-FILTER"): "at 2.5:1 the drawn 16 mm cylinder keeps 0.74 and more at every blur in which the phantom "
    "is found; the limit is 0.7",
}


#: Said of every sphere phantom that comes without a CT, so of all rows but those that draw one.
WITHOUT_CT = "PHA-CT-NONE"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the list.

    Attributes
    ----------
    name : str
        Also the name of its folder.
    kind : str
        ``cylinder``, ``nema_iq`` or ``acr``.
    drawn : str
        The fault in words.
    codes : tuple of str
        What must be named, and nothing else.
    beside : tuple of str
        What may be named too, as another side of the same fault.
    expected : Outcome
    draw : callable
    draw_ct : callable or None
        The CT beside it.
    """

    name: str
    kind: str
    drawn: str
    codes: tuple[str, ...]
    expected: Outcome
    draw: Callable[[], digital.DigitalScan]
    draw_ct: Callable[[digital.DigitalScan], PetVolume] | None = None
    beside: tuple[str, ...] = ()

    def scan(self) -> DemoScan:
        """Return what is sent."""
        return DemoScan(
            name=self.name,
            kind=self.kind,
            truth=self.drawn,
            expected=self.expected,
            margin_sd=math.inf,
            make=self.draw,
            make_ct=self.draw_ct,
        )

    def is_named_by(self, found: Sequence[str]) -> bool:
        """Whether every code was named and no other."""
        return set(self.codes) <= set(found) <= {*self.codes, *self.beside}


def _cylinder(**drawn: Any) -> Callable[[], digital.DigitalScan]:
    return lambda: digital.uniform_cylinder(**CYLINDER_GRID | drawn)


def _spheres(**drawn: Any) -> Callable[[], digital.DigitalScan]:
    return lambda: digital.nema_iq(**{"fwhm_mm": IN_ORDER_FWHM_MM} | SPHERE_GRID | drawn)


def _acr(**drawn: Any) -> Callable[[], digital.DigitalScan]:
    return lambda: digital_acr.acr_pet(**ACR_GRID | drawn)


def _ct(**drawn: Any) -> Callable[[digital.DigitalScan], PetVolume]:
    return lambda scan: digital_ct.nema_iq_ct(scan.truth["spheres"], **drawn)


def _an_hour_early() -> digital.DigitalScan:
    """Return a cylinder in order whose sheet was written by a clock one hour behind: winter time in summer."""
    scan = digital.uniform_cylinder(**CYLINDER_GRID)
    sheet = copy.deepcopy(scan.sheet) or {}
    for fill in sheet["fills"]:
        for name in ("assayed_at", "residual_at"):
            fill[name] = (datetime.fromisoformat(fill[name]) - timedelta(hours=1)).isoformat()
    return replace(scan, sheet=sheet)


FAULTS = (
    Fault(
        name="cylinder-wedge",
        kind="cylinder",
        drawn="a sector of 30° reads 15 % low: a failed detector block",
        codes=("PHA-WEDGE",),
        expected=Outcome.WARN,
        draw=_cylinder(faults=digital.ScannerFaults(wedge_pct=-15, wedge_at_deg=60)),
    ),
    Fault(
        name="cylinder-ring",
        kind="cylinder",
        drawn="a ring of 45 mm radius reads 15 % low: an old normalisation",
        codes=("PHA-RING",),
        expected=Outcome.WARN,
        draw=_cylinder(faults=digital.ScannerFaults(ring_pct=-15, ring_radius_mm=45, ring_width_mm=10)),
    ),
    Fault(
        name="cylinder-bed-join",
        kind="cylinder",
        drawn="a saw-tooth of 12 % every 100 mm: beds that do not meet",
        codes=("PHA-BED-JOIN",),
        beside=("PHA-SLICE",),
        expected=Outcome.WARN,
        draw=_cylinder(faults=digital.ScannerFaults(bed_join_pct=12, bed_length_mm=100)),
    ),
    Fault(
        name="cylinder-cupping",
        kind="cylinder",
        drawn="the middle reads 18 % lower than the wall: scatter or attenuation",
        codes=("PHA-CUPPING",),
        expected=Outcome.WARN,
        draw=_cylinder(cupping_pct=-18),
    ),
    Fault(
        name="cylinder-slope",
        kind="cylinder",
        drawn="the reading rises by 2 % per cm towards the head",
        codes=("PHA-SLOPE",),
        beside=("PHA-SLICE",),
        expected=Outcome.FAIL,
        draw=_cylinder(axial_slope_pct_per_cm=2),
    ),
    Fault(
        name="cylinder-reads-high",
        kind="cylinder",
        drawn="all reads 16 % high: calibration",
        codes=("PHA-CALIBRATION",),
        expected=Outcome.FAIL,
        draw=_cylinder(calibration=1.16),
    ),
    Fault(
        name="spheres-read-high",
        kind="nema_iq",
        drawn="spheres and background read 16 % high: calibration",
        codes=("PHA-CALIBRATION",),
        expected=Outcome.FAIL,
        draw=_spheres(calibration=1.16),
    ),
    Fault(
        name="spheres-smooth",
        kind="nema_iq",
        drawn="a resolution of 11 mm: too wide a filter",
        codes=("PHA-FILTER",),
        expected=Outcome.FAIL,
        draw=_spheres(fwhm_mm=11.0),
    ),
    Fault(
        name="spheres-bubble",
        kind="nema_iq",
        drawn="a quarter of the 28 mm sphere is air",
        codes=("PHA-BUBBLE",),
        expected=Outcome.WARN,
        draw=_spheres(sphere_faults=digital.SphereFaults(bubble_pct={28: 25})),
    ),
    Fault(
        name="spheres-misfill",
        kind="nema_iq",
        drawn="the 28 mm sphere holds 30 % less, evenly",
        codes=("PHA-MISFILL",),
        expected=Outcome.FAIL,
        draw=_spheres(sphere_faults=digital.SphereFaults(misfill_pct={28: 30})),
    ),
    Fault(
        name="spheres-stock",
        kind="nema_iq",
        drawn="the stock of all spheres holds 18 % less than the sheet says",
        codes=("PHA-FILL",),
        expected=Outcome.FAIL,
        draw=_spheres(sphere_faults=digital.SphereFaults(misfill_pct=dict.fromkeys(digital.SPHERE_DIAMETERS_MM, 18.0))),
    ),
    Fault(
        name="spheres-slope",
        kind="nema_iq",
        drawn="the reading falls by 2 % per cm towards the head",
        codes=("PHA-SLOPE",),
        expected=Outcome.WARN,
        draw=_spheres(axial_slope_pct_per_cm=-2.0),
    ),
    Fault(
        name="spheres-wedge",
        kind="nema_iq",
        drawn="a sector of 40° reads 18 % low: a failed detector block",
        codes=("PHA-WEDGE",),
        expected=Outcome.WARN,
        draw=_spheres(faults=digital.ScannerFaults(wedge_pct=-18, wedge_at_deg=30, wedge_width_deg=40)),
    ),
    Fault(
        name="spheres-bubble-and-low",
        kind="nema_iq",
        drawn="30 % of the 28 mm sphere is air, and all reads 16 % low",
        codes=("PHA-BUBBLE", "PHA-CALIBRATION"),
        expected=Outcome.FAIL,
        draw=_spheres(calibration=0.84, sphere_faults=digital.SphereFaults(bubble_pct={28: 30})),
    ),
    Fault(
        name="ct-air",
        kind="nema_iq",
        drawn="PET in order; on the CT 20 % of the 22 mm sphere is air that came after the PET",
        codes=("PHA-CT-BUBBLE",),
        expected=Outcome.FAIL,
        draw=_spheres(),
        draw_ct=_ct(bubble_pct={22: 20.0}),
    ),
    Fault(
        name="ct-water",
        kind="nema_iq",
        drawn="PET in order; the water reads 25 HU on the CT",
        codes=("PHA-CT-WATER",),
        expected=Outcome.FAIL,
        draw=_spheres(),
        draw_ct=_ct(water_hu=25.0),
    ),
    Fault(
        name="ct-apart",
        kind="nema_iq",
        drawn="PET in order; the CT lies 6 mm beside it",
        codes=("PHA-CT-OFFSET",),
        expected=Outcome.WARN,
        draw=_spheres(),
        draw_ct=_ct(offset_mm=(4.8, -3.6, 0.0)),
    ),
    Fault(
        name="ct-fill",
        kind="nema_iq",
        drawn="PET in order; on the CT the body is not full: a layer of air 12 mm deep lies above the water",
        codes=("PHA-CT-FILL",),
        expected=Outcome.WARN,
        draw=_spheres(),
        draw_ct=_ct(
            air=digital_ct.Air(height_mm=12.0),
            shape_zyx=(56, 200, 232),
            spacing_zyx_mm=(4.0, 1.4, 1.4),
            stack_mm=-27.0,
        ),
    ),
    Fault(
        name="acr-reads-low",
        kind="acr",
        drawn="all reads 20 % low: calibration",
        codes=("PHA-CALIBRATION",),
        expected=Outcome.FAIL,
        draw=_acr(calibration=0.8),
    ),
    Fault(
        name="acr-scatter",
        kind="acr",
        drawn="the air cylinder reads 35 % of the background, the water one 10 %: scatter",
        codes=("PHA-SCATTER",),
        expected=Outcome.WARN,
        draw=_acr(cold_fractions={"air": 0.35, "water": 0.1}),
    ),
    Fault(
        name="acr-no-rods",
        kind="acr",
        drawn="the section of rods is missing",
        codes=("PHA-RODS",),
        expected=Outcome.WARN,
        draw=_acr(has_rods=False),
    ),
    Fault(
        name="sheet-an-hour-early",
        kind="cylinder",
        drawn="images in order; the sheet's times are an hour early: summer time",
        codes=("SHEET-SLIP",),
        # The images read too high for the sheet as it stands, and only a person can say which of the two is wrong.
        beside=("PHA-CALIBRATION",),
        expected=Outcome.FAIL,
        draw=_an_hour_early,
    ),
)


@dataclass
class FaultPart:
    """Sends one phantom per fault and reads what the product names in it.

    Parameters
    ----------
    desk : Desk
    folder : Path
        Where digital scans are kept.
    only : sequence of str
        Names of rows; all where it is empty.
    """

    desk: Desk
    folder: Path
    only: Sequence[str] = ()
    rows: list[tuple[Fault, Sending]] = field(default_factory=list)
    found: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for fault in FAULTS:
            if not self.only or fault.name in self.only:
                folder = self.folder / "faults" / fault.name
                sending = Sending(
                    key=f"faults/{fault.name}", name=fault.name, folder=folder, scan=fault.scan(), is_zipped=True
                )
                self.rows.append((fault, sending))

    def send(self) -> None:
        """Send them all, so that workers measure while the next is drawn."""
        for fault, sending in self.rows:
            place = site.Place(fault.kind, "· 1", people.RECONSTRUCTION)
            self.desk.send(sending, lambda _, place=place: place)  # type: ignore[misc]

    def read(self) -> None:
        """Wait for the verdicts, and read as the physicist what was named."""
        self.desk.read_all([sending for _, sending in self.rows])
        for fault, sending in self.rows:
            browser = self.desk.browser_of(PHYSICIST)
            found = site.named_faults(browser, sending.number)
            self.found[fault.name] = tuple(code for code in found if code != WITHOUT_CT or fault.draw_ct is not None)

    def is_as_expected(self, fault: Fault, sending: Sending) -> bool:
        """Whether every drawn fault was named, no other was, and the verdict is the one expected."""
        return fault.is_named_by(self.found.get(fault.name, ())) and sending.is_as_expected

    def unexpected(self) -> Iterator[str]:
        """Yield the rows that did not come out as they were drawn."""
        return (fault.name for fault, sending in self.rows if not self.is_as_expected(fault, sending))
