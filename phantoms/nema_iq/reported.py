"""What is reported of a NEMA image-quality phantom: its measurements by name, and how it was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from phantoms import background_rois, findings
from phantoms.nema_iq.background import PLANE_OFFSETS_MM, Background
from phantoms.results import Finding, Measurement, Outcome, Owner, QualityFlag
from phantoms.spheres import DIAMETERS_MM

if TYPE_CHECKING:
    from phantoms.localise import NemaPose
    from phantoms.nema_iq.lung import Lung
    from phantoms.nema_iq.sphere import SphereResult
    from phantoms.nema_iq.truth import Truth
    from phantoms.sphere_contents import Contents
    from phantoms.volume import PetVolume

_EDITIONS_WITH_COLD = frozenset({"nu2_2012"})


def list_measurements(
    volume: PetVolume,
    pose: NemaPose,
    layout: background_rois.BackgroundRois,
    background: Background,
    spheres: tuple[SphereResult, ...],
    lung: Lung,
    truth: Truth,
    fwhm_mm: float | None,
) -> Iterator[Measurement]:
    """Yield every number a standard may judge, without its uncertainty."""
    planes = QualityFlag.NONE if background.is_complete else QualityFlag.OUTSIDE_IMAGE
    for sphere in spheres:
        yield from _sphere_measurements(volume, sphere, planes, truth)
    yield Measurement(
        name="background_mean",
        value=background.mean,
        unit=volume.unit,
        uncertainty=background.standard_error,
        flags=planes | truth.unit_flags & QualityFlag.NO_UNITS,
    )
    yield Measurement(name="background_cov_pct", value=background.cov_pct, unit="%", flags=planes)
    yield Measurement(name="background_roughness_pct", value=background.roughness_pct, unit="%", flags=planes)
    has_lung = lung.residual_pct.size > 0
    for name, value in (("lung_residual_pct", np.mean), ("lung_residual_max_pct", np.max)):
        yield Measurement(
            name=name, value=float(value(lung.residual_pct)) if has_lung else None, unit="%", flags=lung.flags
        )
    yield Measurement(name="activity_ratio", value=truth.ratio, unit="1", flags=truth.ratio_flags)
    yield Measurement(name="resolution_fwhm_mm", value=fwhm_mm, unit="mm", flags=_unless(fwhm_mm, QualityFlag.NO_FIT))
    for name, millimetres in (
        ("background_edge_margin_mm", layout.edge_margin_mm),
        ("background_sphere_margin_mm", layout.sphere_margin_mm),
        ("localisation_residual_mm", pose.residual_mm),
    ):
        yield Measurement(name=name, value=millimetres, unit="mm")
    yield Measurement(name="phantom_tilt_deg", value=pose.tilt_deg, unit="deg")


def _sphere_measurements(
    volume: PetVolume, sphere: SphereResult, planes: QualityFlag, truth: Truth
) -> Iterator[Measurement]:
    prefix = f"sphere_{sphere.diameter_mm}mm"
    whole = QualityFlag.NONE if sphere.is_whole else QualityFlag.OUTSIDE_IMAGE
    cut = whole | (QualityFlag.COLD_SPHERE if sphere.is_cold else QualityFlag.NONE)
    recovery = cut | truth.unit_flags | truth.sphere_flags
    raw = truth.unit_flags & QualityFlag.NO_UNITS
    contrast = cut | truth.ratio_flags
    if truth.ratio is not None and truth.ratio <= 1.0:
        contrast |= QualityFlag.NO_SHEET
    for axis, value in zip("xyz", sphere.center_lps_mm, strict=True):
        yield Measurement(name=f"{prefix}_center_{axis}_mm", value=float(value), unit="mm")
    rows: tuple[tuple[str, float | None, str, QualityFlag], ...] = (
        ("qh_pct", sphere.qh_pct, "%", contrast | planes),
        ("n_pct", sphere.n_pct, "%", planes),
        ("a50", sphere.a50, volume.unit, cut | raw),
        ("max", sphere.max, volume.unit, cut | raw),
        ("peak", sphere.peak, volume.unit, cut | raw),
        ("rc_a50", sphere.rc_a50, "1", recovery),
        ("rc_max", sphere.rc_max, "1", recovery),
        ("rc_peak", sphere.rc_peak, "1", recovery),
        ("relative_rc_a50", sphere.relative_rc_a50, "1", contrast),
        ("relative_rc_max", sphere.relative_rc_max, "1", contrast),
        ("relative_rc_peak", sphere.relative_rc_peak, "1", contrast),
        ("crc_a50", sphere.crc_a50, "1", contrast),
        ("crc_max", sphere.crc_max, "1", contrast),
        ("crc_peak", sphere.crc_peak, "1", contrast),
        ("fwhm_mm", sphere.fwhm_mm, "mm", whole | _unless(sphere.fwhm_mm, QualityFlag.NO_FIT)),
    )
    if sphere.is_cold:
        rows += (("qc_pct", sphere.qc_pct, "%", whole | planes),)
    if sphere.n_axial_pct is not None:
        q_axial = (
            ("qc_pct_axial", sphere.qc_axial_pct, "%", whole | planes)
            if sphere.is_cold
            else ("qh_pct_axial", sphere.qh_axial_pct, "%", contrast | planes)
        )
        rows += (q_axial, ("n_pct_axial", sphere.n_axial_pct, "%", planes))
    for what, number, unit, flags in rows:
        missing = QualityFlag.OUTSIDE_IMAGE if number is None and flags is QualityFlag.NONE else QualityFlag.NONE
        yield Measurement(name=f"{prefix}_{what}", value=number, unit=unit, flags=flags | missing)


def list_bubble_limits(pose: NemaPose, contents: Contents | None) -> Iterator[Measurement]:
    """List the smallest bubble that the image shows in each sphere; none where its siblings say nothing of it."""
    why = QualityFlag.COLD_SPHERE if pose.cold_spheres else QualityFlag.NO_FIT
    for diameter in DIAMETERS_MM:
        limit_pct = contents.limit_pct[diameter] if contents is not None else None
        value = limit_pct if limit_pct is not None and limit_pct <= 100.0 else None
        yield Measurement(
            name=f"sphere_{diameter}mm_bubble_limit_pct",
            value=value,
            unit="%",
            uncertainty=contents.limit_sd_pct[diameter] if contents is not None and value is not None else None,
            flags=_unless(value, why),
        )


def _unless(value: float | None, flag: QualityFlag) -> QualityFlag:
    return flag if value is None else QualityFlag.NONE


def list_findings(
    pose: NemaPose,
    layout: background_rois.BackgroundRois,
    background: Background,
    spheres: tuple[SphereResult, ...],
    edition: str,
) -> Iterator[Finding]:
    """Say how the phantom was found; of this only what the image cuts decides, and warns."""
    yield findings.pose(pose.tilt_deg, "regions", order_confidence=pose.order_confidence, residual_mm=pose.residual_mm)
    if pose.cold_spheres:
        names = " and ".join(map(str, sorted(pose.cold_spheres)))
        expected = edition in _EDITIONS_WITH_COLD
        yield Finding(
            id="PHA-COLD",
            outcome=Outcome.PASS if expected else Outcome.WARN,
            severity="info" if expected else "query",
            message=f"The {names} mm spheres hold no activity: they have a cold contrast and no recovery.",
            observed=f"{names} mm cold",
            expected="two cold spheres" if expected else "six hot spheres, as NU 2-2018 has them",
            next_step="" if expected else "Fill all six spheres alike where recovery is to be judged.",
            owner=Owner.NOBODY if expected else Owner.SITE,
            source="NEMA NU 2-2012 and 2018 section 7",
        )
    narrow = layout.sphere_margin_mm < background_rois.MARGIN_MM
    yield Finding(
        id="PHA-MARGIN",
        outcome=Outcome.PASS,
        severity="info",
        message=f"The twelve background regions keep {layout.edge_margin_mm:.0f} mm from the edge and "
        f"{layout.sphere_margin_mm:.0f} mm from the spheres"
        + (f"; {background_rois.MARGIN_MM:.0f} mm from both do not fit into this phantom." if narrow else "."),
        observed=f"{layout.edge_margin_mm:.1f} mm, {layout.sphere_margin_mm:.1f} mm",
        expected=f"{background_rois.MARGIN_MM:.0f} mm",
        source="NEMA NU 2 section 7",
    )
    cut = [sphere.diameter_mm for sphere in spheres if not sphere.is_whole]
    if cut or not background.is_complete:
        planes = len(PLANE_OFFSETS_MM)
        seen = f"{background.planes} of the {planes} background planes lie in it"
        names = " and ".join(filter(None, (", ".join(map(str, cut[:-1])), str(cut[-1])))) if cut else ""
        lost = f", and it cuts the {names} mm sphere{'s' if len(cut) > 1 else ''}" if cut else ""
        yield Finding(
            id="PHA-CUT",
            outcome=Outcome.WARN,
            severity="query",
            message=f"The image does not hold the whole phantom: {seen}{lost}.",
            observed=f"{background.planes} of {planes} planes" + (f"; {names} mm" if cut else ""),
            expected="the whole phantom in the field",
            next_step="Scan again with the whole phantom in the field of view.",
            owner=Owner.SITE,
        )
