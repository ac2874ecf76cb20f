"""Rows on disk or on the Hub, row i in O(1)."""

from sftui.data.sources.opening import open_rows
from sftui.data.sources.rows import Row, Rows

__all__ = ["Row", "Rows", "open_rows"]
