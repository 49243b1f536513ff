"""SUV and phantom image analysis on arrays: no Django, no database, no clock, no settings."""
