"""The offline command: analyse a folder with the code that the workers run, without database or broker."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from phantoms.errors import AnalysisRefused
from qc import analysis

CHOICES = ("auto", *analysis.METHODS)
EDITIONS = ("nu2_2018", "nu2_2012")


class Unusable(Exception):
    """The command was called with something it cannot use."""


class Command(BaseCommand):
    """Analyse one scan and print what was found."""

    help = "Measure a scan (a file, a folder or a zip) and print the result."
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser whose complaints become the JSON object, as every other refusal does."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def error(message: str) -> NoReturn:
            self.refuse_usage(message, as_json="--json" in sys.argv)

        parser.error = error  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the options."""
        parser.add_argument("path", type=Path)
        parser.add_argument("--method", default="auto", help=", ".join(CHOICES))
        parser.add_argument("--sheet", type=Path, help="what the site wrote down when it filled the phantom")
        parser.add_argument("--standard", nargs="+", action="extend", help=f"what decides: {analysis.DEFAULT_STANDARD}")
        parser.add_argument("--edition", default=EDITIONS[0], help=", ".join(EDITIONS))
        parser.add_argument("--series", help="SeriesInstanceUID of the series to use")
        parser.add_argument("--mask", type=Path, help="region for the mask_* measurements")
        parser.add_argument("--figures", type=Path, help="folder to write pictures into, as SVG")
        parser.add_argument("--json", action="store_true", help="print exactly one JSON object")

    def refuse_usage(self, message: str, *, as_json: bool) -> NoReturn:
        """Print what is wrong with the call and end with status 2."""
        outcome = analysis.unusable("USAGE", message, "Look at manage.py analyse --help.", analysis.Request())
        self.show(outcome, as_json=as_json)
        sys.exit(outcome.exit_status)

    def handle(self, *, path: Path, figures: Path | None, **options: Any) -> None:
        """Run the analysis and print its outcome."""
        try:
            request = self.request_from(options)
            if figures is not None:
                figures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.refuse_usage(f"pictures cannot be written there: {type(error).__name__}", as_json=options["json"])
        except Unusable as error:
            self.refuse_usage(str(error), as_json=options["json"])
        outcome = self.run_on(path, request, with_figures=figures is not None)
        if figures is not None:
            for name, figure in outcome.figures.items():
                (figures / f"{name}.svg").write_bytes(figure.svg)
        self.show(outcome, as_json=options["json"])
        if outcome.exit_status:
            sys.exit(outcome.exit_status)

    def request_from(self, options: dict[str, Any]) -> analysis.Request:
        """Return what is asked for, or raise Unusable."""
        from phantoms import standards

        if options["method"] not in CHOICES:
            raise Unusable(f"method {options['method']} is not one of {', '.join(CHOICES)}")
        if options["edition"] not in EDITIONS:
            raise Unusable(f"edition {options['edition']} is not one of {', '.join(EDITIONS)}")
        deciding = options["standard"] or [analysis.DEFAULT_STANDARD]
        unknown = [name for name in deciding if name not in standards.available()]
        if unknown:
            raise Unusable(f"standard {', '.join(unknown)} is not one of {', '.join(standards.available())}")
        sheet = None
        if options["sheet"] is not None:
            try:
                sheet = json.loads(options["sheet"].read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise Unusable(f"the sheet cannot be read: {type(error).__name__}") from error
        return analysis.Request(
            method=options["method"],
            sheet=sheet,
            standards=tuple(dict.fromkeys(deciding)),
            edition=options["edition"],
            series_uid=options["series"],
            mask=options["mask"],
        )

    def run_on(self, path: Path, request: analysis.Request, *, with_figures: bool) -> analysis.Analysis:
        """Return the analysis of the files under a path."""
        from phantoms import dicom_series

        if not path.exists():
            return analysis.unusable("INPUT-NONE", "There is nothing at this path.", "Check the path.", request)
        try:
            files = dicom_series.list_files(path)
        except AnalysisRefused as refused:
            return analysis.unusable(refused.code, refused.detail, refused.next_step, request)
        return analysis.analyse_files(files, request, with_figures=with_figures)

    def show(self, outcome: analysis.Analysis, *, as_json: bool) -> None:
        """Print the outcome for a program or for a person."""
        result = outcome.json
        if as_json:
            self.stdout.write(json.dumps(result, ensure_ascii=False))
            return
        if result["refused"]:
            refused = result["refused"]
            self.stdout.write(f"Could not check: {refused['detail']} [{refused['code']}]\n{refused['next_step']}")
        self.stdout.write(f"{result['method'] or 'no method'}: {result['verdict'] or 'nothing was judged'}")
        for finding in result["findings"]:
            self.stdout.write(f"  {finding['outcome']:<14} {finding['id']:<20} {finding['message']}")
        for one in result["measurements"]:
            value = "–" if one["value"] is None else f"{one['value']:.6g}"
            limits = "" if one["standard"] is None else f"{one['limit_low']}–{one['limit_high']} {one['standard']}"
            self.stdout.write(f"  {one['name']:<40} {value:>12} {one['unit']:<6} {one['verdict']:<14} {limits}")
