"""The offline command: hold a patient scan to a trial's protocol and to a register, by its headers alone."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from qc import analysis
from qc.management.commands._offline import OfflineCommand, Unusable, read_json


class Command(OfflineCommand):
    """Hold one patient scan to its rules and print every rule's outcome."""

    help = "Hold a patient scan (a file, a folder or a zip) to a trial's protocol and print every rule's outcome."
    name = "conform"
    empty = analysis.Request(method="patient")

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the options."""
        super().add_arguments(parser)
        parser.add_argument("--protocol", type=Path, required=True, help="what the trial asks of its scans, as JSON")
        parser.add_argument("--registry", type=Path, help="scanners, reconstructions and clearances, as JSON")
        parser.add_argument(
            "--date-offset", type=int, metavar="DAYS", help="days to add to the headers' dates for the true ones"
        )

    def handle(self, *, path: Path, **options: Any) -> None:
        """Ask the rules and print their outcomes."""
        try:
            request = self.request_from(options)
        except Unusable as error:
            self.refuse_usage(str(error), as_json=options["json"])
        outcome = self.run_on(path, request, lambda files: analysis.conform_files(files, request))
        self.end_with(outcome, as_json=options["json"])

    def request_from(self, options: dict[str, Any]) -> analysis.Request:
        """Return what is asked for, or raise Unusable."""
        from qc import protocols

        document, registry = read_json(options["protocol"], "protocol"), None
        try:
            protocols.parse(document)
            if options["registry"] is not None:
                registry = read_json(options["registry"], "registry")
                protocols.parse_registry(registry)
        except protocols.DocumentProblems as error:
            which = "protocol" if registry is None else "registry"
            raise Unusable(f"the {which} cannot be used. {' '.join(error.problems)}") from error
        return analysis.Request(
            method="patient",
            series_uid=options["series"],
            conformance={
                "protocol": {"version": None, "document": document},
                "registry": registry,
                "values": None,
                "scope": {},
                "date_offset_days": options["date_offset"],
            },
        )
