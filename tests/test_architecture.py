"""The rules of the house that no single package's tests can see."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("corelab", "phantoms", "qc", "accreditation")
PYTHON_FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
TEMPLATES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("templates/**/*.html"))
SHIPPED_TEXT = sorted(
    file
    for pattern in ("*.md", "*.toml", "*.txt", "bin/*", ".ci/*", "docs/**/*", "deploy/**/*")
    for file in ROOT.glob(pattern)
    if file.is_file() and file.suffix not in {".png", ".pdf"}
)


# --- import contracts -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the four packages and their contracts, to plant violations in."""
    tree = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=lambda folder, names: _not_python(Path(folder), names))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


def _not_python(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if (folder / name).is_file() and not name.endswith(".py")]


def broken_contracts(tree: Path) -> set[str]:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in lint.stdout, lint.stdout + lint.stderr
    return set(re.findall(r"^(.+) BROKEN$", lint.stdout, re.MULTILINE))


def test_contracts_when_nothing_is_planted_then_all_hold(copied_tree: Path) -> None:
    assert broken_contracts(copied_tree) == set()


@pytest.mark.parametrize(
    ("contract", "path", "code"),
    [
        ("Arrows point one way", "corelab/planted.py", "import qc.states"),
        ("Arrows point one way", "qc/management/planted.py", "import accreditation.apps"),
        ("Arrows point one way", "phantoms/planted.py", "import corelab.errors"),
        ("Arrows point one way", "corelab/planted.py", "def late():\n    import phantoms.results"),
        ("Image analysis, rules and state tables know no framework", "phantoms/planted.py", "import django.conf"),
        ("Few modules know DICOM files", "phantoms/planted.py", "import pydicom"),
        ("Few modules know DICOM files", "qc/services/planted.py", "import pydicom"),
        ("Only the demo makes digital phantoms", "phantoms/planted.py", "from phantoms import digital"),
        ("Only the demo makes digital phantoms", "qc/services/planted.py", "import phantoms.digital"),
        ("Inside qc", "qc/models/planted.py", "import qc.services"),
        ("Inside qc", "qc/helpers.py", ""),
        ("Celery through the house decorator", "qc/services/planted.py", "from celery import shared_task"),
        (
            "Entrances reach the database through services and selectors",
            "qc/receivers/planted.py",
            "from qc.models import Submission",
        ),
    ],
)
def test_contract_when_a_violation_is_planted_then_it_breaks(
    copied_tree: Path, contract: str, path: str, code: str
) -> None:
    planted = copied_tree / path
    planted.write_text(f'"""Planted."""\n{code}\n')
    try:
        assert contract in broken_contracts(copied_tree)
    finally:
        planted.unlink()


# --- what the files say -----------------------------------------------------------------------


def test_shipped_files_when_read_then_they_name_no_place_outside_the_checkout() -> None:
    outside = re.compile(r"\.\./shared|/work/(?:main|shared)|/tmp/|/root/|/home/")
    seen = {
        f"{file.relative_to(ROOT)}: {hit}"
        for file in (*PYTHON_FILES, *TEMPLATES, *SHIPPED_TEXT)
        for hit in outside.findall(file.read_text(encoding="utf-8"))
    }
    assert not seen


def test_template_when_read_then_the_content_policy_holds() -> None:
    """No inline style or script, no handler attributes: the policy would block them in silence."""
    forbidden = re.compile(
        r"""\sstyle\s*=|<style|\son[a-z]+\s*=\s*["']|hx-on|hx-vals=["']js:|javascript:|<script(?![^>]*\ssrc=)""",
        re.IGNORECASE,
    )
    seen = {
        f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, hit.start()) + 1} {hit.group().strip()}"
        for file in TEMPLATES
        for text in [re.sub(r"\{#.*?#\}|\{% comment.*?endcomment %\}", "", file.read_text(encoding="utf-8"))]
        for hit in forbidden.finditer(text)
    }
    assert not seen


def test_vendored_files_when_shipped_then_their_licence_lies_beside_them() -> None:
    for vendor in ROOT.glob("*/static/vendor/*/"):
        assert list(vendor.glob("LICENSE*")) + list(vendor.glob("OFL*")), f"{vendor.relative_to(ROOT)} has no licence"


# --- requirements -----------------------------------------------------------------------------


def _requirements(name: str) -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {requirement.name.lower(): requirement for requirement in found}


def test_constraints_when_read_then_every_requirement_has_its_exact_version() -> None:
    constraints = _requirements("constraints.txt")
    for name, requirement in (_requirements("requirements.txt") | _requirements("requirements-dev.txt")).items():
        (exact,) = constraints[name].specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), name


def test_environment_when_tested_then_it_is_the_one_of_the_constraints() -> None:
    for name, constraint in _requirements("constraints.txt").items():
        if constraint.marker is None or constraint.marker.evaluate():
            assert constraint.specifier.contains(importlib.metadata.version(name)), name


def test_requirements_when_listed_then_the_program_uses_them() -> None:
    # Django loads the PostgreSQL driver when DATABASE_URL names such a server; pytest and pydicom load their plug-ins.
    loaded_by_others = {"psycopg", "pyjpegls", "pytest-django"}
    modules_of: dict[str, set[str]] = {}
    for module, names in importlib.metadata.packages_distributions().items():
        for name in names:
            modules_of.setdefault(name.lower(), set()).add(module)
    words: set[str] = set()
    for file in [*PYTHON_FILES, *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                words.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                words.add(node.module.split(".")[0])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.add(node.value.split(".")[0])
    unused = {
        name
        for name in _requirements("requirements.txt")
        if name not in loaded_by_others and not modules_of.get(name, {name}) & words
    }
    assert not unused
