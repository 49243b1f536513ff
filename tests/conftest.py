"""Fixtures that every package's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real and reference DICOM; it lies beside the project's root, for developers and CI only."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the reference data folder ../shared/data is absent; digital phantoms cover the same behaviour")
    return SHARED_DATA
