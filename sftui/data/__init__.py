"""Rows on disk become token ids and a loss mask; no torch, no transformers."""
