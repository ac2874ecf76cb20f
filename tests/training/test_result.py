"""What is saved beside the weights: the tokenizer as it was used in training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer

from sftui.data.template_files import OURS
from sftui.data.tokenizer import load_tokenizer
from sftui.training.tokenizer_files import standalone, write_tokenizer
from tests.data_fixtures import assistant, conversation, model_directory, user

from .conftest import MakeRecipe, train_here

OTHER = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + ': ' + message.content + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant: ' }}{% endif %}\n{# ü #}"
)


def with_templates(folder: Path, tiny_model: Path, where: str) -> Path:
    """A copy of the tiny model that keeps its own template in one of the places where templates are kept."""
    shutil.copytree(tiny_model, folder)
    text = (folder / "chat_template.jinja").read_text()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if where != "file":
        (folder / "chat_template.jinja").unlink()
    if where == "config":
        config["chat_template"] = text
    elif where == "list":
        config["chat_template"] = [
            {"name": "default", "template": text},
            {"name": "tool_use", "template": text},
        ]
    elif where == "json":
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": text}))
    elif where == "named":
        (folder / "chat_template.jinja").write_text(text)
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(text)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


PLACES = ["file", "config", "list", "json", "named", "none"]


@pytest.mark.parametrize("where", PLACES)
def test_another_template_is_the_only_one_in_the_result_wherever_the_model_had_its_own(
    tiny_model: Path, tmp_path: Path, where: str
) -> None:
    base, result = with_templates(tmp_path / "base", tiny_model, where), tmp_path / "result"
    result.mkdir()
    write_tokenizer(base, result, OTHER)
    assert AutoTokenizer.from_pretrained(result).chat_template == OTHER
    # Some tools read the configuration alone.
    config = json.loads((result / "tokenizer_config.json").read_text())
    assert config.get("chat_template", OTHER) == OTHER
    assert not (result / "chat_template.json").exists()


@pytest.mark.parametrize("where", PLACES)
def test_the_files_of_a_model_whose_own_template_is_used_are_copied_unchanged(
    tiny_model: Path, tmp_path: Path, where: str
) -> None:
    base, result = with_templates(tmp_path / "base", tiny_model, where), tmp_path / "result"
    result.mkdir()
    write_tokenizer(base, result, None)
    copied = {file.relative_to(result) for file in result.rglob("*") if file.is_file()}
    expected = {file.relative_to(base) for file in base.rglob("*") if file.is_file()}
    assert copied == expected - {Path(name) for name in ("config.json", "generation_config.json")} - {
        Path("model.safetensors")
    }
    assert all((result / name).read_bytes() == (base / name).read_bytes() for name in copied)
    expected_template = AutoTokenizer.from_pretrained(base).chat_template
    assert AutoTokenizer.from_pretrained(result).chat_template == expected_template


@pytest.mark.parametrize("begins_text", [True, False])
@pytest.mark.parametrize("name", OURS)
def test_transformers_renders_a_template_of_ours_as_it_was_trained(
    tmp_path: Path, name: str, begins_text: bool
) -> None:
    """Also for a model that has a bos_token and begins no text with it."""
    base, result = model_directory(tmp_path / "base"), tmp_path / "result"
    if not begins_text:
        backend = Tokenizer.from_file(str(base / "tokenizer.json"))
        backend.post_processor = processors.ByteLevel(trim_offsets=True)
        backend.save(str(base / "tokenizer.json"))
    tokenizer = load_tokenizer(str(base), chat_template=name)
    chosen = tokenizer.templates.chosen_template
    assert chosen is not None
    result.mkdir()
    write_tokenizer(base, result, standalone(chosen, tokenizer.special_tokens))
    talk = conversation(user("stone"), assistant("river"), user("light"), assistant("cloud"))
    rendered = AutoTokenizer.from_pretrained(result).apply_chat_template(list(talk.messages), tokenize=False)
    assert rendered == tokenizer.trained_text(talk, "assistant").text
    assert "river" in rendered


@pytest.mark.parametrize("adapter", ["adapter.r=4", "adapter=null"])
def test_a_result_carries_the_template_that_the_recipe_named(
    make_recipe: MakeRecipe, tmp_path: Path, adapter: str
) -> None:
    file = tmp_path / "other.jinja"
    file.write_text(OTHER)
    run = train_here(make_recipe(f"data.chat_template={file}", "training.max_steps=1", adapter))
    result = run.adapter if run.adapter.exists() else run.model
    tokenizer = AutoTokenizer.from_pretrained(result)
    assert tokenizer.chat_template == OTHER
    talk = [{"role": "user", "content": "stone"}]
    assert tokenizer.apply_chat_template(talk, tokenize=False).startswith("<|im_start|>user: stone")
    card = (result / "README.md").read_text()
    assert "the chat template other.jinja" in card
    assert str(tmp_path) not in card


def test_a_result_of_the_models_own_template_says_so(make_recipe: MakeRecipe, tiny_model: Path) -> None:
    run = train_here(make_recipe("training.max_steps=1"))
    own = (tiny_model / "chat_template.jinja").read_bytes()
    assert (run.adapter / "chat_template.jinja").read_bytes() == own
    assert "the model's own chat template" in (run.adapter / "README.md").read_text()
