"""What is seen on the way to a SUV factor: the trace, what to look at, and what refuses the SUV."""

from __future__ import annotations

from dataclasses import dataclass

from phantoms.errors import AnalysisRefused
from phantoms.suv.catalogue import CATALOGUE, refusal


@dataclass(frozen=True)
class TraceLine:
    """One header value and what was made of it."""

    attribute: str
    value: str
    use: str

    def as_json(self) -> dict[str, str]:
        """Return the ``trace[]`` object of the offline contract."""
        return {"attribute": self.attribute, "value": self.value, "use": self.use}


@dataclass(frozen=True)
class Warned:
    """Something that a person should look at although a number is given."""

    code: str
    detail: str

    def as_json(self) -> dict[str, str]:
        """Return the ``warnings[]`` object of the offline contract."""
        return {"code": self.code, "detail": self.detail}


class Notes:
    """What is seen on the way: trace, warnings, and problems that refuse the SUV."""

    def __init__(self) -> None:
        self.trace: list[TraceLine] = []
        self.warnings: list[Warned] = []
        self.problems: list[AnalysisRefused] = []

    def note(self, attribute: str, value: object, use: str) -> None:
        """Add a line to the trace."""
        self.trace.append(TraceLine(attribute, "–" if value is None else str(value), use))

    def warn(self, code: str, detail: str) -> None:
        """Add what a person should look at although a number is given; the code is one of the catalogue."""
        self.warnings.append(Warned(CATALOGUE[code].code, detail))

    def refuse(self, code: str, detail: str, attribute: str | None = None, next_step: str | None = None) -> None:
        """Add what keeps the SUV from being given, see `phantoms.suv.catalogue.refusal`."""
        self.problems.append(refusal(code, detail, attribute, next_step))
