"""`python -m sftui.training.simulation`: a request on stdin, its answer on stdout, one JSON document each.

The request is `{"recipe": {...}, "step": {...}}`, the second optional: fields of `StepSpec` to put in place
of those that follow from the recipe. The answer is `sftui.memory.simulated.document` of the estimate, or
`{"error": text}`; the exit code is 0 either way.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

from sftui.errors import InputError, shorten

_LONGEST = 400  # characters of what a library says


def main() -> int:
    """Answer one request."""
    answer = os.fdopen(os.dup(1), "w")
    # Libraries print to stdout when they are imported: nothing but the answer is to be there.
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        document = _answer(json.load(sys.stdin))
    except InputError as error:
        document = {"error": error.render()}
    except Exception as error:
        said = " ".join(str(error).split())
        document = {"error": f"{type(error).__name__}: {said[:_LONGEST]}"}
    with answer:
        json.dump(document, answer)
    return 0


def _answer(request: Any) -> dict[str, Any]:
    if not isinstance(request, dict) or not isinstance(request.get("recipe"), dict):
        raise InputError(f"found {shorten(request)}, expected a request with a recipe")
    from sftui.memory.config_file import config_file
    from sftui.memory.simulated import document
    from sftui.training.simulation.request import read_recipe, step_for

    recipe = read_recipe(request["recipe"])
    section = recipe.model
    config_file(section.name_or_path, section.revision)  # before seconds of imports
    from sftui.training.simulation.simulate import simulate
    from sftui.training.simulation.skeleton import configuration

    config = configuration(section.name_or_path, section.revision, section.trust_remote_code)
    step = step_for(recipe, config, request.get("step") or {})
    return document(simulate(config, step, recipe))


if __name__ == "__main__":
    sys.exit(main())
