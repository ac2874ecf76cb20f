"""Rows with a text that is trained as it stands, without a chat template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.data.conversation import Conversation
from sftui.data.formats.values import checked_text


def read(row: Mapping[str, Any], where: str) -> Conversation:
    """A row with the column `text`."""
    return Conversation((), where, text=checked_text(row["text"], "text", where), format="text")
