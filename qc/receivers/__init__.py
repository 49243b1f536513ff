"""Doors through which scans arrive; every one of them ends in qc.intake."""
