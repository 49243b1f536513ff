"""What production refuses to start with."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = {
    "SECRET_KEY": "k" * 60,
    "ALLOWED_HOSTS": "petlab.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://petlab.example.org",
    "PUBLIC_URL": "https://petlab.example.org/",
    "DATABASE_URL": "postgresql://lab:secret@db/lab",
    "REDIS_URL": "redis://queue:6379/0",
}


def start(monkeypatch, **changed: str) -> dict[str, object]:
    for name, value in (COMPLETE | changed).items():
        monkeypatch.setenv(name, value)
    return runpy.run_module("corelab.settings.production")


def test_production_when_all_is_set_then_it_starts_and_certificates_name_its_public_address(monkeypatch):
    assert start(monkeypatch)["PUBLIC_URL"] == "https://petlab.example.org"


@pytest.mark.parametrize("missing", sorted(COMPLETE))
def test_production_when_one_is_not_set_then_it_says_which_and_does_not_start(monkeypatch, missing):
    with pytest.raises(ImproperlyConfigured, match=f"Set {missing} in the environment"):
        start(monkeypatch, **{missing: ""})


@pytest.mark.parametrize(
    "wrong",
    [
        "http://petlab.example.org",
        "petlab.example.org",
        "https://",
        "https://petlab.example.org/lab",
        "https://petlab.example.org?x=1",
        "https://name@petlab.example.org",
    ],
)
def test_production_when_the_public_address_would_be_wrong_on_a_certificate_then_it_does_not_start(monkeypatch, wrong):
    with pytest.raises(ImproperlyConfigured, match="stands on every certificate"):
        start(monkeypatch, PUBLIC_URL=wrong)


def test_check_when_the_public_address_is_not_set_then_deployment_is_refused_in_words():
    environment = {name: value for name, value in (os.environ | COMPLETE).items() if name != "PUBLIC_URL"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=ROOT,
        env=environment | {"DJANGO_SETTINGS_MODULE": "corelab.settings.production"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Set PUBLIC_URL in the environment" in done.stdout + done.stderr
