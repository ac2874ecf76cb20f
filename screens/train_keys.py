"""The keys of the Train screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from textual.binding import BindingType

from .keys import key

BINDINGS: list[BindingType] = [
    key(
        "train.enter",
        "enter",
        "enter",
        "start or mark",
        "start the open recipe; or mark a zoom edge",
        show=True,
    ),
    key("train.stop", "X", "stop", "stop", "let the run finish its step, save and end", show=True),
    key("train.resume", "r", "resume", "resume", "go on after the last checkpoint", show=True),
    key("train.save", "w", "request('save')", "save now", "write a checkpoint after this step", show=True),
    key("train.evaluate", "e", "request('evaluate')", "evaluate", "evaluate now, after this step", show=True),
    key(
        "train.sample",
        "a",
        "request('sample')",
        "answer now",
        "let the model answer the held-out questions after this step",
    ),
    key("train.log-scale", "l", "log_scale", "log scale", "logarithmic or linear scale"),
    key("train.smoothing", "s", "smoothing", "smoothing", "next smoothing: 0 to 0.99"),
    key("train.graph", "g", "graph", "graph", "next graph: loss, rate, gradient norm, speed", show=True),
    key("train.zoom", "z", "zoom", "zoom", "choose a range of steps: arrows, Enter twice"),
    key("train.left", "left,h", "move(-1)", "left", "move the zoom cursor"),
    key("train.right", "right", "move(1)", "right", "move the zoom cursor"),
    key("train.far-left", "shift+left", "move(-10)", "left", "ten columns left"),
    key("train.far-right", "shift+right", "move(10)", "right", "ten columns right"),
    key("train.back", "escape", "back", "back", "leave zoom, then back to all runs"),
    key("train.freeze", "space", "freeze", "freeze", "hold the screen still, or let it go on"),
    key("train.view", "v", "view", "view", "below: log, answers, warnings", show=True),
    key("train.memory", "m", "memory", "memory", "its memory: predicted and measured", show=True),
    key("train.down", "down,j", "scroll(1)", "down", "scroll the text below"),
    key("train.up", "up,k", "scroll(-1)", "up", "scroll the text below"),
    key("train.copy", "y", "copy", "copy path", "copy the path of the run"),
]
