"""``manage.py set_unnamed_bytes_aside``: find bytes in the store that no row names, and set them aside."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from corelab import audit
from qc import services


class Command(BaseCommand):
    """Do now what the beat does each day, or with ``--dry-run`` say only what it would do."""

    help = "Set bytes aside that no row has named for two days; with --dry-run only count them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--dry-run", action="store_true", help="count, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and print how many."""
        with audit.acting(name="system: set_unnamed_bytes_aside"):
            done = services.unnamed_bytes_set_aside(is_rehearsal=options["dry_run"])
        words = f"{done.set_aside} set aside, {done.taken_back} put back, {done.deleted} deleted"
        self.stdout.write(f"Nothing was done. Would be: {words}." if options["dry_run"] else f"{words.capitalize()}.")
