"""The methods: their versions, the fills that they use, and the standards that decide them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Methods that are built, with the version that a change of their numbers raises.
METHODS: Mapping[str, int] = {"suv": 2, "patient": 2, "cylinder": 5, "nema_iq": 7, "acr": 3, "calibrator": 2}
#: What decides when nobody names a standard.
DEFAULT_STANDARD = "earl1_18f"
#: Methods whose numbers one standard alone limits: of a phantom it decides, whatever is named.
OWN_STANDARD: Mapping[str, str] = {"acr": "acr_pet", "calibrator": "radionuclide_calibrator"}
#: Methods that acceptance limits are published for, with the fills of the sheet that each of them uses.
FILLS: Mapping[str, frozenset[str]] = {
    "cylinder": frozenset({"cylinder"}),
    "nema_iq": frozenset({"spheres", "background"}),
    "acr": frozenset({"spheres", "background"}),
}
#: A method's measurement of each fill's concentration; that of the spheres is what their profiles are freed to.
READ_AS: Mapping[str, Mapping[str, str]] = {
    "cylinder": {"cylinder": "cylinder_mean_bqml"},
    "nema_iq": {"background": "background_mean"},
    "acr": {"background": "acr_background_bqml"},
}
#: How well the fitted profiles give the spheres' concentration, one standard deviation.
SPHERE_FILLING_SD_PCT = 5.0
#: The ratio of hot to background that a phantom is made for, where it is not that of the NEMA phantom.
NOMINAL_RATIOS: Mapping[str, float] = {"acr": 2.5}


def nominal_ratio(method: str) -> float:
    """Return the ratio of hot to background that a phantom is made for."""
    from phantoms.sheet_checks import NOMINAL_RATIO

    return NOMINAL_RATIOS.get(method, NOMINAL_RATIO)


def deciding_for(method: str | None, named: Sequence[str]) -> tuple[str, ...]:
    """Return the standards that decide a method: a phantom's own where it has one, else those that are named."""
    own = OWN_STANDARD.get(method or "") if method in FILLS else None
    return (own,) if own else tuple(named)
