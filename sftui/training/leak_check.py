"""The leak test by itself: `python -m sftui.training.leak_check`.

Reads a recipe as JSON from stdin, loads its model and a few of its rows, and prints one JSON document:
the fields of a `leak_test` event, and `error` where it could not be done. Messages go to stderr. Ends with
0 where sequences stay apart, 1 where they do not or the test failed, 2 where the recipe cannot be used.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import Any

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_file import parse_recipe

ROWS = 16  # of each source


def main() -> int:
    """The exit code; prints the document."""
    # Libraries print to stdout as they please.
    document = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.WARNING)
    with document:
        result, code = _outcome(sys.stdin.read())
        json.dump({"type": "leak_test", **result}, document)
        document.write("\n")
    return code


def few_rows(recipe: Recipe) -> Recipe:
    """The recipe on the first rows alone; none is refused or held out for the sake of the test."""
    values = recipe.model_dump()
    data = values["data"]
    for source in data["train"]:
        source.update(limit=min(source["limit"] or ROWS, ROWS), weight=1.0)
    data.update(eval=[], eval_fraction=0.0, bad_rows="drop", overlength="truncate")
    return Recipe.model_validate(values)


def _outcome(text: str) -> tuple[dict[str, Any], int]:
    """The fields of the document, and the exit code."""
    recipe = None
    try:
        recipe = parse_recipe(text)  # JSON is YAML
        tested = _test(recipe)
    except InputError as error:
        return {"passed": None, "error": str(error)}, 2
    except Exception as error:
        from sftui.training.failure import explain

        traceback.print_exc()
        return {"passed": None, "error": explain(error, recipe, "testing packed sequences").cause}, 1
    return tested, 0 if tested["passed"] else 1


def _test(recipe: Recipe) -> dict[str, Any]:
    """The test on this machine; what takes no model is found out before torch is imported."""
    from sftui.data.dataset import encode_dataset
    from sftui.data.tokenizer import load_tokenizer

    if recipe.data.packing == "none":
        raise InputError(
            "found none: nothing is packed", key="data.packing", hint="expected next_fit, best_fit or wrapped"
        )
    section = recipe.model
    tokenizer = load_tokenizer(
        section.name_or_path, section.revision, chat_template=recipe.data.chat_template
    )
    data = encode_dataset(few_rows(recipe).data, tokenizer, seed=recipe.training.seed)

    from sftui.training.attention import choose_attention
    from sftui.training.leak_test import leak_test
    from sftui.training.model import check_device, device, load_model

    where = device()
    check_device(recipe, where)
    model = load_model(recipe, where)
    attention = choose_attention(recipe, model, where)
    return leak_test(model, recipe, attention, data.train, tokenizer.pad_token_id).as_event()


if __name__ == "__main__":
    sys.exit(main())
