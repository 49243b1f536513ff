"""What other programs' makers or users published of the IBSI-SUV digital reference objects, version 1.

Minimum, median and maximum in the mask, g/mL, as published; None where the program gave no value. Only the objects
that lie in the shared reference data are here. Source: github.com/oncoray/suv_computation, folder ``submissions``,
CC BY 4.0.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What an object is made to try, in the order of the set.
TRIED = {
    "DRO_0_0": "plain",
    "DRO_1_0": "a slope for each slice",
    "DRO_2_0": "already SUVbw",
    "DRO_2_1": "SUV of lean body mass",
    "DRO_2_3": "SUV of body surface",
    "DRO_2_4": "Philips' counts",
    "DRO_3_0": "activity in MBq",
    "DRO_3_1": "corrected to the injection",
    "DRO_3_3": "GE's private time",
    "DRO_4_0": "injection as DT only",
    "DRO_4_1": "injection as TM only",
    "DRO_5_0": "Ga-68",
}
Triple = tuple[float, float, float] | None


@dataclass(frozen=True)
class Published:
    """One program's published results; ``claimed`` is how many of all 17 objects it has right by its own account."""

    program: str
    claimed: int
    found: dict[str, Triple]


PROGRAMS = (
    Published(  # Aliza/2.7.4/DRO_Aliza.csv
        "Aliza 2.7.4",
        10,
        {
            "DRO_0_0": (0.2, 1.000001, 4.000005),
            "DRO_1_0": (0.2, 1.000001, 4.000005),
            "DRO_2_0": (0.2, 1.0, 4.0),
            "DRO_2_1": (0.161, 0.807, 3.229),
            "DRO_2_3": None,
            "DRO_2_4": None,
            "DRO_3_0": (200000.249972, 1000001.249858, 4000004.999434),
            "DRO_3_1": None,
            "DRO_3_3": (0.2, 1.000001, 4.000005),
            "DRO_4_0": (0.2, 1.000001, 4.000005),
            "DRO_4_1": (0.2, 1.000001, 4.000005),
            "DRO_5_0": (0.199792, 1.000016, 4.000066),
        },
    ),
    Published(  # Slicer-PETIndiC/DRO_Slicer_PETIndiC.csv
        "3D Slicer 5.11, PET-IndiC",
        5,
        {
            "DRO_0_0": (0.2, 1.0, 4.0),
            "DRO_1_0": (0.2, 1.0, 4.0),
            "DRO_2_0": (5.55556e-08, 2.77778e-07, 1.11111e-06),
            "DRO_2_1": (4.47223e-08, 2.24167e-07, 8.96945e-07),
            "DRO_2_3": (1.38889e-08, 7.22223e-08, 2.91667e-07),
            "DRO_2_4": (0.000111111, 0.000555556, 0.00222222),
            "DRO_3_0": (200000.0, 1e06, 4e06),
            "DRO_3_1": (1051.0, 5258.0, 21033.0),
            "DRO_3_3": (0.2, 1.0, 4.0),
            "DRO_4_0": (720.0, 3600.0, 14400.0),
            "DRO_4_1": (0.2, 1.0, 4.0),
            "DRO_5_0": (0.199792, 1.00002, 4.00007),
        },
    ),
)
