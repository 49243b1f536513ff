"""Bytes that the lab keeps, known by their digest."""

from __future__ import annotations

from django.db import models


class StoredObject(models.Model):
    """One sequence of bytes, kept once under its SHA-256 and never overwritten."""

    sha256 = models.CharField(max_length=64, unique=True)
    size_bytes = models.BigIntegerField()
    stored_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.sha256[:16]
