"""``manage.py verify_audit``: walk the audit chain of the database that ``DATABASE_URL`` names."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand
from django.db import Error, connection

from corelab import audit
from corelab.models import AuditHead

BROKEN, UNREADABLE = 3, 2


class Command(BaseCommand):
    """Print how many rows the chain has and whether it is intact; the walk itself is not recorded.

    The exit status is 0 for an intact chain, 3 for a broken one, 2 where there is none to be read.
    """

    help = "Walk the audit chain: status 0 intact, 3 broken, 2 where the database cannot be read."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--json", action="store_true", help="print exactly one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Walk the chain, print what was found, and end with its status."""
        try:
            found = self.verify()
        except (Error, ImproperlyConfigured, AuditHead.DoesNotExist, FileNotFoundError) as error:
            self.refuse(type(error).__name__, as_json=options["json"])
        result = {"rows": found.rows, "intact": found.intact, "first_break": found.first_break}
        if options["json"]:
            self.stdout.write(json.dumps(result))
        elif found.intact:
            self.stdout.write(f"{found.rows} rows, the chain is intact.")
        else:
            self.stdout.write(f"{found.rows} rows, the chain breaks at row {found.first_break}.")
        if not found.intact:
            sys.exit(BROKEN)

    def verify(self) -> audit.Verification:
        """Return what the walk found; a file that is not there is not made by looking for it."""
        name = str(connection.settings_dict["NAME"])
        is_of_memory = not name or name.startswith("file:") or ":memory:" in name
        if connection.vendor == "sqlite" and not is_of_memory and not Path(name).is_file():
            raise FileNotFoundError(name)
        return audit.verify()

    def refuse(self, what: str, *, as_json: bool) -> NoReturn:
        """Say that there is no chain to be read, by the error's name alone: its words can hold the address."""
        refused = {
            "code": "DATABASE",
            "detail": f"There is no audit log that can be read there ({what}).",
            "attribute": None,
            "next_step": "Name the database by DATABASE_URL, sqlite:////path/to/file or postgresql://….",
        }
        if as_json:
            self.stdout.write(json.dumps({"rows": None, "intact": None, "first_break": None, "refused": refused}))
        else:
            self.stdout.write(f"{refused['detail']}\n{refused['next_step']}")
        sys.exit(UNREADABLE)
