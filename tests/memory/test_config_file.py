from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sftui.errors import InputError
from sftui.known_models import known_model
from sftui.memory.closed_form import estimate
from sftui.memory.config_file import Unknown, longest_position, shape_of, shape_of_model
from sftui.memory.notes import notes
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.recipe_file import parse_recipe

LLAMA = {"model_type": "llama", "hidden_size": 512, "num_attention_heads": 8, "num_hidden_layers": 2}


def shape(config: dict[str, Any]) -> ModelShape:
    found = shape_of(config)
    assert isinstance(found, ModelShape)
    return found


def test_a_directory_with_nothing_but_a_config_is_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    found = shape_of_model(str(tmp_path))
    assert isinstance(found, ModelShape)
    assert (found.hidden, len(found.layers), found.head_dim) == (512, 2, 64)


def test_a_directory_without_one_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no config\.json") as caught:
        shape_of_model(str(tmp_path))
    assert caught.value.key == "model.name_or_path"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, an empty Hub cache (its path), and no Hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    longest_position.cache_clear()
    return tmp_path / "hub"


KNOWN = "Qwen/Qwen3-0.6B"


def test_without_a_hub_a_well_known_model_has_the_shape_of_the_table_and_a_note_says_so(
    offline: Path,
) -> None:
    found, known = shape_of_model(KNOWN), known_model(KNOWN)
    assert isinstance(found, ModelShape) and found.from_table and known is not None
    read = shape_of(known.config)
    assert found == read and isinstance(read, ModelShape) and not read.from_table
    assert longest_position(KNOWN) == 40_960
    took = estimate(found, StepSpec(rows=1, length=64))
    recipe = parse_recipe(f"model: {{name_or_path: {KNOWN}}}\ndata: {{train: rows.jsonl}}\n")
    (note,) = notes(recipe, took, found, 64)
    assert "table of well-known models" in note
    assert not notes(recipe, took, read, 64)


@pytest.mark.parametrize(("name", "revision"), [(KNOWN, "abc"), ("owner/other", None)])
def test_the_table_does_not_stand_in_for_a_revision_or_another_model(
    offline: Path, name: str, revision: str | None
) -> None:
    for read in (shape_of_model, longest_position):
        with pytest.raises(InputError, match="cannot be fetched"):
            read(name, revision)


def test_a_config_in_the_cache_or_in_a_directory_wins_over_the_table(offline: Path) -> None:
    folder = offline / f"models--{KNOWN.replace('/', '--')}"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "snapshots" / "abc" / name).write_text("{}")
    (folder / "snapshots" / "abc" / "config.json").write_text(json.dumps(LLAMA))
    found = shape_of_model(KNOWN)
    assert isinstance(found, ModelShape) and (found.hidden, found.from_table) == (512, False)
    Path(KNOWN).mkdir(parents=True)
    with pytest.raises(InputError, match=r"there is no config\.json"):
        shape_of_model(KNOWN)


@pytest.mark.parametrize("content", ["{", "[1]", '"llama"', ""])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError) as caught:
        shape_of_model(str(tmp_path))
    assert caught.value.file == str(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"hidden_size": 500, "num_attention_heads": 8, "head_dim": None}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"hidden_size": 10**15}, "hidden_size"),
        ({"vocab_size": True}, "vocab_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"intermediate_size": 1.5}, "intermediate_size"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"num_key_value_heads": 16}, "num_key_value_heads"),
        ({"head_dim": 63}, "head_dim"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"attention_dropout": 2}, "attention_dropout"),
        ({"model_type": "qwen2", "num_key_value_heads": 8, "layer_types": ["full"]}, "layer_types"),
        ({"model_type": "mixtral", "num_experts_per_tok": 9}, "num_experts_per_tok"),
    ],
)
def test_impossible_sizes_are_refused_by_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as caught:
        shape_of(LLAMA | changes, file="some/config.json")
    assert (caught.value.file, caught.value.key) == ("some/config.json", key)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mamba2"},
        {"model_type": "gemma3", "text_config": {"hidden_size": 512}, "vision_config": {}},
        {"architectures": ["LlamaForCausalLM"]},
        LLAMA | {"quantization_config": {"quant_method": "gptq"}},
        LLAMA | {"hidden_act": "xielu"},
    ],
)
def test_what_the_closed_form_has_no_layers_for_is_left_to_the_simulation(config: dict[str, Any]) -> None:
    found = shape_of(config)
    assert isinstance(found, Unknown)
    assert found.why


def test_a_text_model_inside_another_is_read_where_it_stands() -> None:
    text = {"model_type": "gemma3_text", "hidden_size": 640, "num_hidden_layers": 6}
    assert shape({"model_type": "gemma3", "text_config": text}).hidden == 640
    with pytest.raises(InputError) as caught:
        shape_of({"model_type": "gemma3", "text_config": text | {"num_hidden_layers": 0}})
    assert caught.value.key == "text_config.num_hidden_layers"


def test_heads_of_keys_left_out_and_null_are_what_transformers_makes_of_them() -> None:
    assert shape({"model_type": "mistral"}).kv_heads == 8
    assert shape({"model_type": "mistral", "num_key_value_heads": None}).kv_heads == 32
    assert shape({"model_type": "llama"}).kv_heads == 32


def test_windows_lie_where_the_family_puts_them() -> None:
    gemma = shape({"model_type": "gemma3_text", "num_hidden_layers": 12, "sliding_window": 512})
    assert [kind.window for kind in gemma.layers] == [512] * 5 + [None] + [512] * 5 + [None]
    assert gemma.position_tables == 2
    qwen = {"model_type": "qwen2", "num_hidden_layers": 4, "max_window_layers": 3, "sliding_window": 128}
    assert {kind.window for kind in shape(qwen).layers} == {None}
    slides = shape(qwen | {"use_sliding_window": True})
    assert [kind.window for kind in slides.layers] == [None, None, None, 128]


def test_experts_lie_in_every_nth_layer_but_the_plain_ones() -> None:
    config = {"model_type": "qwen3_moe", "num_hidden_layers": 6, "decoder_sparse_step": 2}
    found = shape(config | {"mlp_only_layers": [3]})
    assert [kind.experts for kind in found.layers] == [False, True, False, False, False, True]
    assert shape(config | {"mlp_only_layers": [1, 3, 5]}).experts is None


@pytest.mark.parametrize("nested", [3, "llama", [1]])
def test_a_text_config_that_is_no_mapping_is_refused(nested: object) -> None:
    with pytest.raises(InputError) as caught:
        shape_of(LLAMA | {"text_config": nested})
    assert caught.value.key == "text_config"


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"model_type": ["llama"]}, "model_type", "expected a text"),
        ({"text_config": {"model_type": 3}}, "text_config.model_type", "expected a text"),
        ({"hidden_act": "swiglu"}, "hidden_act", "'swiglu', which is no activation; did you mean silu"),
        ({"model_type": "olmo2", "hidden_act": "swiglu"}, "hidden_act", "'swiglu', which is no activation"),
    ],
    ids=str,
)
def test_what_transformers_does_not_know_is_told_by_its_key(
    change: dict[str, Any], key: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        shape_of(LLAMA | change, file="m/config.json")
    assert (caught.value.file, caught.value.key) == ("m/config.json", key)


@pytest.mark.parametrize(("family", "refused"), [("llama", True), ("gemma2", True), ("qwen2", False)])
def test_heads_that_do_not_part_the_hidden_size_are_refused_where_transformers_does(
    family: str, refused: bool
) -> None:
    config = {"model_type": family, "hidden_size": 768, "num_attention_heads": 14, "num_key_value_heads": 2}
    if not refused:
        assert shape(config | {"head_dim": 64}).head_dim == 64
        return
    with pytest.raises(InputError, match="multiple of num_attention_heads") as caught:
        shape_of(config | {"head_dim": 64})
    assert caught.value.key == "hidden_size"


def test_a_base_model_has_the_sizes_of_the_chat_model_that_was_made_of_it() -> None:
    for name, chat in (
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"),
        ("Qwen/Qwen3-0.6B-Base", "Qwen/Qwen3-0.6B"),
    ):
        base, other = known_model(name), known_model(chat)
        assert base is not None and other is not None and base.name == name and not base.offered
        assert (base.shape, base.gated) == (other.shape, other.gated)
    assert known_model("meta-llama/Llama-3.1-8B-Base") is None
