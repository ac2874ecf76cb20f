"""Runs: the run directory, and how a run is launched, watched and stopped."""

# Where the commands look for runs, in the current directory.
FOLDER = "runs"
