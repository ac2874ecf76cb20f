"""Memory as characters: a stacked bar of components on a device, and its scale. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

if TYPE_CHECKING:
    from sftui.memory.band import Band
    from sftui.memory.device import Device

# How each component is told: a letter where it begins, a glyph, and a colour, of which few differ in 16.
LETTERS: dict[str, str] = {
    "weights": "W",
    "adapter": "A",
    "gradients": "G",
    "optimizer": "O",
    "activations": "X",
    "logits": "L",
    "dequantization": "D",
    "workspace": "K",
    "context": "C",
}
GLYPHS: dict[str, str] = {
    "weights": "█",
    "adapter": "▓",
    "gradients": "▒",
    "optimizer": "▓",
    "activations": "█",
    "logits": "▓",
    "dequantization": "▒",
    "workspace": "░",
    "context": "▒",
    "others": "╱",
    "low": "▒",
    "typical": "▒",
    "high": "░",
    "free": "·",
}
COLOURS: dict[str, str] = {
    "weights": "$primary",
    "adapter": "$accent",
    "gradients": "$secondary",
    "optimizer": "$foreground 75%",
    "activations": "$secondary",
    "logits": "$accent",
    "dequantization": "$primary",
    "workspace": "$foreground 60%",
    "context": "$foreground 60%",
    "others": "$foreground 45%",
    "low": "$foreground 55%",
    "typical": "$foreground 55%",
    "high": "$foreground 45%",
    "free": "$foreground 25%",
    "end": "bold $foreground",
    "over": "$error",
}
END = "┃"
"""Stands where a device ends that is too small."""
LETTER = ":letter"
"""Ends the name of a style in which a letter stands, reversed."""

Cells = list[tuple[str, str]]
"""(text, name of a style) in order."""


def stack(parts: Mapping[str, int], extent: int, width: int, offset: int = 0) -> Cells:
    """Components one after the other, from `offset` bytes on, where `width` cells stand for `extent` bytes.

    One that has a cell begins with its letter; none has more or less than its share, rounded, and what is
    rounded away of one is not given to the next.
    """
    cells: Cells = []
    begin, at = offset, _cell(offset, extent, width)
    for name, size in parts.items():
        begin += size
        end = min(_cell(begin, extent, width), width)
        if end > at:
            cells.append((LETTERS[name], name + LETTER))
            if end > at + 1:
                cells.append((GLYPHS[name] * (end - at - 1), name))
            at = end
    return cells


def bar(parts: Mapping[str, int], band: Band | None, device: Device | None, extent: int, width: int) -> Cells:
    """What others hold, the components, the band of what comes on top, if any, and what is free.

    `width` cells stand for `extent` bytes. What lies beyond the device's end is told as `over`.
    """
    others = 0 if device is None else device.used_bytes
    at = min(_cell(others, extent, width), width)
    cells: Cells = [(GLYPHS["others"] * at, "others")] if at else []
    cells += stack(parts, extent, width, others)
    at = sum(len(text) for text, _ in cells)
    allocated = sum(parts.values())
    edges = () if band is None else (("low", band.low), ("typical", band.typical), ("high", band.high))
    for name, size in edges:
        end = min(_cell(others + max(size, allocated), extent, width), width)
        if end > at:
            cells.append((GLYPHS[name] * (end - at), name))
            at = end
    if at < width:
        cells.append((GLYPHS["free"] * (width - at), "free"))
    if device is None or extent <= device.total_bytes:
        return cells
    return _beyond(cells, min(max(_cell(device.total_bytes, extent, width), 1), width - 1))


def without_letters(cells: Cells) -> Cells:
    """The same bar once more, below the one that names its parts."""
    plain: Cells = []
    for text, name in cells:
        own = name.removesuffix(LETTER)
        letter = name.endswith(LETTER)
        plain.append((GLYPHS.get(own, GLYPHS["weights"]) if letter else text, own))
    return plain


def _beyond(cells: Cells, end: int) -> Cells:
    """A sign in the device's last cell, and what follows in the colour of what is too much."""
    found: Cells = []
    at = 0
    for text, name in cells:
        inside = text[: max(0, end - 1 - at)]
        if inside:
            found.append((inside, name))
        begins = max(0, end - 1 - at)
        outside = text[begins:]
        if at <= end - 1 < at + len(text):
            found.append((END, "end"))
            outside = outside[1:]
        if outside:
            found.append((outside, "over" + LETTER if name.endswith(LETTER) else "over"))
        at += len(text)
    return found


def extent_of(band: Band, device: Device | None) -> int:
    """The bytes that the whole bar stands for."""
    return band.high if device is None else max(device.total_bytes, device.used_bytes + band.high)


def scale(extent: int, width: int, unit: int) -> str:
    """Numbers below a bar, in units of `unit` bytes; each stands at its place."""
    step = _step(extent / unit * 10 / max(width, 1))
    line = [" "] * width
    number = 0.0
    while number * unit <= extent:
        label = f"{number:g}"
        at = min(_cell(round(number * unit), extent, width), width - len(label))
        if not at or (line[at - 1] == " " and at + len(label) <= width):
            line[at : at + len(label)] = label
        number = round(number + step, 6)
    return "".join(line)


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, .. that is no less, for numbers below 1 too."""
    power = 1e-3
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10


def content(cells: Sequence[tuple[str, str]]) -> Content:
    """Cells in their colours."""
    return Content.assemble(*((text, style_of(name)) for text, name in cells))


def style_of(name: str) -> str:
    """The style of a name in `Cells`."""
    colour = COLOURS[name.removesuffix(LETTER)]
    return f"reverse {colour}" if name.endswith(LETTER) else colour


def _cell(size: int, extent: int, width: int) -> int:
    return round(size / extent * width) if extent else 0
