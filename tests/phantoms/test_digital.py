"""Digital scans against geometry, the published recovery table, and their own headers and sheets."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pydicom
import pytest
from scipy import integrate, ndimage

from phantoms import digital
from phantoms.digital import blurred
from phantoms.sheet import Sheet

# Noise-free recovery at 10:1 without a wall (A50 and maximum): domain knowledge, not computed by this project.
RECOVERY_A50 = {
    4: (0.911, 0.886, 0.859, 0.824, 0.780, 0.719),
    5: (0.891, 0.861, 0.829, 0.788, 0.731, 0.635),
    5.5: (0.882, 0.849, 0.815, 0.771, 0.702, 0.588),
    6: (0.872, 0.838, 0.801, 0.752, 0.670, 0.541),
    7: (0.854, 0.815, 0.774, 0.711, 0.599, 0.453),
    7.5: (0.845, 0.804, 0.760, 0.687, 0.563, 0.414),
    8: (0.836, 0.794, 0.745, 0.662, 0.527, 0.379),
    9: (0.819, 0.772, 0.713, 0.608, 0.459, 0.321),
    10: (0.803, 0.749, 0.676, 0.552, 0.400, 0.276),
}
RECOVERY_MAX = {
    5: (1.00, 1.00, 1.00, 0.999, 0.978, 0.878),
    7: (1.00, 1.00, 0.997, 0.962, 0.830, 0.623),
    8: (1.00, 0.999, 0.987, 0.910, 0.730, 0.515),
}
SMALL = {"shape_zyx": (60, 90, 90), "spacing_zyx_mm": (4.0, 4.0, 4.0)}


def moment(text: str) -> datetime:
    """Read a DICOM DT without zone, as ``YYYYMMDDHHMMSS``."""
    return datetime(*(int(text[i:j]) for i, j in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))))


@pytest.mark.parametrize("fwhm_mm", RECOVERY_A50)
def test_expected_recovery_when_noise_free_then_equals_the_table(fwhm_mm):
    a50 = [digital.expected_recovery(fwhm_mm, diameter)[0] for diameter in digital.SPHERE_DIAMETERS_MM]
    np.testing.assert_allclose(a50, RECOVERY_A50[fwhm_mm], atol=0.001)


@pytest.mark.parametrize("fwhm_mm", RECOVERY_MAX)
def test_expected_recovery_when_noise_free_then_the_maximum_equals_the_table(fwhm_mm):
    maximum = [digital.expected_recovery(fwhm_mm, diameter)[1] for diameter in digital.SPHERE_DIAMETERS_MM]
    np.testing.assert_allclose(maximum, RECOVERY_MAX[fwhm_mm], atol=0.005)


@pytest.mark.parametrize("diameter", [10, 17])
def test_recovery_spread_when_noise_free_at_one_millimetre_then_is_the_expected_recovery(diameter):
    a50, maximum = digital.expected_recovery(8.0, diameter)
    spread = digital.recovery_spread(8.0, 0, diameter, spacing_zyx_mm=(1.0, 1.0, 1.0), draws=6)
    assert spread.a50_mean == pytest.approx(a50, abs=0.01)
    assert spread.max_mean == pytest.approx(maximum, abs=0.01)


def test_recovery_spread_when_noise_doubles_then_so_does_the_spread_of_a_large_sphere():
    # Without noise a 28 mm sphere's place between voxels hardly matters, so the spread is the noise's alone.
    quiet, noisy = (digital.recovery_spread(8.0, cov, 28, draws=60) for cov in (0.05, 0.10))
    assert noisy.max_sd / quiet.max_sd == pytest.approx(2.0, rel=4 / np.sqrt(60))
    assert noisy.max_mean > quiet.max_mean > digital.expected_recovery(8.0, 28)[1]


@pytest.mark.parametrize("make", [digital.uniform_cylinder, digital.nema_iq])
def test_sheet_when_checked_against_the_scan_then_nothing_looks_wrong(make):
    scan = make(**SMALL)
    assert Sheet.parse(scan.sheet).check(scan.truth["reference_time"]) == ()


def test_sheet_when_the_source_is_sealed_then_is_read_as_sealed_and_nothing_looks_wrong():
    scan = digital.uniform_cylinder(nuclide="Ge-68", assayed_days_ago=200, concentration_bqml=6200.0, cov=0, **SMALL)
    sheet = Sheet.parse(scan.sheet, header_nuclide="Ge-68")
    assert sheet.check(scan.truth["reference_time"]) == ()
    assert sheet.fill("cylinder").is_sealed
    assert sheet.concentration_bqml("cylinder", scan.truth["reference_time"])[0] == pytest.approx(6200.0, rel=1e-6)


def test_blurred_disc_when_integrated_by_brute_force_then_agrees():
    sigma, radius = 3.4, 20.0
    profile = blurred.blurred_disc(radius, sigma)
    for distance in (0.0, 8.0, 17.0, 20.0, 23.5, 30.0):

        def row(y, distance=distance):
            half = np.sqrt(radius**2 - y**2)
            inside = blurred.blurred_slab(np.array(distance), -half, half, sigma)
            return float(inside) * np.exp(-(y**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))

        slow = integrate.quad(row, -radius, radius, limit=200)[0]
        assert float(profile(np.array(distance))) == pytest.approx(slow, abs=5e-5)


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (3.0, -2.0)])
def test_uniform_cylinder_when_noise_free_then_holds_its_activity(tilt):
    scan = digital.uniform_cylinder(cov=0, tilt_x_deg=tilt[0], tilt_y_deg=tilt[1], **SMALL)
    activity = scan.volume.image.sum(dtype=float) * 64 / 1000
    assert activity == pytest.approx(7500 * np.pi * 100**2 * 200 / 1000, rel=1e-4)


def test_nema_iq_when_noise_free_then_holds_its_activity():
    scan = digital.nema_iq(cov=0, **SMALL)
    spheres = sum(np.pi / 6 * d**3 for d in digital.SPHERE_DIAMETERS_MM)
    body = np.pi / 2 * 147**2 + np.pi / 2 * 77**2 + 140 * 77
    truth = 2000 * 190 * (body - np.pi * 25.5**2) + (20000 - 2000) * spheres
    assert scan.volume.image.sum(dtype=float) * 64 == pytest.approx(truth, rel=2e-4)


def test_nema_iq_when_turned_then_the_spheres_lie_where_the_truth_says():
    scan = digital.nema_iq(
        4.0, 0, tilt_x_deg=4, tilt_y_deg=-3, roll_deg=20, shift_mm=(12, -9, 15), is_clockwise=False, **SMALL
    )
    for diameter, position in scan.truth["spheres"].items():
        z, y, x = np.rint(scan.volume.to_index_zyx(np.array(position))).astype(int)
        box = (slice(z - 3, z + 4), slice(y - 3, y + 4), slice(x - 3, x + 4))
        hot = np.clip(scan.volume.image[box].astype(float) - 2500, 0, None)
        found = np.add(ndimage.center_of_mass(hot), (z - 3, y - 3, x - 3))
        assert np.abs(scan.volume.to_lps_mm(found) - position).max() < 2.0, diameter


def test_nema_iq_when_sampled_then_a_voxel_at_a_centre_reads_the_analytic_maximum():
    # One voxel centre lies exactly on the 37 mm sphere's: ring radius = 57.2 mm along x, plane at +27 mm.
    scan = digital.nema_iq(8.0, 0, shape_zyx=(91, 41, 101), spacing_zyx_mm=(3.0, 5.2, 5.2))
    z, y, x = np.rint(scan.volume.to_index_zyx(np.array(scan.truth["spheres"][37]))).astype(int)
    assert scan.volume.image[z, y, x] == pytest.approx(20000 * digital.expected_recovery(8.0, 37)[1], rel=1e-5)


def test_samples_per_voxel_when_several_then_a_voxel_is_their_mean():
    fine = digital.uniform_cylinder(
        cov=0, radius_mm=40, length_mm=50, shape_zyx=(60, 60, 60), spacing_zyx_mm=(2.0, 2.0, 2.0)
    ).volume.image
    coarse = digital.uniform_cylinder(
        cov=0, radius_mm=40, length_mm=50, shape_zyx=(30, 30, 30), spacing_zyx_mm=(4.0, 4.0, 4.0), samples_per_voxel=2
    ).volume.image
    blocks = fine.reshape(30, 2, 30, 2, 30, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(coarse, blocks, rtol=1e-5, atol=0.01)


def test_noise_when_asked_for_a_cov_then_has_that_cov_and_width():
    scan = digital.uniform_cylinder(cov=0.08, fwhm_mm=8.0, seed=3)
    inside = scan.volume.image[30:80, 65:103, 65:103].astype(float) / 7500 - 1
    # Voxels correlate over about 4/3 pi^1.5 sigma^3 = 1650 mm^3, so this box holds about 900 independent ones.
    assert inside.std() == pytest.approx(0.08, rel=4 / np.sqrt(2 * 900))
    # White noise of width sigma correlates as exp(-d^2 / 4 sigma^2).
    sigma = 8.0 * digital.SIGMA_PER_FWHM
    neighbours = (inside[:, :, 1:] * inside[:, :, :-1]).mean() / inside.var()
    assert neighbours == pytest.approx(np.exp(-(3.2**2) / (4 * sigma**2)), abs=0.02)


def test_noise_when_the_signal_is_tenfold_then_grows_with_its_square_root():
    quiet, noisy = digital.nema_iq(8.0, 0), digital.nema_iq(8.0, 0.07, seed=2)
    noise = (noisy.volume.image - quiet.volume.image).astype(float)
    signal = quiet.volume.image
    hot, warm = signal > 15000, np.abs(signal - 2000) < 10
    ratio = (noise[hot].std() / np.sqrt(signal[hot].mean())) / (noise[warm].std() / np.sqrt(2000))
    assert ratio == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("make", [digital.uniform_cylinder, digital.nema_iq, digital.patient_like])
def test_scan_when_the_seed_is_the_same_then_is_the_same(make):
    first, again, other = make(seed=5), make(seed=5), make(seed=6)
    assert np.array_equal(first.volume.image, again.volume.image)
    assert not np.array_equal(first.volume.image, other.volume.image)


@pytest.mark.parametrize("nuclide", ["F-18", "Ga-68", "Zr-89"])
def test_sheet_when_decayed_by_hand_then_gives_the_drawn_concentration(nuclide):
    scan = digital.uniform_cylinder(nuclide=nuclide, concentration_bqml=6200.0, cov=0, **SMALL)
    fill = scan.sheet["fills"][0]
    half_life = scan.attributes["RadiopharmaceuticalInformationSequence"][0]["RadionuclideHalfLife"]

    def at_scan(mbq, when):
        waited = (scan.truth["reference_time"] - datetime.fromisoformat(when)).total_seconds()
        return mbq * 1e6 * 0.5 ** (waited / half_life)

    net = at_scan(fill["activity_mbq"], fill["assayed_at"]) - at_scan(fill["residual_mbq"], fill["residual_at"])
    assert net / fill["volume_ml"] == pytest.approx(6200.0, rel=1e-6)


def test_header_when_the_suv_is_worked_out_by_hand_then_a_true_cylinder_reads_one():
    scan = digital.uniform_cylinder(cov=0, **SMALL)
    dose = scan.attributes["RadiopharmaceuticalInformationSequence"][0]
    injected = moment(dose["RadiopharmaceuticalStartDateTime"])
    started = moment(scan.attributes["SeriesDate"] + scan.attributes["SeriesTime"])
    decay = 0.5 ** ((started - injected).total_seconds() / dose["RadionuclideHalfLife"])
    suv = 7500 * scan.attributes["PatientWeight"] * 1000 / (dose["RadionuclideTotalDose"] * decay)
    assert suv == pytest.approx(1.0, rel=1e-5)


def test_header_when_several_beds_then_acquisition_and_frame_reference_move_together():
    scan = digital.patient_like()
    assert len(scan.slice_attributes) == scan.volume.image.shape[0] == scan.attributes["NumberOfSlices"]
    times = {(row["AcquisitionTime"], row["FrameReferenceTime"]) for row in scan.slice_attributes}
    assert len(times) == 4
    first = min(times)
    assert first[0] == scan.attributes["SeriesTime"]
    for clock, reference_ms in times:
        waited = moment("20260302" + clock) - moment("20260302" + first[0])
        assert reference_ms - first[1] == pytest.approx(waited.total_seconds() * 1000, abs=1)


def test_patient_when_no_weight_is_given_then_the_header_has_none():
    assert "PatientWeight" not in digital.patient_like().attributes
    assert digital.patient_like(weight_kg=82).attributes["PatientWeight"] == 82


def test_patient_when_weight_and_truth_agree_then_the_liver_has_its_suv():
    scan = digital.patient_like(weight_kg=75.0, cov=0)
    z, y, x = np.rint(scan.volume.to_index_zyx(np.array(scan.truth["liver_center_lps_mm"]))).astype(int)
    assert scan.volume.image[z, y, x] * scan.truth["factor_g_per_bq"] == pytest.approx(2.2, rel=1e-3)


def test_cylinder_when_tilted_then_the_truth_names_its_axis_and_tilt():
    truth = digital.uniform_cylinder(tilt_x_deg=3.0, tilt_y_deg=4.0, cov=0, **SMALL).truth
    assert truth["tilt_deg"] == pytest.approx(np.degrees(np.arccos(np.cos(np.radians(3)) * np.cos(np.radians(4)))))
    assert np.linalg.norm(truth["axis"]) == pytest.approx(1.0)


def test_write_dicom_when_read_back_then_holds_the_image_and_the_header(tmp_path):
    scan = digital.patient_like(shape_zyx=(12, 24, 20), spacing_zyx_mm=(40.0, 20.0, 20.0))
    paths = digital.write_dicom(scan, tmp_path / "a", seed=3)
    assert len(paths) == 12
    for k, path in enumerate(paths):
        read = pydicom.dcmread(path)
        plane = read.pixel_array * float(read.RescaleSlope)
        np.testing.assert_allclose(plane, scan.volume.image[k], atol=0.51 * float(read.RescaleSlope))
        assert read.AcquisitionTime == scan.slice_attributes[k]["AcquisitionTime"]
        assert read.ImagePositionPatient[2] == pytest.approx(-220 + 40 * k)
    assert read.Units == "BQML"
    assert "PatientWeight" not in read
    again = digital.write_dicom(scan, tmp_path / "b", seed=3)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    other = pydicom.dcmread(digital.write_dicom(scan, tmp_path / "c", seed=4)[0])
    assert other.SeriesInstanceUID != read.SeriesInstanceUID
