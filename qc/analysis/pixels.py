"""What any image gives: its highest value and its mean, and those of a region that a mask marks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phantoms.results import Measurement, QualityFlag

if TYPE_CHECKING:
    from phantoms.suv import SuvResult
    from phantoms.volume import PetVolume


def _plain(name: str, value: float, unit: str) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, flags=QualityFlag.UNCERTAINTY_NOT_STATED)


def _suv_volume_factor(volume: PetVolume, suv: SuvResult) -> Any:
    """Return the SUVbw factor as a number, or as an array over z where it differs by slice; None when refused."""
    if suv.factor_g_per_bq is not None:
        return suv.factor_g_per_bq
    if suv.factors_by_slice:
        import numpy as np

        return np.asarray(suv.factors_by_slice, dtype=np.float64)[:, None, None]
    return None


def image_measurements(volume: PetVolume, suv: SuvResult) -> list[Measurement]:
    """Return highest value and mean of the image, and of its SUV where there is one."""
    import numpy as np

    image = volume.image
    found = [
        _plain("image_max", float(image.max()), volume.unit),
        _plain("image_mean", float(image.mean(dtype=np.float64)), volume.unit),
    ]
    factor = _suv_volume_factor(volume, suv)
    if factor is None:
        missing = [
            Measurement(name=name, value=None, unit="g/mL", flags=QualityFlag.NO_SUV)
            for name in ("suvbw_max", "suvbw_mean")
        ]
        return found + missing
    # Slice by slice, so that no second volume is made.
    slice_factor = np.broadcast_to(np.asarray(factor).reshape(-1), (image.shape[0],))
    slice_max = image.reshape(image.shape[0], -1).max(axis=1)
    slice_mean = image.mean(axis=(1, 2), dtype=np.float64)
    return [
        *found,
        _plain("suvbw_max", float((slice_max * slice_factor).max()), "g/mL"),
        _plain("suvbw_mean", float((slice_mean * slice_factor).mean()), "g/mL"),
    ]


def mask_measurements(volume: PetVolume, suv: SuvResult, mask: Path) -> list[Measurement]:
    """Return what a region holds, in SUV; numbers that cannot be given carry a flag."""
    from phantoms import masks, metrics
    from phantoms.volume import PetVolume

    inside = masks.read_mask(mask, volume)
    factor = _suv_volume_factor(volume, suv)
    units = dict.fromkeys(("min", "median", "max", "mean", "peak"), "g/mL")
    units |= {f"peak_center_{axis}_mm": "mm" for axis in "xyz"}

    def missing(names: Iterable[str], flag: QualityFlag) -> list[Measurement]:
        return [Measurement(name=f"mask_suvbw_{name}", value=None, unit=units[name], flags=flag) for name in names]

    if factor is None or not inside.any():
        return missing(units, QualityFlag.NO_SUV if factor is None else QualityFlag.OUTSIDE_IMAGE)
    region = metrics.measure_region(PetVolume(volume.image * factor, volume.affine_lps_mm, "g/mL"), inside)
    values = {"min": region.minimum, "median": region.median, "max": region.maximum, "mean": region.mean}
    if region.peak is not None:
        values["peak"] = region.peak.mean
        centers_mm = zip("xyz", region.peak.center_lps_mm, strict=True)
        values |= {f"peak_center_{axis}_mm": float(center_mm) for axis, center_mm in centers_mm}
    found = [_plain(f"mask_suvbw_{name}", value, units[name]) for name, value in values.items()]
    return found + missing([name for name in units if name not in values], QualityFlag.SMALL_REGION)
