from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from sftui.errors import InputError

from .conftest import MakeRecipe, events_of, losses_of, train_here, weights_of

CHECKPOINTING = "training.gradient_checkpointing=true"


@pytest.mark.parametrize("quantization", ["none", "nf4", "fp4", "int8", "fp8"])
@pytest.mark.parametrize("checkpointing", ["true", "false"])
def test_every_adapter_weight_learns_after_an_evaluation(
    make_recipe: MakeRecipe, rows: Path, quantization: str, checkpointing: str
) -> None:
    """An evaluation comes first on purpose: no kernel without backward may stay behind."""
    run = train_here(
        make_recipe(
            f"model.quantization={quantization}",
            f"training.gradient_checkpointing={checkpointing}",
            f"data.eval=[{{path: {rows}, limit: 2}}]",
            "training.max_steps=3",
            "training.warmup_steps=0",
        )
    )
    assert events_of(run, "warning") == []
    assert all(map(math.isfinite, losses_of(run)))
    untrained = [
        name for name, value in weights_of(run.adapter).items() if "lora_B" in name and not value.any()
    ]
    assert untrained == []


def test_checkpointing_changes_memory_and_not_the_numbers(make_recipe: MakeRecipe) -> None:
    plain, recomputed = train_here(make_recipe()), train_here(make_recipe(CHECKPOINTING))
    assert losses_of(plain) == pytest.approx(losses_of(recomputed), abs=1e-6)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.dtype=bfloat16"],
        ["model.dtype=bfloat16", "adapter.dtype=bfloat16"],
        ["model.dtype=bfloat16", "adapter=null", "training.learning_rate=1e-3"],
        ["adapter=null", "training.learning_rate=1e-3"],
        ["adapter.use_dora=true"],
        ["adapter.use_rslora=true"],
        ["adapter.modules_to_save=[lm_head]"],
        ["adapter.target_modules=[q_proj, v_proj]"],
        ["adapter.target_modules='.*layers\\.0\\..*proj'"],
        ["training.max_grad_norm=0"],
        ["model.attn_implementation=eager"],
        ["training.optim=adamw_torch"],
        ["training.optim=adafactor"],
        ["training.optim=adamw_bnb_8bit", "adapter.r=64"],  # 8-bit states begin at 4,096 weights
        ["training.optim=paged_adamw_32bit"],
        ["training.optim=paged_adamw_8bit", "adapter.r=64"],
        ["training.optim=lion_32bit", "training.learning_rate=1e-3"],
        ["training.optim=lion_8bit", "training.learning_rate=1e-3", "adapter.r=64"],
        ["training.optim=sgd", "training.learning_rate=1"],
        ["training.lr_scheduler_type=linear", "training.warmup_steps=2"],
        ["data.train_on=everything"],
    ],
    ids=" ".join,
)
def test_every_method_lowers_the_loss_of_what_it_trains_on(
    make_recipe: MakeRecipe, overrides: list[str]
) -> None:
    run = train_here(make_recipe("training.max_steps=16", *overrides))
    losses = losses_of(run)
    assert sum(losses[-4:]) < sum(losses[:4])
    assert all(math.isfinite(event["grad_norm"]) for event in events_of(run, "step"))


def test_the_adapter_has_the_dtype_of_the_recipe_and_no_other_weight_is_cast(make_recipe: MakeRecipe) -> None:
    from sftui.training.model import load_model

    model = load_model(make_recipe("model.dtype=bfloat16", "model.quantization=nf4"), torch.device("cpu"))
    trained = {p.dtype for p in model.parameters() if p.requires_grad}
    floating = {p.dtype for p in model.parameters() if not p.requires_grad and p.is_floating_point()}
    assert trained == {torch.float32}
    assert floating == {torch.bfloat16}


def test_a_run_trains_only_what_its_recipe_names(make_recipe: MakeRecipe) -> None:
    run = train_here(make_recipe("adapter.target_modules=[q_proj]", "training.max_steps=1"))
    names = weights_of(run.adapter)
    assert names and all("q_proj" in name for name in names)


def test_float16_on_the_cpu_is_refused_with_what_to_write_instead(make_recipe: MakeRecipe) -> None:
    with pytest.raises(InputError, match="needs a GPU") as error:
        train_here(make_recipe("model.dtype=float16"))
    assert error.value.key == "model.dtype"


def test_target_modules_that_match_nothing_are_refused_with_the_modules_there_are(
    make_recipe: MakeRecipe,
) -> None:
    with pytest.raises(InputError) as error:
        train_here(make_recipe("adapter.target_modules=[query_key_value]"))
    assert error.value.key == "adapter.target_modules"
    assert "q_proj" in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_plain_peft_loads_the_adapter_and_gives_the_evaluation_loss_that_the_run_reported(
    make_recipe: MakeRecipe, rows: Path, tiny_model: Path, quantization: str
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from sftui.data.dataset import encode_dataset
    from sftui.data.sequences import labels
    from sftui.data.tokenizer import load_tokenizer

    recipe = make_recipe(f"model.quantization={quantization}", f"data.eval=[{{path: {rows}, limit: 5}}]")
    run = train_here(recipe)
    reported = events_of(run, "eval")[-1]
    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    base = AutoModelForCausalLM.from_pretrained(
        tiny_model, quantization_config=quantised if quantization == "nf4" else None
    )
    model = PeftModel.from_pretrained(base, run.adapter)
    model.train()  # no dropout here; in evaluation mode some CPUs compute 4-bit layers in bfloat16
    data = encode_dataset(recipe.data, load_tokenizer(str(tiny_model)), seed=recipe.training.seed)
    total = 0.0
    for sequence in data.eval:
        targets = torch.tensor([labels(sequence)])
        count = int((targets[:, 1:] != -100).sum())
        with torch.no_grad():
            total += model(torch.tensor([list(sequence.input_ids)]), labels=targets).loss.item() * count
    assert total / reported["tokens"] == pytest.approx(reported["loss"], rel=1e-4)
