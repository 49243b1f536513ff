"""Digital scans with known answers, for the demonstration, tests and benchmarks; no measurement uses them.

A scan is an object of known activity convolved with an isotropic Gaussian, in closed form where there is one (sphere,
disc, slab), and read at the voxel centres: every voxel is a point sample of the blurred object unless
``samples_per_voxel`` asks for the mean of several. Noise is Gaussian, correlated over the same width, and its SD goes
with the square root of the signal. Headers and activity sheet agree with the drawn concentrations at the decay
reference time, so each number of an analysis has its true value in ``DigitalScan.truth``.
"""

from phantoms.digital.acquisition import Acquisition, AcquisitionOptions
from phantoms.digital.blurred import SIGMA_PER_FWHM
from phantoms.digital.cylinders import uniform_cylinder
from phantoms.digital.faults import ScannerFaults, SphereFaults
from phantoms.digital.iec_body import LUNG_INSERT_DIAMETER_MM, SPHERE_DIAMETERS_MM, SPHERE_RING_RADIUS_MM
from phantoms.digital.recovery import RecoverySpread, expected_recovery, recovery_spread
from phantoms.digital.scan import DigitalScan, write_dicom
from phantoms.digital.spheres import nema_iq
from phantoms.digital.torso import patient_like
from phantoms.digital.written import SCANNED_AT

__all__ = [
    "LUNG_INSERT_DIAMETER_MM",
    "SCANNED_AT",
    "SIGMA_PER_FWHM",
    "SPHERE_DIAMETERS_MM",
    "SPHERE_RING_RADIUS_MM",
    "Acquisition",
    "AcquisitionOptions",
    "DigitalScan",
    "RecoverySpread",
    "ScannerFaults",
    "SphereFaults",
    "expected_recovery",
    "nema_iq",
    "patient_like",
    "recovery_spread",
    "uniform_cylinder",
    "write_dicom",
]
