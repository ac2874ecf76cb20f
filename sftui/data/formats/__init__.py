"""How rows are written: every format is brought to one Conversation."""

from sftui.data.formats.reading import read_conversation, recognise

__all__ = ["read_conversation", "recognise"]
