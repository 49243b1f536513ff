"""What the offline commands share: one JSON object, also for a call that is wrong or a path that holds nothing."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from phantoms.dicom_series import Source
from phantoms.errors import AnalysisRefused
from qc import analysis

#: What a shell reports of a program whose reader left: 128 and the number of SIGPIPE.
READER_LEFT = 128 + 13


class Unusable(Exception):
    """The command was called with something it cannot use."""


class OfflineCommand(BaseCommand):
    """A command on files alone: no database, broker or secret; one JSON object, and a status that says how it went."""

    requires_system_checks: list[str] = []
    #: Its name, and the request whose object answers a wrong call.
    name: str
    empty = analysis.Request()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser whose complaints become the JSON object, as every other refusal does."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def error(message: str) -> NoReturn:
            self.refuse_usage(message, as_json="--json" in sys.argv)

        parser.error = error  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the options that every offline command has."""
        parser.add_argument("path", type=Path)
        parser.add_argument("--series", help="SeriesInstanceUID of the series to use")
        parser.add_argument("--json", action="store_true", help="print exactly one JSON object")

    def refuse_usage(self, message: str, *, as_json: bool) -> NoReturn:
        """Print what is wrong with the call and end with status 2."""
        outcome = analysis.unusable("USAGE", message, f"Look at manage.py {self.name} --help.", self.empty)
        self.end_with(outcome, as_json=as_json)
        raise AssertionError(outcome)  # an unusable call has a status

    def run_on(
        self, path: Path, request: analysis.Request, work: Callable[[Sequence[Source]], analysis.Analysis]
    ) -> analysis.Analysis:
        """Return what some work makes of the files under a path, or why there are none."""
        from phantoms import dicom_series

        if not path.exists():
            return analysis.unusable("INPUT-NONE", "There is nothing at this path.", "Check the path.", request)
        try:
            files = dicom_series.list_files(path)
        except AnalysisRefused as refused:
            return analysis.unusable(refused.code, refused.detail, refused.next_step, request)
        return work(files)

    def end_with(self, outcome: analysis.Analysis, *, as_json: bool) -> None:
        """Print the outcome for a program or for a person, and end with its status where that is not 0."""
        try:
            if as_json:
                self.stdout.write(json.dumps(outcome.json, ensure_ascii=False))
            else:
                self._write(outcome.json)
            self.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has enough, as `head` has; what is left unwritten must not fail once more at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(READER_LEFT)
        if outcome.exit_status:
            sys.exit(outcome.exit_status)

    def _write(self, result: dict[str, Any]) -> None:
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


def read_json(path: Path, what: str) -> Any:
    """Return the value in a JSON file, or raise Unusable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(f"the {what} cannot be read: {type(error).__name__}") from error
