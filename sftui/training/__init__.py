"""The trainer process: the only room that imports torch. It talks through files in the run directory."""
