"""Small parts for tests of this package: tiny DICOM series, and calls on somebody's behalf."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from corelab import access, audit
from phantoms.dicom_series import write_series
from phantoms.volume import PetVolume
from qc import services
from qc.models import Submission

SHEET = {
    "nuclide": "F-18",
    "time_zone": "Europe/London",
    "fills": [{"what": "cylinder", "concentration_bqml": 5000.0, "at": "2026-03-02T10:30:00"}],
}
PET = {
    "Manufacturer": "Digital",
    "ManufacturerModelName": "Phantom 1",
    "PatientID": "A",
    "PatientName": "Nobody",
    "SeriesNumber": 3,
    "CorrectedImage": ["ATTN", "DECY"],
    "AcquisitionDate": "20260302",
    "AcquisitionTime": "103000",
}
CT = {"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SeriesNumber": 2, "NumberOfSlices": None}


@lru_cache
def _series(count: int, seed: int, attributes: tuple[tuple[str, Any], ...]) -> tuple[bytes, ...]:
    volume = PetVolume(np.full((count, 4, 4), 100.0, np.float32), np.diag([4.0, 4.0, 3.0, 1.0]), "Bq/mL")
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in attributes}
    with TemporaryDirectory() as folder:
        return tuple(path.read_bytes() for path in write_series(Path(folder), volume, given, seed=seed))


def slices(count: int = 3, *, seed: int = 1, **attributes: Any) -> list[bytes]:
    """Return the files of a tiny PET series."""
    given = PET | attributes
    frozen = tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in given.items())
    return list(_series(count, seed, frozen))


def call(service: Callable[..., Any], *, actor: Any, **arguments: Any) -> Any:
    """Call a service as a person."""
    actor = type(actor).objects.get(pk=actor.pk)
    with audit.acting(actor, role=access.role_text(actor)):
        return service(actor=actor, **arguments)


def work(service: Callable[..., Any], **arguments: Any) -> Any:
    """Call a service as a job does."""
    with audit.acting(name="system: test"):
        return service(**arguments)


def receive(submission: Submission, *files: bytes, actor: Any = None, name: str = "scan") -> None:
    """Send files to a draft, each in one request."""
    for number, content in enumerate(files):
        call(
            services.upload_receive,
            actor=actor or submission.created_by,
            submission_id=submission.pk,
            length_bytes=len(content),
            file_name=f"{name}/{number}-{hash(content)}",
            stream=io.BytesIO(content),
        )


def zip_of(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return the bytes of a zip."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()
