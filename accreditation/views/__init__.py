"""Pages of the accreditation app, one module a noun."""
