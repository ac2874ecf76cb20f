"""Sequences into bins: lengths in, bins out. Nothing here looks at tokens."""
