"""Whether what the recipe names is there, and there is room for what it writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sftui.checks.facts import Facts
from sftui.checks.finding import Finding, found, refused
from sftui.data.sources.opening import require_source
from sftui.data.sources.paths import nearest_name
from sftui.data.template_files import require_template
from sftui.errors import InputError
from sftui.memory.checkpoint_size import DiskUse, disk_needed
from sftui.words import size


def place_findings(facts: Facts) -> Iterator[Finding]:
    """About files and folders; none is read."""
    data = facts.recipe.data
    for part, sources in (("train", data.train), ("eval", data.eval)):
        for number, source in enumerate(sources):
            key = f"data.{part}.{number}.path"
            try:
                require_source(source)
            except InputError as error:
                near = nearest_name(Path(source.path))
                yield refused("data-missing", key, error, {key: near} if near else None)
    if data.chat_template is not None:
        try:
            require_template(data.chat_template, facts.folder)
        except InputError as error:
            yield refused("template-missing", "data.chat_template", error)
    yield from _output(Path(facts.recipe.output_dir))
    yield from _room(facts)


def _output(folder: Path) -> Iterator[Finding]:
    """Whether a run directory can be made there."""
    try:
        # Not Path.exists: it raises below a folder that this user may not enter.
        existing = next(each for each in (folder, *folder.parents) if os.access(each, os.F_OK))
    except (StopIteration, ValueError):
        return
    if not existing.is_dir():
        reason = "is a file"
    elif not os.access(existing, os.W_OK | os.X_OK):
        reason = "cannot be written to by this user"
    else:
        return
    text = f"no run can be made there: {existing} {reason}"
    yield found("output-not-writable", "output_dir", text, "expected a folder of yours")


def _room(facts: Facts) -> Iterator[Finding]:
    free = facts.machine.runs_free_bytes
    if facts.shape is None or free is None:
        return
    use = disk_needed(facts.recipe, facts.shape)
    disk = f"{size(free)} are free in {facts.recipe.output_dir}"
    if use.result > free:
        what = "adapter" if facts.recipe.adapter is not None else "model"
        text = f"the trained {what} takes {size(use.result)}, {disk}"
        yield found("result-too-large", "output_dir", text, "expected a larger disk")
    elif use.peak > free:
        yield found(
            "checkpoints-too-large",
            "training.save_total_limit",
            f"checkpoints of {size(use.checkpoint)} take up to {size(use.peak)} while one is written, {disk}",
            "expected fewer, or a larger disk: a checkpoint for which there is no room is left out",
            _fewer(facts, use, free),
        )


def _fewer(facts: Facts, use: DiskUse, free: int) -> dict[str, object]:
    """As many checkpoints as there is room for, one being written; none where there is none."""
    limit = min(facts.recipe.training.save_total_limit - 1, free // max(1, use.checkpoint) - 1)
    while limit >= 1:
        fewer = facts.recipe.model_copy(
            update={"training": facts.recipe.training.model_copy(update={"save_total_limit": limit})}
        )
        assert facts.shape is not None
        if disk_needed(fewer, facts.shape).peak <= free:
            return {"training.save_total_limit": limit}
        limit -= 1
    return {"training.save_strategy": "no"}
