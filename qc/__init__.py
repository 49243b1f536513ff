"""A scan's life: sending, checking, analysis, review, report."""
