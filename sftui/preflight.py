"""What can be seen to be wrong before a run is made: paths, first rows, tokenizer, model files."""

from __future__ import annotations

from pathlib import Path

from sftui.checks.facts import facts_of
from sftui.checks.finding import raise_error
from sftui.checks.model import require_model
from sftui.data.conversation import Conversation
from sftui.data.formats import read_conversation
from sftui.data.hold_out import held_out_count
from sftui.data.longest import longest_at_hand
from sftui.data.sources import Rows, open_rows
from sftui.data.tokenizer import load_tokenizer
from sftui.devices import look
from sftui.errors import InputError
from sftui.memory.answer import answer
from sftui.memory.known import NOTHING, Known
from sftui.memory.measured import measured_on
from sftui.recipe import BadRows, Recipe, Source
from sftui.recipe_checks import Finding, mended
from sftui.recipe_checks import check as check_recipe


def check(recipe: Recipe, *, steps: int | None = None, known: Known = NOTHING) -> tuple[Finding, ...]:
    """Raise `InputError` for what would end the run in its first seconds anyway; what remains are warnings.

    Reads no more than the first row of each source and the tokenizer; a model on the Hub is not
    downloaded for it, nor is a dataset. `steps` of a run and how long its data is, where that is known from
    looking at all rows; else it is looked for where rows were tokenised before.
    """
    data = recipe.data
    opened = [(source, open_rows(source, wait=False)) for source in (*data.train, *data.eval)]
    conversations = [_first_conversation(source, rows, data.bad_rows) for source, rows in opened]
    if data.eval_fraction and all(rows.complete for _, rows in opened):
        held_out_count(sum(len(rows) for _, rows in opened), data.eval_fraction)
    name = recipe.model.name_or_path
    folder = Path(name)
    if folder.is_absolute():
        require_model(folder)
    findings = _findings(recipe, steps, known)
    raise_error(findings)
    if folder.is_absolute():
        tokenizer = load_tokenizer(name, recipe.model.revision, chat_template=data.chat_template)
        for conversation in filter(None, conversations):
            tokenizer.templates.choose(conversation)
    return tuple(one for one in findings if one.severity == "warning")


def _findings(recipe: Recipe, steps: int | None, known: Known) -> tuple[Finding, ...]:
    """What is wrong with the recipe on this machine as it is now."""
    machine = look(recipe.output_dir)
    facts = facts_of(recipe, machine)
    if facts.shape is None:
        return check_recipe(recipe, machine, steps=steps)
    # What runs took before is told apart by the model's files, which are not fetched for it.
    history = () if facts.device is None or facts.folder is None else measured_on(facts.device.name)
    longest, held_out = known.longest, known.longest_held_out
    if facts.folder is not None:
        longest, held_out = longest or longest_at_hand(recipe), held_out or longest_at_hand(recipe, "eval")
    found = answer(
        recipe, facts.shape, facts.device, longest=longest, longest_held_out=held_out, history=history
    )
    return mended(check_recipe(recipe, machine, answer=found, steps=steps), found)


def _first_conversation(source: Source, rows: Rows, bad_rows: BadRows) -> Conversation | None:
    """The first row; None if it may be left out, or if there is none yet (of a Hub dataset)."""
    if not len(rows):
        return None
    try:
        return read_conversation(rows[0], source, rows.where(0))
    except InputError:
        if bad_rows == "drop":
            return None
        raise
