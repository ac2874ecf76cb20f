"""The closed form against the simulation: `python tests/benchmarks/memory_forms.py [COUNT] [SEED]`.

Random recipes for random small models. Prints the median and the worst error of the peak by family, by
method and by what else decides, that of the moments in parts of the peak, and the worst recipes. Both give
bytes of the same step: the form from the shape alone, the simulation by running the model on the meta device.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
import warnings
from collections import defaultdict
from dataclasses import replace
from typing import Any

from sftui.errors import InputError
from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.estimate import Estimate
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec, step_of
from sftui.recipe import Recipe

FAMILIES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "phi",
    "phi3",
    "smollm3",
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
)
OPTIMIZERS = (
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_bnb_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "lion_32bit",
    "lion_8bit",
    "adafactor",
    "sgd",
)
TARGETS: tuple[str | list[str], ...] = (
    "all-linear",
    ["q_proj", "v_proj"],
    ["q_proj", "k_proj", "v_proj", "o_proj"],
    r".*self_attn.*proj",
)
FUSED_TARGETS: tuple[str | list[str], ...] = ("all-linear", ["qkv_proj"], ["o_proj", "down_proj"])
PHI_TARGETS: tuple[str | list[str], ...] = ("all-linear", ["q_proj", "v_proj"], ["fc1", "fc2"])


def random_config(family: str, rng: random.Random) -> dict[str, Any]:
    """A config.json of this family, small to middling."""
    head_dim = rng.choice((64, 128))
    kv_heads = rng.choice((1, 2, 4))
    heads = kv_heads * rng.choice((1, 2, 4))
    hidden = heads * head_dim if family.startswith("phi") else rng.choice((512, 768, 1024, 2048))
    if family in ("qwen2", "smollm3", "qwen2_moe"):
        hidden = heads * head_dim
    values: dict[str, Any] = {
        "model_type": family,
        "hidden_size": hidden,
        "intermediate_size": rng.choice((2, 3, 4)) * hidden,
        "num_hidden_layers": rng.randint(2, 12),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": rng.choice((1000, 8000, 32000, 65536, 262144)),
        "tie_word_embeddings": rng.random() < 0.4,
        "pad_token_id": 0,
    }
    if family not in ("phi", "phi3", "qwen2", "smollm3", "qwen2_moe"):
        values["head_dim"] = head_dim
    if family == "phi3" and rng.random() < 0.5:
        values["partial_rotary_factor"] = 0.75
    if family in ("mistral", "gemma2", "gemma3_text"):
        values["sliding_window"] = rng.choice((256, 4096))
    if family in ("qwen2_moe", "qwen3_moe"):
        values |= {
            "moe_intermediate_size": rng.choice((256, 512)),
            "num_experts": rng.choice((4, 8)),
            "num_experts_per_tok": rng.choice((1, 2)),
            "norm_topk_prob": rng.random() < 0.5,
        }
        if family == "qwen2_moe":
            values["shared_expert_intermediate_size"] = rng.choice((256, 1024))
    if family == "mixtral":
        values |= {"num_local_experts": rng.choice((4, 8)), "num_experts_per_tok": 2}
    if family == "llama" and rng.random() < 0.3:
        values |= {"attention_bias": True, "mlp_bias": rng.random() < 0.5}
    return values


def random_recipe(shape: ModelShape, rng: random.Random) -> tuple[str, Recipe]:
    """(method, recipe) that the trainer could be asked for with this model."""
    method = rng.choice(("full", "lora", "lora", "qlora", "qlora"))
    moe = shape.experts is not None
    # Grouped products have no other type on the meta device.
    dtype = "bfloat16" if moe else rng.choice(("bfloat16", "bfloat16", "bfloat16", "float16", "float32"))
    targets = FUSED_TARGETS if shape.fused_qkv else PHI_TARGETS if shape.parallel else TARGETS
    saved = rng.choice(([], [], [], ["lm_head"], ["embed_tokens", "lm_head"]))
    adapter: dict[str, Any] = {
        "r": rng.choice((4, 8, 16, 64)),
        "lora_dropout": 0.0 if moe else rng.choice((0.0, 0.0, 0.1)),
        "dtype": rng.choice(("float32", "float32", "bfloat16")),
        "target_modules": rng.choice(targets),
        "use_dora": not moe and rng.random() < 0.2,
        "modules_to_save": [] if shape.tied else saved,
    }
    if dtype == "float32" and adapter["dtype"] == "bfloat16":
        adapter["modules_to_save"] = []  # the trainer refuses them
    stored = rng.choice(("nf4", "nf4", "fp4", "int8", "fp8"))
    return method, Recipe.model_validate(
        {
            "model": {
                "name_or_path": "model",
                "quantization": stored if method == "qlora" else "none",
                "double_quant": rng.random() < 0.7,
                "dtype": dtype,
                "attn_implementation": rng.choice(("auto", "auto", "auto", "sdpa", "eager")),
            },
            "adapter": None if method == "full" else adapter,
            "data": {
                "train": [{"path": "rows.jsonl", "weight": rng.choice((1, 1, 1, 2))}],
                "max_length": rng.choice((128, 256, 500, 1000, 1024, 2048, 4096)),
                "packing": rng.choice(("none", "best_fit", "best_fit", "wrapped")),
                "eval_fraction": 0.1 if rng.random() < 0.5 else 0,
            },
            "training": {
                "per_device_train_batch_size": rng.choice((1, 1, 2, 4)),
                "per_device_eval_batch_size": rng.choice((1, 2, 8)),
                "gradient_accumulation_steps": rng.choice((1, 4)),
                "gradient_checkpointing": rng.random() < 0.7,
                "gradient_checkpointing_every": rng.choice((1, 1, 2, 3)),
                "loss": rng.choice(("chunked", "chunked", "stock")),
                "optim": rng.choice(OPTIMIZERS),
                "num_processes": rng.choice((1, 1, 1, 2)),
            },
        }
    )


def random_step(recipe: Recipe, shape: ModelShape, rng: random.Random) -> StepSpec:
    """The recipe's step on a device and data that may be known, with chunks of the loss of any length."""
    length = rng.choice((None, None, 300, 777))
    held_out = rng.choice((None, None, 1500))
    capability = rng.choice((None, (8, 6), (9, 0)))
    step = step_of(recipe, shape, length=length, evaluation_length=held_out, capability=capability)
    return replace(step, loss_chunk=rng.choice((step.loss_chunk, step.loss_chunk, 100, 256)))


def simulated(config: dict[str, Any], step: StepSpec, recipe: Recipe) -> Estimate:
    """What the simulation says."""
    import transformers

    from sftui.training.simulation.simulate import simulate

    values = dict(config)
    made = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    return simulate(made, step, recipe)


def names(family: str, method: str, recipe: Recipe, step: StepSpec) -> tuple[str, ...]:
    """What this recipe's error counts for."""
    kinds = ["all", family, method, f"{recipe.model.dtype}, {step.layout}, {step.attention}"]
    if recipe.adapter is not None and recipe.adapter.use_dora:
        kinds.append("DoRA")
    if recipe.adapter is not None and recipe.adapter.modules_to_save:
        kinds.append("modules_to_save")
    return tuple(kinds)


def main() -> int:
    """Compare, and print what differs most."""
    warnings.simplefilter("ignore")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    errors: dict[str, list[float]] = defaultdict(list)
    of_moments: dict[str, list[float]] = defaultdict(list)
    worst: list[tuple[float, str, Recipe, StepSpec, dict[str, Any]]] = []
    refused, seconds = 0, 0.0
    for number in range(count):
        family = FAMILIES[number % len(FAMILIES)]
        config = random_config(family, rng)
        shape = shape_of(config)
        assert isinstance(shape, ModelShape)
        method, recipe = random_recipe(shape, rng)
        step = random_step(recipe, shape, rng)
        try:
            truth = simulated(config, step, recipe)
        except InputError as error:
            refused += 1
            print(f"{family}: {error.problem[:150]}", file=sys.stderr)
            continue
        began = time.perf_counter()
        found = estimate(shape, step)
        seconds += time.perf_counter() - began
        off = (found.peak_bytes - truth.peak_bytes) / truth.peak_bytes
        for name in names(family, method, recipe, step):
            errors[name].append(abs(off))
        moments = set(found.moments) | set(truth.moments)
        parts = {each: (found.at(each) - truth.at(each)) / truth.peak_bytes for each in moments}
        for each, part in parts.items():
            of_moments[each].append(abs(part))
        most = max(parts, key=lambda each: abs(parts[each]))
        at = f"{found.peak_moment}/{truth.peak_moment}"
        text = f"{family} {method} {off:+.3%} at {at}, {most} {parts[most]:+.3%}"
        worst.append((max(abs(off), abs(parts[most]) / 5), text, recipe, step, config))
    for title, table in (("peak", errors), ("moment, in parts of the peak", of_moments)):
        print(title)
        for name, values in table.items():
            median, largest = statistics.median(values), max(values)
            print(f"  {name:34s} {len(values):4d} recipes  median {median:.4%}  worst {largest:.3%}")
    worst.sort(key=lambda each: -each[0])
    for _, text, recipe, step, config in worst[:12]:
        print(text, recipe.model_dump(exclude_defaults=True), step, config)
    taken = seconds / max(1, len(worst)) * 1e3
    print(f"refused by the simulation: {refused}; an estimate took {taken:.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
