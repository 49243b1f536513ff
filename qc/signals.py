"""What this package tells those above it, after commit."""

from __future__ import annotations

from django.dispatch import Signal

#: Sent with ``run_id`` after the review of a run was signed. It may be lost in a crash: listeners derive the same
#: from the tables.
run_signed = Signal()
