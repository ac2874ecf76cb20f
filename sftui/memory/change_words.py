"""What a change of a recipe costs, in words: the same for command and screen."""

from __future__ import annotations

from sftui.memory.changes import Change

_BITS = {"nf4": "4 bits", "fp4": "4 bits", "int8": "8 bits", "fp8": "8 bits"}
_LEARNED = {
    "adapter": "an adapter is trained instead of all weights",
    "rank": "a smaller adapter is trained",
    "targets": "an adapter of fewer modules is trained",
    "modules_to_save": "modules are no longer trained whole",
    "dora": "an adapter without DoRA is trained",
    "dropout": "the adapter is trained without dropout",
    "dtype": "weights are trained in bfloat16",
}


def time_words(slower: float) -> str:
    """How much longer the same tokens take; `slower` as in `Change`."""
    percent = round(100 * (slower - 1))
    if percent == 0:
        return "takes no longer"
    return f"takes about {abs(percent)}% {'longer' if percent > 0 else 'less time'}"


def result_words(change: Change) -> str:
    """What becomes of the trained model."""
    match change.result:
        case "same":
            return "the same is learned"
        case "data":
            return "other tokens are trained on"
        case "learned":
            return _LEARNED[change.lever]
    recipe = change.recipe
    match change.lever:
        case "quantization":
            return f"weights are rounded to {_BITS[recipe.model.quantization]}"
        case "double_quant":
            return "the scales of the weights are rounded to 8 bits"
        case "dtype":
            return f"weights are kept in {recipe.model.dtype}"
    if recipe.training.optim.endswith("8bit"):
        return "optimizer states are rounded to 8 bits"
    return "the optimizer's sums are rounded otherwise"
