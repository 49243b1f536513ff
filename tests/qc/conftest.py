"""Folders and people that this package's tests share."""

from __future__ import annotations

import pytest

from corelab.models import Role
from phantoms.figure_svg import FigureSvg
from qc import analysis
from qc.states import SubmissionState as S
from tests import factories

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="10pt" viewBox="0 0 10 10"></svg>'


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    """Keep what a test stores apart from every other test's."""
    settings.OBJECT_STORE_DIR = tmp_path / "objects"
    settings.UPLOAD_DIR = tmp_path / "uploads"
    settings.REPORT_DIR = tmp_path / "reports"
    settings.UPLOAD_DIR.mkdir()


@pytest.fixture
def site(db):
    return factories.site()


@pytest.fixture
def sender(site):
    return factories.user(Role.SITE_USER, site=site)


@pytest.fixture
def physicist(db):
    return factories.user(Role.PHYSICIST)


@pytest.fixture
def draft(site, sender):
    return factories.submission(of=site, created_by=sender)


@pytest.fixture
def checking(draft, sender):
    """A submission that was sent and waits for its check; jobs are rung by the tests themselves."""
    draft.state, draft.sent_by = S.CHECKING, sender
    draft.save()
    return draft


@pytest.fixture
def measured(monkeypatch):
    """Stand in for the analysis: what it answers, and how often it was asked."""

    class Fake:
        def __init__(self) -> None:
            self.calls = 0
            self.error: BaseException | None = None
            # The contract's whole object, as the program itself gives it where there is nothing to measure.
            nothing = analysis.unusable("NOTHING", "Nothing was given.", "", analysis.Request()).json
            self.result = nothing | {"method": "cylinder", "method_version": 1, "verdict": "PASS", "refused": None}
            self.result["suv"]["refused"] = None

        def __call__(self, files, request, *, with_figures=False):
            self.calls += 1
            if self.error is not None:
                raise self.error
            figures = {"central_slice": FigureSvg(svg=SVG, alt="Axial slice", caption="The centre")}
            return analysis.Analysis(json=dict(self.result), figures=figures)

    fake = Fake()
    monkeypatch.setattr(analysis, "analyse_files", fake)
    return fake
