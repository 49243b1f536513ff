"""The sentence that each signature about a case says; the page shows it, the signature keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from accreditation.requirements import day_words


def statement_of(event: str, case: Any, values: Mapping[str, Any], today: date) -> str:
    """Return what a person says with their signature.

    Parameters
    ----------
    event : str
        The signed move of `accreditation.workflow.CASE`.
    case : Case or str
    values : mapping
        What was decided: ``deadline_on``, ``valid_from``, ``valid_until`` where the event has them.
    today : date
        On the site's calendar.
    """
    if event == "propose":
        return f"I have reviewed the evidence of {case} and recommend accreditation."
    if event == "require_action":
        by = day_words(values["deadline_on"])
        return f"I have reviewed the evidence of {case} and require a corrective action by {by}."
    if event == "fail":
        return f"I have reviewed the evidence of {case}. It is not accredited."
    if event == "approve":
        first, last = day_words(values["valid_from"]), day_words(values["valid_until"])
        return f"I approve the accreditation of {case} from {first} to {last}."
    if event == "refuse":
        return f"I refuse the accreditation of {case}."
    return f"I let the accreditation of {case} hold again from {day_words(today)}."
