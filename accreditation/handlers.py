"""What this package does when those below tell it something."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from accreditation import services
from corelab import audit
from qc import signals


def on_run_signed(sender: object, run_id: UUID, **kwargs: Any) -> None:
    """Count a signed run in the cases of its scope; not as the person who signed, who decides nothing by it."""
    with audit.acting(name="system: evidence of a signed run"):
        services.run_evidence_collect(run_id=run_id)


def connect() -> None:
    """Listen to what is told from below; twice is once."""
    signals.run_signed.connect(on_run_signed, dispatch_uid="accreditation.on_run_signed")
