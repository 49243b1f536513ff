"""What this package tells those above it."""

from __future__ import annotations

from django.dispatch import Signal

#: Sent with ``scanner``, ``before`` and ``after`` when an administrator has changed a scanner's entry, in the
#: transaction that changes it: what a listener writes stands or falls with the change.
scanner_edited = Signal()
