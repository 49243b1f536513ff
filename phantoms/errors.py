"""The one refusal that image analysis knows."""


class AnalysisRefused(Exception):
    """No number is given, for a reason that a person can act on.

    Parameters
    ----------
    code : str
        Stable id, ``FAMILY-WHAT`` in capitals, for example ``SUV-NO-WEIGHT``.
    detail : str
        What was seen, in plain words with the DICOM tag in brackets after them. Never a person's name.
    attribute : str or None
        The DICOM attribute it hangs on, as ``(gggg,eeee)``.
    next_step : str
        What the person who can take it does next.
    """

    def __init__(self, code: str, detail: str, attribute: str | None = None, next_step: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.attribute = attribute
        self.next_step = next_step

    def as_json(self) -> dict[str, str | None]:
        """Return the ``refused`` object of the offline contract."""
        return {"code": self.code, "detail": self.detail, "attribute": self.attribute, "next_step": self.next_step}
