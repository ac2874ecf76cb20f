"""The keys of the Train screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from textual.binding import Binding, BindingType

BINDINGS: list[BindingType] = [
    Binding(
        "enter",
        "enter",
        "start or mark",
        key_display="Enter",
        tooltip="start the open recipe; or mark a zoom edge",
        id="train.enter",
    ),
    Binding("X", "stop", "stop", tooltip="let the run finish its step, save and end", id="train.stop"),
    Binding("r", "resume", "resume", tooltip="go on after the last checkpoint", id="train.resume"),
    Binding(
        "w", "request('save')", "save now", tooltip="write a checkpoint after this step", id="train.save"
    ),
    Binding(
        "e", "request('evaluate')", "evaluate", tooltip="evaluate now, after this step", id="train.evaluate"
    ),
    Binding(
        "a",
        "request('sample')",
        "answer now",
        show=False,
        tooltip="let the model answer the held-out questions after this step",
        id="train.sample",
    ),
    Binding(
        "l", "log_scale", "log scale", show=False, tooltip="logarithmic or linear scale", id="train.log-scale"
    ),
    Binding(
        "s", "smoothing", "smoothing", show=False, tooltip="next smoothing: 0 to 0.99", id="train.smoothing"
    ),
    Binding("g", "graph", "graph", tooltip="next graph: loss, rate, gradient norm, speed", id="train.graph"),
    Binding(
        "z",
        "zoom",
        "zoom",
        show=False,
        tooltip="choose a range of steps: arrows, Enter twice",
        id="train.zoom",
    ),
    Binding("left,h", "move(-1)", "left", show=False, tooltip="move the zoom cursor", id="train.left"),
    Binding("right", "move(1)", "right", show=False, tooltip="move the zoom cursor", id="train.right"),
    Binding("shift+left", "move(-10)", "left", show=False, tooltip="ten columns left", id="train.far-left"),
    Binding(
        "shift+right", "move(10)", "right", show=False, tooltip="ten columns right", id="train.far-right"
    ),
    Binding(
        "escape", "back", "back", show=False, tooltip="leave zoom, then back to all runs", id="train.back"
    ),
    Binding(
        "space",
        "freeze",
        "freeze",
        show=False,
        tooltip="hold the screen still, or let it go on",
        id="train.freeze",
    ),
    Binding("v", "view", "view", tooltip="below: log, answers, warnings", id="train.view"),
    Binding("m", "memory", "memory", tooltip="its memory: predicted and measured", id="train.memory"),
    Binding("down,j", "scroll(1)", "down", show=False, tooltip="scroll the text below", id="train.down"),
    Binding("up,k", "scroll(-1)", "up", show=False, tooltip="scroll the text below", id="train.up"),
    Binding("y", "copy", "copy path", show=False, tooltip="copy the path of the run", id="train.copy"),
]
