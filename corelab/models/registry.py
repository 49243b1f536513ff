"""What the lab keeps a register of: sites, scanners, reconstructions, trials, dose calibrators."""

from __future__ import annotations

import zoneinfo

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone


def validate_time_zone(name: str) -> None:
    """Refuse what the time-zone database does not know."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError("Choose a time zone such as Europe/London.")


class Site(models.Model):
    """A hospital or imaging centre; its clock is the one its people write down."""

    code = models.SlugField("short code", max_length=32, unique=True)
    name = models.CharField(max_length=120)
    city = models.CharField(max_length=120, blank=True)
    country = models.CharField(max_length=80, blank=True)
    time_zone = models.CharField(max_length=64, default="Europe/London", validators=[validate_time_zone])
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The site's time zone."""
        return zoneinfo.ZoneInfo(self.time_zone)


class Scanner(models.Model):
    """One PET scanner, told apart by maker and serial number."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="scanners")
    manufacturer = models.CharField(max_length=64)
    model = models.CharField(max_length=64)
    serial = models.CharField("serial number", max_length=64)
    software = models.CharField("software version", max_length=64, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["site__name", "model", "serial"]
        constraints = [models.UniqueConstraint(fields=["manufacturer", "serial"], name="scanner_serial_once_per_maker")]

    def __str__(self) -> str:
        return f"{self.model} · {self.serial}"


class ReconstructionProfile(models.Model):
    """One way a scanner reconstructs: accreditation is given for this, not for the scanner alone."""

    scanner = models.ForeignKey(Scanner, on_delete=models.PROTECT, related_name="reconstructions")
    name = models.CharField(max_length=80)
    method = models.CharField("reconstruction method (0054,1103)", max_length=80, blank=True)
    kernel = models.CharField("convolution kernel (0018,1210)", max_length=64, blank=True)
    filter_fwhm_mm = models.DecimalField("post-filter FWHM, mm", max_digits=4, decimal_places=1, null=True, blank=True)
    matrix = models.PositiveSmallIntegerField("matrix, columns", null=True, blank=True)
    pixel_mm = models.DecimalField("pixel, mm", max_digits=6, decimal_places=4, null=True, blank=True)
    slice_mm = models.DecimalField("distance of slices, mm", max_digits=6, decimal_places=4, null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["scanner", "name"]
        constraints = [models.UniqueConstraint(fields=["scanner", "name"], name="reconstruction_name_once_per_scanner")]

    def __str__(self) -> str:
        return self.name


class Trial(models.Model):
    """A multi-centre trial and the sites that take part in it."""

    code = models.SlugField("short code", max_length=32, unique=True)
    title = models.CharField(max_length=200)
    sites = models.ManyToManyField(Site, related_name="trials", blank=True)
    ends_on = models.DateField("last day of scanning, where it is known", null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class DoseCalibrator(models.Model):
    """The radionuclide calibrator on which a site measures what it injects and fills."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="calibrators")
    manufacturer = models.CharField(max_length=64)
    model = models.CharField(max_length=64)
    serial = models.CharField("serial number", max_length=64)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["site__name", "model", "serial"]
        constraints = [
            models.UniqueConstraint(fields=["site", "manufacturer", "serial"], name="calibrator_serial_once_per_site")
        ]

    def __str__(self) -> str:
        return f"{self.model} · {self.serial}"
