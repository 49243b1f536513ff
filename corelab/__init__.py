"""The Django project and its core app: people, sites, scanners, trials, audit, storage, jobs, shared pages."""
