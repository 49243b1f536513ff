"""For the commands on files alone: no database, pages, broker or secret, so nothing of them is loaded."""

INSTALLED_APPS = ["qc.apps.OfflineConfig"]
USE_I18N = False
