"""What this package tells those above it, after commit."""

from __future__ import annotations

from django.dispatch import Signal

#: Sent with ``run_id`` after a run ended. It may be lost in a crash: listeners derive the same from the tables.
run_finished = Signal()
