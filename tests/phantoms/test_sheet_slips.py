"""Slips of the pen: each planted on a sheet of known truth, before and after the images; none on true sheets."""

from __future__ import annotations

import copy
import math
import random
from datetime import datetime, timedelta

import pytest

from phantoms.nuclides import half_life_s
from phantoms.results import Outcome, Owner
from phantoms.sheet import Sheet
from phantoms.sheet_slips import Reading

SCAN = datetime(2026, 3, 2, 10, 32)
TRUE = {
    "what": "cylinder",
    "activity_mbq": 80.0,
    "assayed_at": "2026-03-02T09:10:00",
    "residual_mbq": 1.0,
    "residual_at": "2026-03-02T09:14:00",
    "volume_ml": 6283.0,
}
STOCK = TRUE | {"what": "spheres", "activity_mbq": 34.0, "residual_mbq": 0.5, "volume_ml": 1000.0}
AROUND = TRUE | {"what": "background", "activity_mbq": 33.0, "volume_ml": 9700.0, "residual_mbq": 0.6}
AROUND |= {"assayed_at": "2026-03-02T09:20:00", "residual_at": "2026-03-02T09:23:00"}


def shifted(fill: dict, hours: float, *names: str) -> dict:
    names = names or ("assayed_at", "residual_at")
    moved = {name: datetime.fromisoformat(fill[name]) + timedelta(hours=hours) for name in names}
    return fill | {name: moment.isoformat() for name, moment in moved.items()}


def sheet_of(*fills: dict, nuclide: str = "F-18") -> Sheet:
    return Sheet.parse({"nuclide": nuclide, "fills": list(fills)})


def shown(*fills: dict, at: datetime = SCAN, nuclide: str = "F-18", scanner: float = 1.0) -> dict[str, Reading]:
    """Return what a scanner that reads ``scanner`` times the truth shows of true fills: the decay law by hand."""
    found = {}
    for fill in fills:
        net = 0.0
        for sign, name, when in ((1, "activity_mbq", "assayed_at"), (-1, "residual_mbq", "residual_at")):
            if fill.get(name):
                waited_s = (at - datetime.fromisoformat(fill[when])).total_seconds()
                net += sign * fill[name] * 1e6 * 2 ** (-waited_s / half_life_s(nuclide))
        found[fill["what"]] = Reading(scanner * net / fill["volume_ml"], 0.3)
    return found


def slips_in(findings) -> list[dict[tuple[str, str], object]]:
    """Return each slip once, as the values that it would put on the sheet."""
    slips = {}
    for one in findings:
        for proposal in one.evidence.get("proposals", []):
            if "slip" in proposal:
                slips.setdefault(proposal["slip"], {})[proposal["fill"], proposal["field"]] = proposal["to"]
    return list(slips.values())


def mends(slip: dict, wrong: list[dict], true: list[dict]) -> bool:
    """Whether a slip puts back what was true, and nothing else."""
    fills = copy.deepcopy(wrong)
    for (what, name), to in slip.items():
        next(fill for fill in fills if fill["what"] == what)[name] = to
    return all(
        mended[name] == pytest.approx(fill[name]) if isinstance(fill[name], float) else mended[name] == fill[name]
        for mended, fill in zip(fills, true, strict=True)
        for name in fill
    )


AFTERNOON = shifted(TRUE, 5)
MCI = {"activity_mbq": 80 / 37, "residual_mbq": 1 / 37}
#: The slip, the truth, what was written, the scan, and whether the sheet alone gives it away.
PLANTED = [
    ("exchanged activities", TRUE, TRUE | {"activity_mbq": 1.0, "residual_mbq": 80.0}, SCAN, True),
    ("mCi for MBq", TRUE, TRUE | MCI, SCAN, True),
    ("turned into MBq twice", TRUE, TRUE | {"activity_mbq": 2960.0, "residual_mbq": 37.0}, SCAN, True),
    ("µCi for MBq", TRUE, TRUE | {"activity_mbq": 80e3 / 37, "residual_mbq": 1e3 / 37}, SCAN, True),
    ("kBq for MBq", TRUE, TRUE | {"activity_mbq": 80e3, "residual_mbq": 1e3}, SCAN, True),
    ("GBq for MBq", TRUE, TRUE | {"activity_mbq": 0.08, "residual_mbq": 0.001}, SCAN, True),
    ("the draw alone in mCi", TRUE, TRUE | {"activity_mbq": 80 / 37}, SCAN, True),
    ("the residual alone in kBq", TRUE, TRUE | {"residual_mbq": 1e3}, SCAN, True),
    ("winter time on the calibrator", TRUE, shifted(TRUE, -1), SCAN, False),
    ("summer time too early", TRUE, shifted(TRUE, 1), SCAN, False),
    ("summer time, drawn after the scan", TRUE, shifted(TRUE, 1), SCAN - timedelta(minutes=30), True),
    ("summer time in the draw alone", TRUE, shifted(TRUE, -1, "assayed_at"), SCAN, False),
    ("the day before", TRUE, shifted(TRUE, -24), SCAN, True),
    ("the day after", TRUE, shifted(TRUE, 24), SCAN, True),
    ("morning for afternoon", AFTERNOON, shifted(AFTERNOON, -12), SCAN + timedelta(hours=5), True),
    ("afternoon for morning", TRUE, shifted(TRUE, 12), SCAN, True),
    ("afternoon for the residual's morning", TRUE, shifted(TRUE, 12, "residual_at"), SCAN, True),
    ("the residual's date a day on", TRUE, shifted(TRUE, 24, "residual_at"), SCAN, True),
]


@pytest.mark.parametrize(("name", "true", "wrong", "at", "is_seen_before"), PLANTED, ids=[one[0] for one in PLANTED])
def test_slip_when_planted_then_the_sheet_alone_names_it_where_it_can_and_the_images_single_it_out(
    name, true, wrong, at, is_seen_before
):
    del name
    before = slips_in(sheet_of(wrong).check(at))
    assert any(mends(slip, [wrong], [true]) for slip in before) is is_seen_before
    sheet = sheet_of(wrong)
    after = sheet.check(at, readings=shown(true, at=at, scanner=1.04))
    (slip,) = slips_in(after)
    assert mends(slip, [wrong], [true])
    assert sheet.fill("cylinder").activity_mbq == wrong["activity_mbq"], "nothing is applied"
    for one in after:
        assert one.owner is Owner.SITE
        assert one.next_step


@pytest.mark.parametrize("name", [one[0] for one in PLANTED if "residual" not in one[0]])
def test_slip_when_the_images_are_measured_then_one_finding_says_so_in_words(name):
    _, true, wrong, at, _ = next(one for one in PLANTED if one[0] == name)
    (found,) = [f for f in sheet_of(wrong).check(at, readings=shown(true, at=at)) if f.id == "SHEET-SLIP"]
    assert (found.outcome, found.severity) == (Outcome.WARN, "query")
    assert found.message.startswith("The images do not show what the sheet says. All fits if ")
    assert "Nothing was changed." in found.next_step


def test_slip_when_an_hour_explains_it_then_says_from_when_to_when():
    (found,) = sheet_of(shifted(TRUE, -1)).check(SCAN, readings=shown(TRUE))
    assert (
        "the cylinder was drawn at 09:10, not 08:10, and its residual was measured at 09:14, not 08:14" in found.message
    )
    assert "(an hour of summer time)" in found.message
    # 60 min of F-18 (6586.2 s) are a factor of 2^(3600/6586.2) = 1.461.
    assert "1.46 times the sheet" in found.observed
    assert found.evidence["proposals"][0]["effect_pct"] == pytest.approx(100 * (2 ** (3600 / 6586.2) - 1), abs=0.01)


def test_slip_when_two_explain_it_then_both_are_listed_and_it_is_said():
    # 27 µCi are 1 MBq; as kBq the same figure would be 0.027 MBq: 1.3 % apart, which no scanner tells.
    wrong = TRUE | {"residual_mbq": 1e3 / 37}
    slips = slips_in(sheet_of(wrong).check(SCAN, readings=shown(TRUE)))
    assert sorted(slip["cylinder", "residual_mbq"] for slip in slips) == pytest.approx([0.027027, 1.0], rel=1e-3)
    (found,) = [f for f in sheet_of(wrong).check(SCAN, readings=shown(TRUE)) if f.id == "SHEET-SLIP"]
    assert "cannot be told apart" in found.message


@pytest.mark.parametrize("scanner", [0.8, 0.82, 1.24, 1.9])
def test_slip_when_no_simple_one_explains_a_wrong_reading_then_none_is_made_up(scanner):
    assert sheet_of(TRUE).check(SCAN, readings=shown(TRUE, scanner=scanner)) == ()


@pytest.mark.parametrize("scanner", [0.9, 0.95, 1.05, 1.1])
def test_slip_when_the_scanner_is_as_far_off_as_calibration_allows_then_none_is_suspected(scanner):
    assert sheet_of(TRUE).check(SCAN, readings=shown(TRUE, scanner=scanner)) == ()


def test_slip_when_the_sphere_stock_alone_is_an_hour_off_then_only_its_times_are_proposed():
    wrong = [shifted(STOCK, -1), AROUND]
    before = slips_in(sheet_of(*wrong).check(SCAN))
    assert any(mends(slip, wrong, [STOCK, AROUND]) for slip in before), "the ratio of 7 gives it away"
    after = slips_in(sheet_of(*wrong).check(SCAN, readings=shown(STOCK, AROUND)))
    assert len(after) == 1
    assert mends(after[0], wrong, [STOCK, AROUND])


@pytest.mark.parametrize("hours", [-1, 1])
def test_slip_when_the_whole_sheet_is_an_hour_off_then_all_times_are_moved_together(hours):
    wrong = [shifted(STOCK, hours), shifted(AROUND, hours)]
    assert slips_in(sheet_of(*wrong).check(SCAN)) == [], "the ratio is right, and so is the order"
    after = slips_in(sheet_of(*wrong).check(SCAN, readings=shown(STOCK, AROUND)))
    assert len(after) == 1
    assert mends(after[0], wrong, [STOCK, AROUND])


def test_slip_when_a_concentration_was_stated_in_kbqml_then_a_thousand_times_it_is_proposed():
    wrong = {"what": "cylinder", "concentration_bqml": 7.5, "at": SCAN.isoformat()}
    (found,) = sheet_of(wrong).check(SCAN, readings={"cylinder": Reading(7600.0)})
    assert slips_in([found]) == [{("cylinder", "concentration_bqml"): 7500.0}]


def _realistic(dice: random.Random) -> tuple[list[dict], datetime, str]:
    """Return true fills of a phantom as sites make them, the scan and the nuclide."""
    nuclide = dice.choice(["F-18", "F-18", "F-18", "Ga-68", "Zr-89"])
    day = datetime(2026, 1, 1) + timedelta(days=dice.randrange(360), minutes=dice.randrange(7 * 60, 20 * 60))
    # Long-lived fills are often scanned a day or two later.
    wait = timedelta(minutes=dice.uniform(20, 110 if nuclide != "Zr-89" else 3000))
    at = day + wait + timedelta(minutes=40)

    def fill(what: str, kbqml: tuple[float, float], volume_ml: float) -> dict:
        drawn = day + timedelta(minutes=dice.randrange(0, 25))
        left = drawn + timedelta(minutes=dice.randrange(1, 16))
        share = dice.uniform(0.002, 0.07)
        net = dice.uniform(*kbqml) * volume_ml / 1000 * 2 ** ((at - drawn).total_seconds() / half_life_s(nuclide))
        drawn_mbq = net / (1 - share)
        left_mbq = share * drawn_mbq * 2 ** (-(left - drawn).total_seconds() / half_life_s(nuclide))
        return {
            "what": what,
            "activity_mbq": round(drawn_mbq, 2),
            "assayed_at": drawn.isoformat(),
            "residual_mbq": round(left_mbq, 3) or 0.001,
            "residual_at": left.isoformat(),
            "volume_ml": round(volume_ml, 0),
        }

    if dice.random() < 0.5:
        return [fill("cylinder", (3.0, 20.0), dice.uniform(5600, 9500))], at, nuclide
    around = fill("background", (1.5, 6.0), dice.uniform(9400, 10_000))
    stock_kbqml = dice.uniform(9, 11) * shown(around, at=at, nuclide=nuclide)["background"].bqml / 1000
    return [fill("spheres", (stock_kbqml, stock_kbqml), 1000.0), around], at, nuclide


def test_slip_when_two_hundred_realistic_sheets_are_true_then_none_is_suspected():
    dice = random.Random(20260302)
    for _ in range(200):
        fills, at, nuclide = _realistic(dice)
        # The scanner within its 10 %, the fill within what its budget says.
        scanner = dice.uniform(0.9, 1.1) * math.exp(dice.gauss(0, 0.015))
        sheet = sheet_of(*fills, nuclide=nuclide)
        findings = [
            *sheet.check(),
            *sheet.check(at),
            *sheet.check(at, readings=shown(*fills, at=at, nuclide=nuclide, scanner=scanner)),
        ]
        suspected = [one for one in findings if one.evidence.get("proposals") or one.id == "SHEET-SLIP"]
        assert suspected == [], (fills, at, nuclide, scanner)
