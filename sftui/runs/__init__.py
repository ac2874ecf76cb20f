"""Runs: the run directory, and how a run is launched, watched and stopped."""
