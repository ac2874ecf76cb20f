"""What the trainer and its simulation take as a model, and what they say of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from sftui.errors import InputError
from sftui.memory.step import AdapterSpec, StepSpec
from sftui.recipe import AdapterSection
from sftui.training.model import attach_adapter, load_model, require_causal
from sftui.training.simulation.simulate import simulate

from .conftest import MakeRecipe

CPU = torch.device("cpu")
NF4 = ("model.dtype=bfloat16", "model.quantization=nf4", "model.double_quant=true")
QLORA = StepSpec(rows=1, length=64, adapter=AdapterSpec(r=4), quantization="nf4", autocast="bfloat16")


@pytest.fixture
def stored(make_recipe: MakeRecipe, tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model, stored in 4 bits."""
    folder = tmp_path / "stored"
    transformers.AutoModelForCausalLM.from_pretrained(
        tiny_model,
        dtype=torch.bfloat16,
        quantization_config=transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
    ).save_pretrained(folder)
    return folder


def test_a_checkpoint_stored_in_four_bits_is_trained_as_it_is(make_recipe: MakeRecipe, stored: Path) -> None:
    model: Any = load_model(make_recipe(*NF4, f"model.name_or_path={stored}"), CPU)
    whole: Any = load_model(make_recipe(*NF4), CPU)
    packed = dict(model.named_parameters())
    assert packed.keys() == dict(whole.named_parameters()).keys()
    for name, parameter in whole.named_parameters():
        assert packed[name].dtype == parameter.dtype and packed[name].shape == parameter.shape
        assert packed[name].requires_grad == parameter.requires_grad
    ids = torch.arange(3, 19)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert all(each.grad is not None for each in model.parameters() if each.requires_grad)


@pytest.mark.parametrize(
    "overrides", [("model.quantization=none",), ("model.quantization=nf4", "model.double_quant=false")]
)
def test_a_recipe_that_says_otherwise_is_refused_before_weights_are_read(
    make_recipe: MakeRecipe, stored: Path, overrides: tuple[str, ...]
) -> None:
    recipe = make_recipe("model.dtype=bfloat16", *overrides, f"model.name_or_path={stored}")
    (stored / "model.safetensors").unlink()
    with pytest.raises(InputError, match="stored quantised") as caught:
        load_model(recipe, CPU)
    assert caught.value.key == "model.quantization"


def test_a_trained_copy_that_cannot_multiply_what_the_model_hands_it_is_refused(
    make_recipe: MakeRecipe,
) -> None:
    mixed = ("model.dtype=float32", "model.quantization=none", "adapter.dtype=bfloat16")
    with pytest.raises(InputError, match="lm_head, trained in full") as caught:
        load_model(make_recipe(*mixed, "adapter.modules_to_save=[lm_head]"), CPU)
    assert caught.value.key == "adapter.dtype"
    ids = torch.arange(3, 19)[None]
    # The embedding's output goes through norms, whose float32 weights make float32 of it.
    model: Any = load_model(make_recipe(*mixed, "adapter.modules_to_save=[embed_tokens]"), CPU)
    model(input_ids=ids, labels=ids).loss.backward()
    model.get_base_model().lm_head.to(torch.bfloat16)  # what was refused
    with pytest.raises(RuntimeError, match="dtype"):
        model(input_ids=ids, labels=ids)


def llama(**settings: Any) -> Any:
    return transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=99,
        **settings,
    )


def test_the_simulation_takes_what_is_stored_as_what_is_quantised() -> None:
    settings = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_quant_storage": "bfloat16",
    }
    plain = simulate(llama(), QLORA)
    assert simulate(llama(quantization_config=settings), QLORA) == plain
    left_out = settings | {"llm_int8_skip_modules": ["lm_head", "down_proj"]}
    skipping = simulate(llama(quantization_config=left_out), QLORA)
    assert skipping.components["weights"] > plain.components["weights"]
    with pytest.raises(InputError, match="stored quantised"):
        simulate(llama(quantization_config=settings), replace(QLORA, quantization="none"))
    with pytest.raises(InputError, match="gptq"):
        simulate(llama(quantization_config={"quant_method": "gptq", "bits": 4}), QLORA)


@pytest.mark.parametrize("kind", ["bert", "roberta", "t5", "bart", "modernbert", "vit"])
def test_a_model_that_does_not_continue_text_is_one_sentence(kind: str) -> None:
    with pytest.raises(InputError) as caught:
        require_causal(transformers.CONFIG_MAPPING[kind]())
    assert kind in caught.value.problem and "\n" not in caught.value.problem
    assert caught.value.key == "model.name_or_path"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "mamba", "gemma3_text", "qwen3_moe", "opt"])
def test_models_that_continue_text_are_taken(kind: str) -> None:
    require_causal(transformers.CONFIG_MAPPING[kind]())


def mamba() -> Any:
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(
            transformers.MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=50)
        )


def test_what_peft_refuses_is_said_in_its_words_with_the_names_of_real_modules() -> None:
    with pytest.raises(InputError) as caught:
        attach_adapter(mamba(), AdapterSection())
    assert "out_proj' is incompatible with Mamba" in caught.value.problem
    assert "matches no module" not in caught.value.problem
    hint = caught.value.hint or ""
    assert hint == "this model has: conv1d, dt_proj, embeddings, in_proj, lm_head, out_proj, x_proj"


def test_a_name_that_matches_nothing_says_so() -> None:
    with pytest.raises(InputError, match="matches no module") as caught:
        attach_adapter(mamba(), AdapterSection(target_modules=["nope"]))
    assert caught.value.key == "adapter.target_modules" and "in_proj" in (caught.value.hint or "")
