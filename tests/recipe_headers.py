"""What the heads of the ready recipes are to say of memory and time; run by hand, it writes them anew.

python -m tests.recipe_headers
"""

from __future__ import annotations

import re
from pathlib import Path

from sftui.known_models import known_model
from sftui.memory.answer import Answer, answer
from sftui.memory.gpus import device_of, find_gpu
from sftui.memory.work import seconds, work
from sftui.recipe_file import load_recipe, ready_recipes
from sftui.recipes_text import ReadyRecipe, list_ready
from sftui.words import size


def gpu_of(one: ReadyRecipe) -> str | None:
    """The GPU that a ready recipe is made for; None for the CPU."""
    name = one.gpu.partition(" (")[0]
    return None if name == "none" else name


def answer_of(one: ReadyRecipe) -> Answer:
    """The memory of a ready recipe on its GPU, as on a machine that has trained nothing yet."""
    recipe = load_recipe(Path(one.path))
    model, gpu = known_model(recipe.model.name_or_path), gpu_of(one)
    assert model is not None, f"{one.name}: its model is not in sftui.known_models"
    return answer(recipe, model.shape, None if gpu is None else device_of(gpu))


def memory_of(one: ReadyRecipe) -> str:
    """What its head is to say."""
    found = answer_of(one)
    if found.device is None:
        return f"{size(found.ram_bytes)} of RAM"
    usual, most = size(found.band.typical), size(found.band.high)
    return usual if usual == most else f"{usual}, at most {most}"


def minutes_of(one: ReadyRecipe) -> tuple[float, float]:
    """How long a million tokens take at best and at worst, in bins of four sequences each."""
    found, gpu = answer_of(one), find_gpu(gpu_of(one) or "")
    assert found.shape is not None and found.step is not None
    mean = found.step.length // 4 if found.recipe.data.packing != "none" else None
    fast, slow = seconds(work(found.shape, found.step, mean), gpu.flops, gpu.bandwidth)
    scale = 1e6 / (found.step.tokens * found.step.accumulation) / 60
    return fast * scale, slow * scale


def _write(one: ReadyRecipe) -> None:
    file = ready_recipes() / f"{one.name}.yaml"
    text = re.sub(r"(?m)^(# Memory: +).*", rf"\g<1>{memory_of(one)}", file.read_text())
    if gpu_of(one) is not None:
        fast, slow = minutes_of(one)
        said = f"{fast:.0f} to {slow:.0f} minutes a million tokens"
        text = re.sub(r"(?m)^(# Time: +).*", rf"\g<1>{said}", text)
    file.write_text(text)


if __name__ == "__main__":
    for each in list_ready():
        _write(each)
