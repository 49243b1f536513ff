"""What is asked for, what one analysis gathers on its way, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from phantoms.results import Finding, Measurement
from qc.analysis.methods import DEFAULT_STANDARD

if TYPE_CHECKING:
    from phantoms.dicom_series import Scan, Series
    from phantoms.dicom_series.ct import CtSeries
    from phantoms.errors import AnalysisRefused
    from phantoms.suv import SuvResult


@dataclass(frozen=True)
class Request:
    """What is asked for: the parameters of a run, in plain JSON types.

    ``conformance`` is what rules are held to, as `qc.conformance.inputs_of` reads it; without it no rule is asked, and
    the parameters, with their digest, are those of a time before there were rules. ``chosen_reference`` and
    ``accepts_lbm120`` are what a physicist decided by signature, as `phantoms.suv.suv_factor` takes them; undecided
    they are no parameters either.
    """

    method: str = "auto"
    sheet: Mapping[str, Any] | None = None
    standards: tuple[str, ...] = (DEFAULT_STANDARD,)
    edition: str = "nu2_2018"
    series_uid: str | None = None
    mask: Path | None = None
    conformance: Mapping[str, Any] | None = None
    chosen_reference: str | None = None
    accepts_lbm120: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the parameters as they are stored with a run and digested."""
        parameters: dict[str, Any] = {
            "method": self.method,
            "sheet": self.sheet,
            "standards": list(self.standards),
            "edition": self.edition,
            "series_uid": self.series_uid,
        }
        if self.conformance is not None:
            parameters["conformance"] = self.conformance
        if self.chosen_reference is not None:
            parameters["chosen_reference"] = self.chosen_reference
        if self.accepts_lbm120:
            parameters["accepts_lbm120"] = True
        return parameters


@dataclass(frozen=True)
class Analysis:
    """The outcome of one analysis.

    Attributes
    ----------
    json : dict
        The offline contract's object.
    figures : dict of str to FigureSvg
        Pictures by name; empty unless asked for.
    exit_status : int
        0 done, 2 unusable input, 3 refused.
    """

    json: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    exit_status: int = 0


@dataclass
class Work:
    """What one analysis gathers on its way."""

    scan: Scan | None = None
    series: Series | None = None
    suv: SuvResult | None = None
    method: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    profiles: dict[str, Any] | None = None
    ct: CtSeries | None = None
    conformance: dict[str, Any] | None = None
    refused: AnalysisRefused | None = None
    is_unusable: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, function: Callable[[], Any]) -> Any:
        """Call ``function``, and add its seconds under ``name``."""
        started = perf_counter()
        try:
            return function()
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + perf_counter() - started, 4)
