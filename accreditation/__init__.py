"""The workflow a site lives in."""
