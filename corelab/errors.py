"""The error family: what a person did, what the world did, what the lab must mend."""


class DomainError(Exception):
    """Base of all expected errors.

    Parameters
    ----------
    code : str
        Stable id in capitals.
    message : str
        Fit for a person at a site: what was seen, then the next step.
    **context
        Ids and numbers for the log; never header values.
    """

    code = "ERROR"

    def __init__(self, message: str, *, code: str | None = None, **context: object) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.message = message
        self.context = context


class Refused(DomainError):
    """The input or the request is wrong: shown to the person, never tried again."""

    code = "REFUSED"


class InvalidMove(Refused):
    """The state table has no such event in this state."""

    code = "INVALID-MOVE"


class StaleState(Refused):
    """Someone was faster; the page must be read again."""

    code = "STALE-STATE"


class NotAllowed(Refused):
    """The role or the site does not permit it."""

    code = "NOT-ALLOWED"


class NotFound(Refused):
    """Absent or not visible: the same answer for both."""

    code = "NOT-FOUND"


class Transient(DomainError):
    """Network, lock or disk was busy: a job tries again, then operators see it."""

    code = "TRANSIENT"


class OutOfSpace(Transient):
    """The disk is full; nothing was taken."""

    code = "OUT-OF-SPACE"


class Misconfigured(DomainError):
    """The lab must act."""

    code = "MISCONFIGURED"
