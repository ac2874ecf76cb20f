"""The README of a result: what it is, what it was made from, how to load it."""

from __future__ import annotations

from pathlib import Path

from sftui import __version__
from sftui.recipe import Recipe


def model_card(recipe: Recipe, step: int, eval_loss: float | None, *, own_template: bool) -> str:
    """Markdown in the Hub's form; a local base model is named without its path.

    `own_template` tells whether the model comes with a chat template: plain texts are trained without.
    """
    base = recipe.model.name_or_path
    local = Path(base).is_absolute()
    name = recipe.model.short_name if local else base
    front = ["---", f"library_name: {'peft' if recipe.adapter else 'transformers'}"]
    front += [] if local else [f"base_model: {base}"]
    front += ["tags: [sft, lora]" if recipe.adapter else "tags: [sft]", "---"]
    data = ", ".join(Path(source.path).name for source in recipe.data.train)
    held_out = "" if eval_loss is None else f" Loss on the held-out rows: {eval_loss:.4f} nats a token."
    if recipe.adapter:
        held = (
            ""
            if recipe.model.quantization == "none"
            else f", held in {recipe.model.quantization} in training"
        )
        kind = f"A LoRA adapter (r {recipe.adapter.r}) for {name}{held}."
        load = [
            "base = AutoModelForCausalLM.from_pretrained(BASE)",
            "model = PeftModel.from_pretrained(base, THIS_FOLDER)",
        ]
    else:
        kind = f"{name}, all weights trained."
        load = ["model = AutoModelForCausalLM.from_pretrained(THIS_FOLDER)"]
    text = [
        *front,
        "",
        kind,
        "",
        f"Trained on {data} for {step:,} steps with sftui {__version__}.{held_out}",
        *_template(recipe.data.chat_template, own_template),
        "The run's `recipe.yaml` repeats it.",
        "",
        "```python",
        *load,
        "```",
    ]
    return "\n".join(text) + "\n"


def _template(name: str | None, own_template: bool) -> list[str]:
    """Which chat template the conversations were rendered with; of a file its name, not its path."""
    if name is None:
        return ["Conversations are rendered with the model's own chat template."] if own_template else []
    return [
        f"Conversations are rendered with the chat template {Path(name).name}, "
        "here as `chat_template.jinja`, instead of the model's own."
    ]
