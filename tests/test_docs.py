"""The documents say what the program does: tables are made from it, and numbers in prose are its own.

A table between two markers is compared with the one that is made here. After a change of the program
``python -m tests.test_docs`` writes those tables anew; the rest is mended by hand.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from accreditation import programmes, workflow
from corelab.states import Move
from phantoms import (
    acr,
    acr_pose,
    background_rois,
    body,
    calibrator,
    cylinder,
    cylinder_pose,
    diagnosis,
    digital,
    digital_acr,
    digital_ct,
    findings,
    harmonise,
    localise,
    metrics,
    nema_iq,
    nuclides,
    sheet_checks,
    sources,
    sphere_noise,
    sphere_ring,
    spheres,
    standards,
    voxel_noise,
)
from phantoms import resolution as resolutions
from phantoms import sheet as sheets
from phantoms.dicom_series import list_files, pixels, stack
from phantoms.results import Owner
from phantoms.sphere_ring import fit, search
from phantoms.suv import reference, timing
from phantoms.suv.catalogue import CATALOGUE
from qc import analysis, checklists, conformance, protocols, states, wording
from tests.phantoms import published_suv

ROOT = Path(__file__).resolve().parents[1]
METHODS_PAGE = "phantoms/README.md"
RULES_PAGE = "docs/conformance.md"
USER_PAGES = ("site", "core-lab", "trial-manager", "administrator")
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", METHODS_PAGE)
    for path in ROOT.glob(pattern)
)
PICTURES = ROOT / "docs" / "pictures"
DIAMETERS_MM = (37, 28, 22, 17, 13, 10)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def marked(page: str, name: str) -> str:
    """Return what stands between two markers of a page."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text_of(page), re.DOTALL)
    assert found, f"{page} has no part <!-- {name} -->"
    return found[1]


def rows_of(page: str, name: str) -> list[list[str]]:
    """Return the cells of a marked table, without its head."""
    lines = [line for line in marked(page, name).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def section(page: str, title: str) -> str:
    """Return one section of a page as a single line of text."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text_of(page), re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no section {title}"
    return " ".join(found[1].split())


def codes_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


# --- tables made from the program -------------------------------------------------------------


def render_moves(moves: Iterable[Move]) -> str:
    """Return the moves, those with the same event and outcome in one row."""
    sources_of: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for move in moves:
        who = ", ".join(sorted(role.replace("_", " ") for role in move.roles)) or "the system"
        needs = ("needed" if needed else "–" for needed in (move.reason, move.signature))
        sources_of[move.event, str(move.target), who, *needs].append(str(move.source))
    rows = [(event, ", ".join(found), *rest) for (event, *rest), found in sources_of.items()]
    return table(("event", "from", "to", "who", "reason", "signature"), rows)


def render_programmes() -> str:
    rows = []
    for programme in map(programmes.load, programmes.available()):
        file = yaml.safe_load((programmes.FOLDER / f"{programme.id}.yaml").read_text(encoding="utf-8"))
        name = f"`{programme.id}`"
        for one in programme.requirements:
            holds = f"{one.months} months from its scan" if one.months else "for ever"
            if one.every:
                holds = f"to the window of the next {one.every} and {programme.windows.grace_days} days"
            rows.append((name, one.title, holds, one.provenance))
        begun = (
            "its first day" if programme.counted_from == "valid_from" else f"the review of `{programme.counted_from}`"
        )
        ends = " or the trial's end" if programme.until_trial_ends else ""
        holds = f"{programme.validity_months} months from {begun}{ends}"
        rows.append((name, "*the certificate*", holds, file["validity"]["provenance"]))
        change = (
            "voided at once" if programme.change_does == "voids" else f"shown again in {programme.change_days} days"
        )
        rows.append((name, "*a declared change*", change, file["change"]["provenance"]))
    return table(("programme", "what", "holds", "mark"), rows)


def render_nuclides() -> str:
    rows = [(one.name, f"{one.half_life_s:.12g}") for one in nuclides.NUCLIDES.values()]
    return table(("nuclide", "half-life, s"), rows)


def render_suv_codes() -> str:
    """Return every code of the SUV with its cause, and who can take which step."""
    who = {Owner.SITE: "site", Owner.CORE_LAB: "core lab"}
    rows = [
        (f"`{one.code}`", one.letters, one.cause, one.attribute or "–", one.next_step, who[one.owner])
        for one in CATALOGUE.values()
    ]
    return table(("code", "", "cause", "attribute", "next step", "who"), rows)


def render_suv_standing() -> str:
    """Return how the SUV stands against reference objects, one row a set."""
    sets = json.loads((ROOT / "phantoms/suv/standing.json").read_text(encoding="utf-8"))["sets"]
    rows = []
    for one in sets:
        unread = sum(each["result"] == "NOT_READ" for each in one["objects"])
        failed = one["of"] - one["passed"] - unread
        rest = [f"{unread} not read yet"] * bool(unread) + [f"{failed} failed"] * bool(failed)
        passed = ", ".join([f"{one['passed']} of {one['of']}", *rest])
        rows.append((one["title"], one["version"], passed, one["source"]))
    return table(("reference", "version", "as expected", "source"), rows)


def render_suv_of_others() -> str:
    """Return what is found here of each reference object beside what others published of the same."""
    known = json.loads((ROOT / "phantoms/suv/standing.json").read_text(encoding="utf-8"))
    objects = next(one["objects"] for one in known["sets"] if one["id"] == "ibsi_suv_v1")
    others = [one.found for one in published_suv.PROGRAMS]
    rows = [
        (
            f"{one['id'].removeprefix('DRO_')}, {published_suv.TRIED[one['id']]}",
            *map(_suv_words, (one["expected"], one["found"], *(found[one["id"]] for found in others))),
        )
        for one in objects
    ]
    # What is found here is rounded in the file, so its own result counts; of the others it is worked out.
    here = sum(one["result"] == "PASS" for one in objects)
    right = (
        sum(_is_near(found[one["id"]], one["expected"], known["tolerance"]) for one in objects) for found in others
    )
    rows.append((f"within {known['tolerance']}", "", *(f"{count} of {len(objects)}" for count in (here, *right))))
    rows.append(("by its own account, of all 17", "", "", *(str(one.claimed) for one in published_suv.PROGRAMS)))
    return table(("object", "expected", "here", *(one.program for one in published_suv.PROGRAMS)), rows)


def _is_near(found: Sequence[float] | None, expected: Sequence[float], tolerance: float) -> bool:
    return found is not None and all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))


def _suv_words(found: Sequence[float] | None) -> str:
    if found is None:
        return "no value"
    return " · ".join(f"{one:.0f}" if one >= 10 else f"{one:.3f}" if one > 0.1 else f"{one:.1e}" for one in found)


def accuracy_parts() -> dict[str, Any]:
    parts: dict[str, Any] = json.loads((ROOT / "bench/phantoms/accuracy.json").read_text(encoding="utf-8"))
    return parts


def render_accuracy() -> str:
    """Return every row of the accuracy of sphere and cylinder numbers."""
    words = {True: "yes", False: "**no**", None: "–"}
    rows = [
        (one["name"], one["figure"], one["limit"] or "–", words[one["holds"]], one["beside"])
        for name, part in accuracy_parts().items()
        if name != "spread"
        for one in part
    ]
    return table(("what", "found", "limit", "kept", "of what"), rows)


def render_accuracy_in_short() -> str:
    """Return the worst of each part, for the first page."""
    parts = accuracy_parts()
    shown = {
        "twins": "A50, maximum, peak, Q_H, N, COV and cylinder mean, against plain loops over the same voxels",
        "table": "A50, maximum and peak, against the analytic recovery model",
        "contrast": "Q_H, against the analytic contrast",
        "cylinder": "cylinder bias at any tilt to 10° and voxels of 1 to 6 mm",
    }
    rows = []
    for part, what in shown.items():
        worst = max(parts[part], key=lambda one: float(one["figure"].split()[0]))
        rows.append((what, worst["figure"], worst["limit"]))
    named = {one["name"]: one for part, lines in parts.items() if part != "spread" for one in lines}
    for what in ("FWHM of a sphere, error", "filling from the profiles, error", "background mean, error"):
        one = named[what]
        rows.append((f"{what}, RMS in noise", one["figure"], f"pynemaiqpet {one['limit'].removeprefix('≤ ')}"))
    one = named["Q_H, error"]
    rows.append(("Q_H, error, RMS in noise", one["figure"], f"chameleoniq {one['limit'].removeprefix('≤ ')}"))
    return table(("what", "largest error", "limit, or another program's"), rows)


def render_places() -> str:
    """Return how far the place of a sphere between voxels moves its numbers."""
    spans: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for one in accuracy_parts()["spread"]:
        mean, low, high = (f"{value:+.3f}".replace("-", "−") for value in one["off"])
        spans[one["what"], one["voxel_mm"], one["fwhm_mm"]].append(f"{mean} ({low} to {high})")
    rows = [(what, f"{voxel:g} mm", f"{fwhm:g} mm", *found) for (what, voxel, fwhm), found in spans.items()]
    return table(("what", "voxels", "FWHM", *(f"{one} mm" for one in spheres.DIAMETERS_MM)), rows)


def render_standards() -> str:
    editions = [standards.load(one) for one in standards.available()]
    rows = [
        (f"`{one.id}`", one.title, one.edition, f"{one.effective_from or 'not dated'} to {one.effective_to or 'now'}")
        for one in editions
    ]
    names = dict.fromkeys(name for one in editions for name, limit in one.limits.items() if _band(limit))
    limits = [
        (
            f"`{name}`",
            next(one.limits[name].unit for one in editions if name in one.limits),
            *(_limit_words(one.limits.get(name)) for one in editions),
        )
        for name in names
    ]
    reasons = {
        f"- `{name}`: {one.limits[name].reason}."
        for one in editions
        for name in names
        if name in one.limits and one.limits[name].reason
    }
    parts = [
        table(("id", "title", "edition", "in force"), rows),
        table(("number", "unit", *(one.title for one in editions)), limits),
        "Why a limit decides against its mark, or does not:",
        "\n".join(sorted(reasons)),
    ]
    return "\n\n".join(parts)


def _band(limit: standards.Limit, decimals: str = "g") -> str:
    low, high = ("" if end is None else f"{end:{decimals}}".replace("-", "−") for end in (limit.low, limit.high))
    if limit.is_open:
        return " and ".join([f"over {low}"] * bool(low) + [f"under {high}"] * bool(high))
    return f"{low} to {high}" if low and high else f"up to {high}" if high else f"from {low}" if low else ""


def _limit_words(limit: standards.Limit | None) -> str:
    if limit is None or not _band(limit):
        return "–"
    best = "" if limit.warn_low is None else f", best {limit.warn_low:g} to {limit.warn_high:g}"
    decimals = ".2f" if limit.near else "g"
    return f"{_band(limit, decimals)}{best} ({limit.provenance}{'' if limit.decides else ', shown only'})"


def render_checklists() -> str:
    rows = [
        (wording.METHOD_WORDS[method], ", ".join(item.title.lower() for item in items))
        for method, items in checklists.CHECKLISTS.items()
    ]
    return table(("method", "looked for"), rows)


def render_rules() -> str:
    """Return every rule with what it claims, does and needs."""
    kinds = {conformance.PATIENT: "patients", conformance.ALL_KINDS: "all"}
    rows = [
        (
            f"`{one.id}`",
            one.title,
            wording.SEVERITY_WORDS[one.severity].lower(),
            kinds[one.applies_to],
            ", ".join(f"`{needed}`" for needed in one.needs) or "–",
            one.attributes or "–",
            one.source,
        )
        for _, one in sorted(conformance.RULES.items())
    ]
    return table(("id", "claim", "at worst", "asked of", "needs", "attributes", "source"), rows)


def render_lymphoma() -> str:
    """Return the limits of the template with where each comes from."""
    limits = protocols.parse(protocols.TEMPLATES["lymphoma"]).limits
    rows = [
        (f"`{name}`", what, one.words or "–", one.best or "–", one.provenance, one.source)
        for name, (what, _) in protocols.LIMITS.items()
        if (one := limits.get(name)) is not None
    ]
    return table(("limit", "of", "accepted", "without a warning", "mark", "source"), rows)


MADE: dict[tuple[str, str], Callable[[], str]] = {
    (RULES_PAGE, "rules"): render_rules,
    (RULES_PAGE, "lymphoma"): render_lymphoma,
    ("ARCHITECTURE.md", "states"): lambda: render_moves(states.SUBMISSION),
    ("ARCHITECTURE.md", "case-moves"): lambda: render_moves(workflow.CASE),
    ("ARCHITECTURE.md", "programmes"): render_programmes,
    (METHODS_PAGE, "nuclides"): render_nuclides,
    (METHODS_PAGE, "standards"): render_standards,
    (METHODS_PAGE, "suv-codes"): render_suv_codes,
    (METHODS_PAGE, "suv-standing"): render_suv_standing,
    ("README.md", "suv-standing"): render_suv_standing,
    ("README.md", "suv-of-others"): render_suv_of_others,
    ("README.md", "accuracy"): render_accuracy_in_short,
    ("bench/phantoms/README.md", "accuracy"): render_accuracy,
    ("bench/phantoms/README.md", "places"): render_places,
    ("docs/user/core-lab.md", "checklists"): render_checklists,
}


@pytest.mark.parametrize(("page", "name"), MADE)
def test_table_when_made_again_then_it_is_the_one_in_the_page(page: str, name: str) -> None:
    assert marked(page, name) == MADE[page, name](), "write it anew: python -m tests.test_docs"


def rewrite() -> None:
    for (page, name), render in MADE.items():
        path, made = ROOT / page, f"<!-- {name} -->\n{render()}\n<!-- /{name} -->"
        old = path.read_text(encoding="utf-8")
        path.write_text(re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, m=made: m, old, flags=re.DOTALL))


# --- codes ------------------------------------------------------------------------------------

CODE = re.compile(r"[A-Z]{2,}(-[A-Z0-9]+)+|USAGE")
#: What raises or names a code, and the letters that the table gives it.
LETTERS = {
    **dict.fromkeys(("AnalysisRefused", "refusal", "refuse", "unusable", "Ignored"), "R"),
    **dict.fromkeys(("warn", "Warned"), "W"),
    **dict.fromkeys(("Finding", "finding", "_finding", "_blocking", "_warning", "warning"), "F"),
    "_note": "RF",  # the sheet's reader: a finding where all are asked for, else a refusal
}


def codes_of(files: list[Path]) -> dict[str, set[str]]:
    """Return every code that stands in some source files, with the letters of the calls it stands in."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and CODE.fullmatch(str(node.value)):
                found[str(node.value)] |= set()
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for given in (*node.args, *(keyword.value for keyword in node.keywords)):
                    if isinstance(given, ast.Constant) and CODE.fullmatch(str(given.value)):
                        found[str(given.value)] |= set(LETTERS.get(name, ""))
    return found


def test_codes_when_the_sources_are_read_then_each_has_its_row_and_its_letters() -> None:
    files = [
        *(ROOT / "phantoms").rglob("*.py"),
        *(ROOT / "qc/analysis").rglob("*.py"),
        ROOT / "qc/management/commands/_offline.py",
    ]
    rows = [*rows_of(METHODS_PAGE, "codes"), *rows_of(METHODS_PAGE, "suv-codes")]
    written = {code: set(letters) for codes, letters, *_ in rows for code in codes_in(codes)}
    assert written == codes_of(files)


def test_arrival_codes_when_the_source_is_read_then_the_site_can_look_each_up() -> None:
    written = {code for codes, *_ in rows_of("docs/user/site.md", "arrival") for code in codes_in(codes)}
    assert written == set(codes_of([ROOT / "qc/arrival.py"]))


# --- measurements and figures -----------------------------------------------------------------


def _analysed(scan: digital.DigitalScan, folder: Path, **asked: Any) -> analysis.Analysis:
    digital.write_dicom(scan, folder)
    asked["sheet"] = scan.sheet
    return analysis.analyse_files(list_files(folder), analysis.Request(**asked), with_figures=True)


def _patient(folder: Path) -> analysis.Analysis:
    import nibabel
    import numpy as np

    torso = digital.patient_like(weight_kg=75.0, shape_zyx=(20, 40, 40), spacing_zyx_mm=(25.0, 12.0, 12.0))
    mask = folder / "mask.nii"
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ torso.volume.affine_lps_mm
    nibabel.save(nibabel.Nifti1Image(np.ones((40, 40, 20), np.uint8), affine), mask)
    return _analysed(torso, folder / "scan", method="patient", mask=mask)


def _nema_iq(folder: Path) -> analysis.Analysis:
    hot = digital.nema_iq(shape_zyx=(60, 90, 90), spacing_zyx_mm=(3.5, 4.0, 4.0))
    digital_ct.write_ct(digital_ct.nema_iq_ct(hot.truth["spheres"]), folder / "ct")
    return _analysed(hot, folder, method="nema_iq")


def _cylinder(folder: Path) -> analysis.Analysis:
    drum = digital.uniform_cylinder(shape_zyx=(60, 72, 72), spacing_zyx_mm=(4.0, 4.0, 4.0))
    return _analysed(drum, folder, method="cylinder")


def _acr(folder: Path) -> analysis.Analysis:
    return _analysed(digital_acr.acr_pet(), folder, method="acr")


def _calibrator(_: Path) -> analysis.Analysis:
    return analysis.analyse_readings(_calibrator_readings(), analysis.Request(), with_figures=True)


#: What analyses a small digital scan by each method; the patient's is measured in a mask too, a phantom with its CT.
ANALYSES: dict[str, Callable[[Path], analysis.Analysis]] = {
    "patient": _patient,
    "cylinder": _cylinder,
    "nema_iq": _nema_iq,
    "acr": _acr,
    "calibrator": _calibrator,
}


# A group, so that one worker makes what both tests of a method look at.
@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"docs-{name}")) for name in ANALYSES]
)
def analysed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, analysis.Analysis]:
    """Return each method, and what a small digital scan comes to by it."""
    return request.param, ANALYSES[request.param](tmp_path_factory.mktemp(request.param))


def _calibrator_readings() -> dict[str, Any]:
    hours = [{"at": f"2026-03-02T{hour:02d}:00:00", "activity_mbq": 900 * 2 ** (-hour / 1.83)} for hour in range(8)]
    return {
        "source": {"nuclide": "Cs-137", "activity_mbq": 9.2, "calibrated_at": "2026-01-15T12:00:00"},
        "readings": [{"at": "2026-03-02T08:00:00", "activity_mbq": 9.2}],
        "linearity": {"nuclide": "F-18", "readings": hours},
        "clock_offset_s": 0,
    }


def test_measurements_when_digital_scans_are_analysed_then_the_page_lists_their_names_and_units(analysed) -> None:
    written: dict[str, dict[str, str]] = defaultdict(dict)
    for method, names, unit, _ in rows_of(METHODS_PAGE, "measurements"):
        for name in codes_in(names):
            for diameter in DIAMETERS_MM if "Dmm" in name else ("",):
                written[method][name.replace("Dmm", f"{diameter}mm")] = unit
    whole = written["any"]
    expected = {
        "patient": whole | written["with `--mask`"],
        "cylinder": whole | written["cylinder"],
        "nema_iq": whole | written["nema_iq"] | written["nema_iq, with its CT"],
        "calibrator": written["calibrator"],
        "acr": whole | written["acr"],
    }
    method, outcome = analysed
    assert outcome.json["refused"] is None
    plain = {one["name"]: one["unit"] for one in outcome.json["measurements"] if one["standard"] is None}
    assert plain == expected[method]


def test_figures_when_digital_scans_are_drawn_then_the_page_lists_them(analysed) -> None:
    written = {method: set(codes_in(names)) for method, names in rows_of(METHODS_PAGE, "figures")}
    method, outcome = analysed
    assert written[method] == set(outcome.figures)
    assert set(written) == set(ANALYSES)


def test_methods_when_there_is_a_new_one_then_its_measurements_and_figures_are_looked_at_here() -> None:
    # `suv` measures no more than `patient`.
    assert set(ANALYSES) == set(analysis.METHODS) - {"suv"}


def test_methods_when_their_version_rises_then_page_and_changelog_say_so() -> None:
    for method, version in analysis.METHODS.items():
        assert f"`{method}@{version}`" in text_of("CHANGELOG.md")
    for method in analysis.FILLS:
        assert f"`{method}@{analysis.METHODS[method]}`" in text_of(METHODS_PAGE)
    assert f"## {analysis.VERSION}" in text_of("CHANGELOG.md")
    assert tomllib.loads(text_of("pyproject.toml"))["project"]["version"] == analysis.VERSION


# --- numbers in prose -------------------------------------------------------------------------


def _numbers() -> Iterator[tuple[str, str]]:
    """Yield sections of the methods page with words that must stand there, each made from the code's own number."""
    part = "Reading a series"
    yield part, f"{sources.MAX_ZIP_RATIO} times its own size"
    yield part, f"{sources.MAX_ZIP_BYTES // 1024**3} GiB, {sources.MAX_FILES:,} files".replace(",000", " 000")
    yield part, f"within {100 * stack.UNEVEN_RATIO:g} % of their mean"
    yield part, f"over {stack.GAP_RATIO:g} times the median"
    yield part, f"under {stack.SAME_POSITION_MM:g} mm a doubled slice"
    yield part, f"more than {stack.ALIGNMENT_MM:g} mm off their common line"
    yield part, f"edges up to {pixels.MAX_EDGE}, {pixels.MAX_VOLUME_BYTES // 1024**3} GiB a volume"
    part = "SUV"
    yield part, f"within {reference.SAME_S:g} s of the first acquisition"
    yield part, f"more than {reference.WARN_S:g} s from the used one warns"
    yield part, f"more than {reference.REFUSE_S:g} s refuses"
    yield part, f"Precedence: {', '.join(reference.PRECEDENCE)}."
    yield part, f"more than {reference.DAY_S / 3600:g} h before it"
    yield part, f"half-life of {timing.MULTI_DAY_HALF_LIFE_S:,.0f} s or more".replace(",", " ")
    yield part, f"up to {timing.MAX_HALF_LIVES:g} half-lives before the scan"
    yield part, f"over {timing.F18_MAX_UPTAKE_S / 3600:g} h refused"
    part = "Activity sheet"
    sigma = sheets.FillUncertainty()
    yield part, f"calibrator {sigma.calibrator_pct:g} %, volume {sigma.volume_pct:g} %"
    yield part, f"residual {sigma.residual_pct:g} %, clock {sigma.clock_min:g} min"
    yield part, f"residual up to {sheet_checks.RESIDUAL_WARN_PCT:g} % is usual"
    yield part, f"over {sheet_checks.RESIDUAL_QUERY_PCT:g} % needs an answer"
    yield part, f"read within {sheet_checks.RESIDUAL_WITHIN.total_seconds() / 3600:g} h of the draw"
    yield part, f"scanned within {sheet_checks.SCAN_WITHIN.total_seconds() / 3600:g} h of it"
    yield part, "ratio {:g} to {:g} is best".format(*sheet_checks.RATIO_BEST)
    yield part, "{:g} to {:g} accepted".format(*sheet_checks.RATIO_ACCEPTED)
    usual = sheet_checks.PLAUSIBLE_KBQML
    yield part, "{:g} to {:g} kBq/mL in the cylinder".format(*usual["cylinder"])
    yield part, "{:g} to {:g} in the spheres".format(*usual["spheres"])
    yield part, "{:g} to {:g} in the background".format(*usual["background"])
    part = "Radionuclide calibrator"
    yield part, f"{calibrator.LONG_LIVED_S / 86_400:g} days or more"
    yield part, f"over {calibrator.MAX_HALF_LIVES:g} half-lives after"
    yield part, f"{calibrator.MIN_LINEARITY_READINGS} readings or more"
    yield part, f"over a factor of {calibrator.MIN_LINEARITY_RANGE:g} or more"
    part = "Finding the cylinder"
    yield part, f"Voxels under {cylinder_pose._VOXEL_MM:g} mm are averaged"
    yield part, f"Gaussian of {cylinder_pose._SMOOTHING_MM:g} mm"
    yield part, f"profile of the core ({cylinder_pose._CORE:g} of the radius)"
    yield part, f"radius under {cylinder_pose._MIN_RADIUS_MM:g} mm or length under {cylinder_pose._MIN_LENGTH_MM:g} mm"
    yield part, f"axis more than {cylinder_pose._MAX_TILT_DEG:g}°"
    yield part, f"outline more than {cylinder_pose._MAX_RESIDUAL_MM:g} mm from a circle"
    yield part, f"more than {cylinder_pose._SPOT_MIN_ML:g} mL, {cylinder_pose._SPOT_MARGIN_MM:g} mm inside"
    yield part, f"more than {100 * cylinder_pose._SPOT_RATIO:g} % and {cylinder_pose._SPOT_NOISE:g} robust SD"
    part = "Uniform cylinder"
    yield part, f"the radius less {cylinder.EDGE_MARGIN_MM:g} mm, the ends less {cylinder.EDGE_MARGIN_MM:g} mm"
    yield part, f"Tiles of {cylinder.TILE_SIZE_MM:g} mm that lie whole within {cylinder.TILE_CIRCLE:g} of the radius"
    yield (
        part,
        f"circle of {cylinder.CENTRE_RADIUS_MM:g} mm against the outermost ring of {cylinder.RING_WIDTH_MM:g} mm",
    )
    yield part, f"lags to {voxel_noise.MAX_CORRELATION_MM:g} mm"
    yield part, f"tilt over {findings.STEEP_TILT_DEG:g}°, slope over {cylinder.SLOPE_WARN_PCT_PER_CM:g} %/cm"
    yield part, f"slice over {cylinder.SLICE_WARN_PCT:g} %, cupping over {cylinder.CUPPING_WARN_PCT:g} %"
    yield part, f"volume more than {cylinder.VOLUME_WARN_PCT:g} % off"
    yield part, f"fails under {cylinder.REPEAT_BELOW_PCT:g} %"
    part = "Finding the NEMA phantom"
    yield part, f"smoothed by {body.SMOOTHING_MM:g} mm"
    yield part, f"every {body._COARSE_VOXEL_MM:g} mm voxel within {search._AXIS_REACH_MM:g} mm of that line"
    yield part, f"every {60 / search._PHASE_STEPS:g}° as the turn"
    yield part, f"under {search._MIN_SCORE:g} is nothing"
    yield part, f"radius {sphere_ring.RING_RADIUS_MM:g} mm [C2] ± {fit.RING_RADIUS_SD_MM:g}"
    yield part, f"tolerance of a stem, {fit.SPHERE_PLACE_SD_MM:g} mm"
    yield part, f"fewer than {localise._MIN_VISIBLE} spheres"
    yield part, f"more than {localise._MAX_RADIUS_ERROR_MM:g} mm off"
    yield part, f"more than {localise._MAX_RESIDUAL_MM:g} mm (RMS)"
    yield part, f"less than {localise._MIN_ORDER_CONFIDENCE:g} probable"
    yield part, f"less than {localise._MIN_EXPLAINED:g} of the variance"
    yield part, "not {:g} to {:g} of the common height".format(*localise._LARGE_SPHERE_RANGE)
    yield part, f"blur over {localise._MAX_FWHM_MM:g} mm"
    part = "NEMA image quality"
    yield part, f"circles of {background_rois.DIAMETER_MM:g} mm in the sphere plane, {background_rois.MARGIN_MM:g} mm"
    yield part, "0, ±{:g} and ±{:g} mm".format(*nema_iq.PLANE_OFFSETS_MM[-2:])
    yield part, f"up to {spheres.SEARCH_SKIN_MM:g} mm outside its wall"
    yield part, f"disc of {nema_iq.LUNG_ROI_DIAMETER_MM:g} mm"
    yield part, f"Up to {findings.STEEP_TILT_DEG:g}° of tilt"
    yield part, f"radius {metrics.PEAK_RADIUS_MM:.3f} mm"
    yield part, f"on a grid of {metrics.PEAK_STEP_MM:g} mm"
    yield part, f"leaves {nema_iq.LUNG_EXCLUSION_MM['nu2_2018']:g} mm"
    yield part, f"NU 2-2012 {nema_iq.LUNG_EXCLUSION_MM['nu2_2012']:g} mm"
    yield part, f"by one factor, {diagnosis._SAME_FACTOR_PCT:g} % at most apart"
    part = "Finding the ACR phantom"
    yield part, f"hotter than {acr_pose._HOT_LEVEL:g} times the rest"
    yield part, "{:g} to {:g} mm long".format(*acr_pose._LENGTHS_MM)
    yield part, f"the middle {acr_pose.PLANE_MM:g} mm"
    yield part, f"{acr_pose._PEAK_NOISE:g} robust SD"
    yield part, f"circle of {acr_pose._REACH_MM:g} mm"
    for diameter, (low, high) in acr_pose._AMOUNT_RANGE.items():
        if diameter != 25:
            yield part, f"{diameter} mm: {low:g} to {high:g}"
    yield part, f"more than {acr_pose._MAX_RESIDUAL_MM:g} mm (RMS) off"
    yield part, f"falls under {acr_pose._ROD_LEVEL:g} of it"
    yield part, f"each less {acr_pose._SECTION_MARGIN_MM:g} mm"
    yield part, f"under {acr_pose._MIN_UNIFORM_MM:g} mm of uniform section"
    part = "ACR PET phantom"
    yield part, f"slices of {acr.SLICE_MM / 10:g} cm"
    yield part, f"the radius less {acr.EDGE_MARGIN_MM:g} mm"
    yield part, f"Tiles of {acr.TILE_SIZE_MM:g} mm"
    yield part, f"tilt over {findings.STEEP_TILT_DEG:g}°"
    yield part, f"more than {acr.SUV_DIFFERS_PCT:g} % apart"
    yield part, f"air more than {acr.AIR_OVER_WATER_SUV:g} above water"
    yield part, f"first lag under {sphere_noise._MIN_CORRELATION:g} or {sphere_noise.MAX_CORRELATION_MM:g} mm"
    yield part, f"{sphere_noise.COPIES} copies of such noise"
    yield part, "boxes of {2:g} × {1:g} × {0:g} mm".format(*(2 * half for half in sphere_noise.HALF_BOX_MM))
    part = "Resolution"
    yield part, f"Spheres under {resolutions.SMALLEST_FREE_MM} mm take"
    yield part, f"those of {resolutions.FILLING_FROM_MM} mm and more"
    part = "Post-filter"
    yield part, f"Gaussian of 0 to {harmonise.WIDEST_MM:g} mm in steps of {harmonise.STEP_MM:g} mm"
    yield part, f"cut after {harmonise._TRUNCATE:g} standard deviations"
    near = {limit.near for one in standards.available() for limit in standards.load(one).limits.values()} - {None}
    yield "Standards", f"nearer than 2 SD, or {near.pop():g} for a recovery"


def test_numbers_when_the_code_has_them_then_their_sections_say_the_same() -> None:
    assert [(title, words) for title, words in _numbers() if words not in section(METHODS_PAGE, title)] == []


# --- where the methods come from --------------------------------------------------------------

#: Sections of the methods' page that measure nothing.
NO_METHODS = {"Digital phantoms", "Figures", "Measurements", "Codes", "Sources", "Where each step comes from"}


def methods_sections() -> dict[str, str]:
    """Return each method's own section, without those below it, by its title."""
    parts = re.split(r"^#{2,3} (.+)\n", text_of(METHODS_PAGE), flags=re.MULTILINE)
    return {title: text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title not in NO_METHODS}


PARTS = {
    "steps": re.compile(r"^(?:1\.|-|\|) ", re.MULTILINE),
    "equation": re.compile(r"^```\n[^`]*[=≤∝][^`]*^```$|`[^`\n]+ [=∝] [^`\n]+`", re.MULTILINE),
    "source": re.compile(r"^\*\*Source\b", re.MULTILINE),
    "tolerance with why": re.compile(r"^\*\*Tolerances?\b", re.MULTILINE),
    "where we differ": re.compile(r"^\*\*Differs\.\*\*", re.MULTILINE),
    "test": re.compile(r"`test_\w+\.py`|/test_\w+\.py`"),
}


@pytest.mark.parametrize("part", PARTS)
def test_method_when_it_has_a_section_then_every_part_is_in_it(part: str) -> None:
    assert [title for title, text in methods_sections().items() if not PARTS[part].search(text)] == []


def test_sources_when_a_method_has_a_section_then_its_steps_have_a_place_or_say_that_none_was_seen() -> None:
    seen = re.compile(r"\d|web pages?, no pages|source code|not verified|ours|not read|no public page")
    marks = {"C", "C2", "D", "MH", "MM", "ML", "none"}
    rows = rows_of(METHODS_PAGE, "places")
    assert {re.sub(r"\[(.+)\]\(.+\)", r"\1", row[0]) for row in rows} == set(methods_sections())
    assert [row for row in rows if not (all(row) and seen.search(row[3]) and row[4] in marks)] == []


# --- people, settings, the command ------------------------------------------------------------


def test_roles_when_read_from_the_program_then_the_table_has_each_with_its_place_and_its_moves() -> None:
    from corelab.models import Role
    from corelab.services.people import SITE_ROLES, TRIAL_ROLES

    rows = rows_of("ARCHITECTURE.md", "roles")
    assert [row[0] for row in rows] == [str(role.label) for role in Role]
    events = {move.event for move in states.SUBMISSION}
    for role, (_, place, _, may) in zip(Role, rows, strict=True):
        assert place == ("a site" if role in SITE_ROLES else "a trial" if role in TRIAL_ROLES else "the whole lab")
        moves = {move.event for move in states.SUBMISSION if role in move.roles}
        assert set(codes_in(may)) & events == moves, role


def test_settings_when_the_environment_is_read_then_the_readme_lists_every_name() -> None:
    read = re.compile(r'environ(?:\.get\(|\[)"([A-Z_]+)"')
    production = (ROOT / "corelab/settings/production.py").read_text(encoding="utf-8")
    must = set(re.findall(r'"([A-Z_]+)"', production.partition("for _name in (")[2].partition(")")[0]))
    files = [
        file for package in ("corelab", "qc", "accreditation", "phantoms") for file in (ROOT / package).rglob("*.py")
    ]
    names = {name for file in files for name in read.findall(file.read_text(encoding="utf-8"))}
    written = {name: is_needed for cell, is_needed, _ in rows_of("README.md", "settings") for name in codes_in(cell)}
    assert {name for name, is_needed in written.items() if is_needed == "yes"} == must
    assert set(written) == names | must


def test_analyse_when_it_has_an_option_then_the_readme_names_it() -> None:
    from qc.management.commands.analyse import CHOICES, EDITIONS, Command

    parser = Command().create_parser("manage.py", "analyse")
    own = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
    own -= {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback"}
    own -= {"--no-color", "--force-color", "--skip-checks"}
    words = section("README.md", "The offline command")
    assert {option for option in own if f"`{option}`" not in words} == set()
    assert {word for word in (*CHOICES, *EDITIONS, *standards.available()) if f"`{word}`" not in words} == set()


# --- the pages themselves ---------------------------------------------------------------------


def test_pages_when_counted_then_every_user_has_one() -> None:
    assert {f"docs/user/{name}.md" for name in USER_PAGES} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_page_when_it_links_then_the_place_is_there(page: str) -> None:
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings(page)}
    for is_picture, words, target in re.findall(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", text_of(page)):
        if "://" in target:
            continue
        if target.startswith("#"):
            assert target[1:] in anchors, target
            continue
        place = (ROOT / page).parent / target.partition("#")[0]
        if is_picture:
            assert len(words) > 20, f"{target} needs words for who cannot see it"
        if place.parent != PICTURES or PICTURES.is_dir():
            assert place.exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_page_when_it_names_a_test_or_a_file_then_it_is_there(page: str) -> None:
    tests = {file.name for file in (ROOT / "tests").rglob("*.py")}
    for name in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|yaml|json|toml|txt))`", text_of(page)):
        if "/" in name:
            assert (ROOT / name).exists(), name
        elif name.startswith("test_"):
            assert name in tests, name


def headings(page: str) -> list[str]:
    outside = re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^#+ (.+)$", outside, re.MULTILINE)


if __name__ == "__main__":
    rewrite()
