"""Pages of the quality-control app, one module a noun."""
