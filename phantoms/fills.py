"""One fill of a phantom, and the concentration that it decays to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

FILLS = ("cylinder", "spheres", "background")
# The stock fills spheres in one phantom and hot cylinders in another.
NAMES = {"cylinder": "cylinder", "spheres": "stock", "background": "background"}

# Two moments farther apart have no concentration in common. 2^20 is a million: the few MBq that a phantom must hold
# to be measured would have been TBq when they were drawn, so a date is wrong.
MAX_HALF_LIVES = 20.0


@dataclass(frozen=True)
class Fill:
    """What was put into one part of the phantom: an activity with its volume, or a concentration with its time.

    A sealed source was filled by its maker: activity or concentration, date and volume are those of its certificate,
    and nothing stayed in a syringe. ``activity_sd_pct`` is the certificate's uncertainty, one standard deviation.
    """

    what: str
    activity_mbq: float | None = None
    assayed_at: datetime | None = None
    residual_mbq: float | None = None
    residual_at: datetime | None = None
    volume_ml: float | None = None
    concentration_bqml: float | None = None
    at: datetime | None = None
    is_at_reference_time: bool = False  # "at": null, the concentration holds at the image's own reference time
    is_sealed: bool = False
    activity_sd_pct: float | None = None

    @property
    def is_concentration(self) -> bool:
        """Whether the concentration itself was stated."""
        return self.concentration_bqml is not None

    @property
    def moments(self) -> tuple[datetime, ...]:
        """The times that the concentration follows from: of the concentration, or of the draw and the residual."""
        if self.is_concentration:
            return (self.at,) if self.at else ()
        times = (self.assayed_at, self.residual_at if self.residual_mbq else None)
        return tuple(moment for moment in times if moment)

    @property
    def missing(self) -> tuple[str, ...]:
        """What this fill lacks before a concentration follows from it, in the site's words."""
        if self.is_concentration:
            return () if self.is_at_reference_time or self.at else ("the time of the concentration",)
        activity, time = ("activity drawn", "time it was drawn")
        if self.is_sealed:
            activity, time = ("activity of the certificate", "date of the certificate")
        wanted = (
            (self.activity_mbq, f"the {activity}"),
            (self.assayed_at, f"the {time}"),
            (self.volume_ml, "the volume"),
        )
        lacks = [words for value, words in wanted if value is None]
        if self.residual_mbq and self.residual_at is None:
            lacks.append("the time of the residual")
        if self.residual_at is not None and self.residual_mbq is None:
            lacks.append("the residual")
        return tuple(lacks)


@dataclass(frozen=True)
class DecayClock:
    """The nuclide's half-life, and how far the scanner's clock is ahead of the sheet's."""

    half_life_s: float
    clock_offset_s: float = 0.0

    def on_scanner(self, moment: datetime) -> datetime:
        """Turn a time of the sheet into the scanner's clock."""
        return moment + timedelta(seconds=self.clock_offset_s)

    def is_near(self, moment: datetime, at: datetime) -> bool:
        """Whether the sheet's ``moment`` is within `MAX_HALF_LIVES` of ``at``, which is on the scanner's clock."""
        return abs(self._half_lives(moment, at)) <= MAX_HALF_LIVES

    def concentration_bqml(self, fill: Fill, at: datetime) -> float | None:
        """Return ``(A·2^(-(t - t_A)/T) - A_r·2^(-(t - t_r)/T)) / V``, or the stated concentration decayed.

        ``at`` is on the scanner's clock. The value is negative where the residual exceeds the draw, and None where a
        time of the fill is not near ``at`` (`is_near`); the fill must lack nothing.
        """
        if not all(self.is_near(moment, at) for moment in fill.moments):
            return None
        if fill.concentration_bqml is not None:
            return fill.concentration_bqml * self._left(fill.at, at)
        net_mbq = (fill.activity_mbq or 0.0) * self._left(fill.assayed_at, at)
        if fill.residual_mbq:
            net_mbq -= fill.residual_mbq * self._left(fill.residual_at, at)
        return net_mbq * 1e6 / (fill.volume_ml or math.inf)

    def since(self, moment: datetime | None, at: datetime | None) -> tuple[float | None, float | None]:
        """Return the seconds from the sheet's ``moment`` to ``at`` and what is left after them; None without both.

        ``at`` is on the scanner's clock; the factor is above 1 where ``at`` lies before ``moment``.
        """
        if moment is None or at is None:
            return None, None
        return (at - self.on_scanner(moment)).total_seconds(), self._left(moment, at)

    def _left(self, since: datetime | None, at: datetime) -> float:
        if since is None:
            return 1.0
        return float(2.0 ** -self._half_lives(since, at))

    def _half_lives(self, since: datetime, at: datetime) -> float:
        return (at - self.on_scanner(since)).total_seconds() / self.half_life_s
