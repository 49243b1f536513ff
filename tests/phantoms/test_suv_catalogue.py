"""The catalogue of SUV codes: each entry is whole, and each code can occur."""

from __future__ import annotations

import re
from typing import Any

import pytest

from phantoms.results import Owner
from phantoms.suv import SuvResult, suv_factor
from phantoms.suv.catalogue import CATALOGUE, refusal
from phantoms.suv.notes import Notes
from tests.phantoms.test_suv import DOSE_BQ, factor_by_hand, header, injection, philips
from tests.phantoms.test_suv_reference import late_frames

NO_TIME = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}
ZR89 = {"RadionuclideHalfLife": 282276.0, "RadionuclideCodeSequence": [{"CodeValue": "C-168A4"}]}

REFUSED: dict[str, SuvResult] = {
    "SUV-NOT-CORRECTED": suv_factor(header(CorrectedImage=["DECY"])),
    "SUV-UNITS": suv_factor(header(Units="PROPCPS")),
    "SUV-INCONSISTENT": suv_factor(header(slices=[{}, {"PatientWeight": 71.0}])),
    "SUV-NO-WEIGHT": suv_factor(header(PatientWeight=0)),
    "SUV-WEIGHT": suv_factor(header(PatientWeight=70000)),
    "SUV-NO-HEIGHT": suv_factor(header(Units="GML", SUVType="IBW", PatientSize=None)),
    "SUV-HEIGHT": suv_factor(header(Units="GML", SUVType="IBW", PatientSize=0.2)),
    "SUV-NO-SEX": suv_factor(header(Units="GML", SUVType="IBW", PatientSex="X")),
    "SUV-HABITUS": suv_factor(header(Units="GML", SUVType="LBMJAMES128", PatientWeight=140, PatientSize=1.6)),
    "SUV-TWO-TRACERS": suv_factor(header(RadiopharmaceuticalInformationSequence=[injection()] * 2)),
    "SUV-NO-DOSE": suv_factor(header(given={"RadionuclideTotalDose": None})),
    "SUV-DOSE": suv_factor(header(given={"RadionuclideTotalDose": 3.7e11})),
    "SUV-HALF-LIFE": suv_factor(header(given={"RadionuclideHalfLife": None})),
    "SUV-NO-TIME": suv_factor(header(given=NO_TIME)),
    "SUV-UPTAKE": suv_factor(header(given={"RadiopharmaceuticalStartDateTime": "20260302043000"})),
    "AD-01": suv_factor(header(given=ZR89 | {"RadiopharmaceuticalStartDateTime": "19000101100000"})),
    "SUV-DECAY-UNKNOWN": suv_factor(header(DecayCorrection=None)),
    "SUV-NO-REFERENCE": suv_factor(header(SeriesTime=None, AcquisitionTime=None)),
    "SUV-TREF-CONFLICT": suv_factor(late_frames(420)),
    "SUV-CHOICE": suv_factor(header(), chosen_reference="R1"),
}
WARNED: dict[str, SuvResult] = {
    "SUV-CORRECTIONS": suv_factor(header(CorrectedImage=["ATTN", "DECY"])),
    "SUV-LBM-120": suv_factor(header(Units="GML", SUVType="LBM"), accepts_lbm120=True),
    "SUV-DERIVED": suv_factor(header(ImageType=["DERIVED", "PRIMARY"])),
    "SUV-INTERCEPT": suv_factor(header(RescaleIntercept=5)),
    "SUV-FACTORS-DISAGREE": suv_factor(
        philips(SUVScaleFactor=1.6 * factor_by_hand(3600) * 1.031, ActivityConcentrationScaleFactor=1.6)
    ),
    "SUV-FACTOR-UNDECAYED": suv_factor(philips(SUVScaleFactor=5e-4, DecayCorrection="NONE")),
    "SUV-PRIVATE-NO-CREATOR": suv_factor(philips(SUVScaleFactor=5e-4, private_without_creator=("SUVScaleFactor",))),
    "SUV-WEIGHT": suv_factor(header(PatientWeight=12)),
    "SUV-HEIGHT-CM": suv_factor(header(PatientSize=175)),
    "SUV-SEX-OTHER": suv_factor(header(Units="GML", SUVType="IBW", PatientSex="O")),
    "SUV-DOSE": suv_factor(header(given={"RadionuclideTotalDose": 4e7})),
    "SUV-DOSE-MBQ": suv_factor(header(given={"RadionuclideTotalDose": DOSE_BQ / 1e6})),
    "SUV-NUCLIDE": suv_factor(
        header(given={"RadionuclideHalfLife": 53136.0, "RadionuclideCodeSequence": [{"CodeMeaning": "Y-86"}]})
    ),
    "SUV-INJECTION-TIMES": suv_factor(header(given={"RadiopharmaceuticalStartTime": "095900"})),
    "SUV-MIDNIGHT": suv_factor(
        header(
            SeriesTime="003000",
            AcquisitionTime="003000",
            given={"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "233000"},
        )
    ),
    "SUV-UPTAKE": suv_factor(header(given={"RadiopharmaceuticalStartDateTime": "20260302105000"})),
    "AD-01": suv_factor(header(given={"RadiopharmaceuticalStartDateTime": "19000101100000"})),
    "SUV-TREF-CONFLICT": suv_factor(late_frames(61)),
    "SUV-CHOICE": suv_factor(late_frames(420), chosen_reference="R5"),
    "SUV-OFFSET": suv_factor(header(given={"RadiopharmaceuticalStartDateTime": "20260302100000+0100"})),
}


@pytest.mark.parametrize("code", [code for code, entry in CATALOGUE.items() if "R" in entry.letters])
def test_code_when_it_refuses_then_attribute_and_next_step_are_given(code: str) -> None:
    result = REFUSED[code]
    assert result.refused is not None
    assert result.refused.code == code
    assert result.factor_g_per_bq is None
    assert result.refused.next_step
    assert result.refused.attribute or CATALOGUE[code].attribute is None


@pytest.mark.parametrize("code", [code for code, entry in CATALOGUE.items() if "W" in entry.letters])
def test_code_when_it_warns_then_the_suv_is_given(code: str) -> None:
    result = WARNED[code]
    assert code in {one.code for one in result.warnings}
    assert result.factor_g_per_bq is not None


def test_catalogue_when_read_then_it_has_no_code_that_cannot_occur() -> None:
    assert {code for code, entry in CATALOGUE.items() if "R" in entry.letters} == set(REFUSED)
    assert {code for code, entry in CATALOGUE.items() if "W" in entry.letters} == set(WARNED)


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_entry_when_read_then_it_says_cause_next_step_and_who_can_take_it(entry: Any) -> None:
    assert entry.cause
    assert not entry.cause.endswith(".")
    assert entry.next_step.endswith(".")
    assert entry.owner in {Owner.SITE, Owner.CORE_LAB}
    assert entry.attribute is None or re.fullmatch(r"\([0-9a-f]{4},[0-9a-fxA-F]{4}\)", entry.attribute)


def test_refusal_when_the_code_is_in_no_catalogue_then_it_is_a_mistake_of_the_program() -> None:
    with pytest.raises(KeyError):
        refusal("SUV-NOTHING", "Nothing.")
    with pytest.raises(KeyError):
        Notes().warn("SUV-NOTHING", "Nothing.")
