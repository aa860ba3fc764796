"""Programs of the course's own: each module has one job and runs as ``python -m tools.NAME``."""
