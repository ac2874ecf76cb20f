"""The values of a config.json, checked as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.errors import InputError, shorten

# Larger than anything that exists, small enough that no product of two overflows a file or a screen.
LARGEST = 2**31


class Values:
    """Typed reading of a mapping; what cannot be is an InputError with file and key."""

    def __init__(self, values: Mapping[str, Any], file: str, within: str = "") -> None:
        self._values, self._file, self._within = values, file, within

    def error(self, key: str, problem: str) -> InputError:
        """What is wrong with the value of `key`."""
        return InputError(problem, file=self._file, key=f"{self._within}.{key}" if self._within else key)

    def has(self, key: str) -> bool:
        """Whether `key` is there and not null."""
        return self._values.get(key) is not None

    def null(self, key: str) -> bool:
        """Whether `key` is there and null."""
        return key in self._values and self._values[key] is None

    def size(self, key: str, default: int, *, least: int = 1, most: int = LARGEST) -> int:
        """A whole number from `least` to `most`; `default` where the key is missing or null."""
        found = self._values.get(key)
        if found is None:
            return default
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int):
            raise self.error(key, f"found {shorten(found)}, expected a whole number")
        if not least <= found <= most:
            raise self.error(key, f"found {found:,}, expected {least:,} to {most:,}")
        return found

    def number(self, key: str, default: float | None) -> float | None:
        """A number of 0 or more; None where it is null, `default` where the key is missing."""
        found = self._values.get(key, default)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < LARGEST:
            raise self.error(key, f"found {shorten(found)}, expected a number of 0 or more")
        return float(found)

    def share(self, key: str, default: float = 0.0) -> float:
        """A number from 0 to 1."""
        found = self.number(key, default)
        if found is not None and found > 1:
            raise self.error(key, f"found {found:g}, expected 0 to 1")
        return found or 0.0

    def flag(self, key: str, default: bool) -> bool:
        """True or false; `default` where the key is missing or null."""
        found = self._values.get(key)
        if found is None:
            return default
        if not isinstance(found, bool):
            raise self.error(key, f"found {shorten(found)}, expected true or false")
        return found

    def text(self, key: str, default: str) -> str:
        """A text; `default` where the key is missing or null."""
        found = self._values.get(key)
        if found is None:
            return default
        if not isinstance(found, str):
            raise self.error(key, f"found {shorten(found)}, expected a text")
        return found

    def texts(self, key: str, length: int) -> list[str] | None:
        """As many texts as layers; None where the key is missing or null."""
        found = self._values.get(key)
        if found is None:
            return None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self.error(key, f"found {shorten(found)}, expected a list of texts")
        if len(found) != length:
            raise self.error(key, f"found {len(found):,} layers, expected {length:,} (num_hidden_layers)")
        return found

    def sizes(self, key: str) -> list[int] | None:
        """A list of whole numbers; None where the key is missing or null."""
        found = self._values.get(key)
        if found is None:
            return None
        if not isinstance(found, list) or not all(isinstance(one, int) for one in found):
            raise self.error(key, f"found {shorten(found)}, expected a list of whole numbers")
        return found

    def rope(self, key: str, default: float) -> float:
        """A setting of `rope_parameters`, or of the configuration itself in older files."""
        found = self._values.get("rope_parameters")
        if isinstance(found, Mapping) and key in found:
            return Values(found, self._file, "rope_parameters").share(key, default)
        return self.share(key, default) if self.has(key) else default
