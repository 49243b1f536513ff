"""The offline command: analyse a folder with the code that the workers run, without database or broker."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from qc import analysis
from qc.management.commands._offline import OfflineCommand, Unusable, read_json

CHOICES = ("auto", *analysis.METHODS)
EDITIONS = ("nu2_2018", "nu2_2012")


class Command(OfflineCommand):
    """Analyse one scan and print what was found."""

    help = "Measure a scan (a file, a folder or a zip) and print the result."
    name = "analyse"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the options."""
        super().add_arguments(parser)
        parser.add_argument("--method", default="auto", help=", ".join(CHOICES))
        parser.add_argument("--sheet", type=Path, help="what the site wrote down when it filled the phantom")
        parser.add_argument("--standard", nargs="+", action="extend", help=f"what decides: {analysis.DEFAULT_STANDARD}")
        parser.add_argument("--edition", default=EDITIONS[0], help=", ".join(EDITIONS))
        parser.add_argument("--mask", type=Path, help="region for the mask_* measurements")
        parser.add_argument(
            "--replicates", nargs="+", metavar="UID", help="series of several acquisitions, for nema_iq"
        )
        parser.add_argument("--figures", type=Path, help="folder to write pictures into, as SVG")

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
        with_figures = figures is not None
        replicates: list[str] | None = options["replicates"]
        if request.method == "calibrator":
            outcome = self.run_on_readings(path, request, with_figures=with_figures)
        elif replicates is not None:
            outcome = self.run_on(
                path,
                request,
                lambda files: analysis.analyse_replicates(files, request, replicates, with_figures=with_figures),
            )
        else:
            outcome = self.run_on(
                path, request, lambda files: analysis.analyse_files(files, request, with_figures=with_figures)
            )
        if figures is not None:
            for name, figure in outcome.figures.items():
                (figures / f"{name}.svg").write_bytes(figure.svg)
        self.end_with(outcome, as_json=options["json"])

    def run_on_readings(self, path: Path, request: analysis.Request, *, with_figures: bool) -> analysis.Analysis:
        """Return what the readings in a JSON file come to, or why there are none."""
        try:
            return analysis.analyse_readings(read_json(path, "readings"), request, with_figures=with_figures)
        except Unusable as error:
            step = "Give a JSON file of readings, as phantoms/README.md describes it."
            return analysis.unusable("INPUT-NONE", f"{error}"[:1].upper() + f"{error}."[1:], step, request)

    def request_from(self, options: dict[str, Any]) -> analysis.Request:
        """Return what is asked for, or raise Unusable."""
        from phantoms import standards

        if options["method"] not in CHOICES:
            raise Unusable(f"method {options['method']} is not one of {', '.join(CHOICES)}")
        if options["edition"] not in EDITIONS:
            raise Unusable(f"edition {options['edition']} is not one of {', '.join(EDITIONS)}")
        replicates = options["replicates"]
        if replicates is not None and (options["method"] != "nema_iq" or options["series"] is not None):
            raise Unusable("replicates go with --method nema_iq and without --series")
        if replicates is not None and not 1 < len(set(replicates)) == len(replicates):
            raise Unusable("replicates are two or more different series")
        usual = analysis.OWN_STANDARD.get(options["method"], analysis.DEFAULT_STANDARD)
        deciding = options["standard"] or [usual]
        unknown = [name for name in deciding if name not in standards.available()]
        if unknown:
            raise Unusable(f"standard {', '.join(unknown)} is not one of {', '.join(standards.available())}")
        return analysis.Request(
            method=options["method"],
            sheet=read_json(options["sheet"], "sheet") if options["sheet"] is not None else None,
            standards=tuple(dict.fromkeys(deciding)),
            edition=options["edition"],
            series_uid=options["series"],
            mask=options["mask"],
        )
