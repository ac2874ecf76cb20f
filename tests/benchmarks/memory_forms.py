"""The closed form against the simulation: `python tests/benchmarks/memory_forms.py [COUNT] [SEED]`.

Prints the median and the worst error of the peak by family and by method, and the worst recipes. Both give
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

from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, EvaluationSpec, StepSpec, fused_kernel

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
TARGETS = ("all-linear", ("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj"), r".*self_attn.*proj")
FUSED_TARGETS = ("all-linear", ("qkv_proj",), ("o_proj", "down_proj"))
PHI_TARGETS = ("all-linear", ("q_proj", "v_proj"), ("fc1", "fc2"))


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
        "vocab_size": rng.choice((1000, 8000, 32000, 65536)),
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


def random_step(shape: ModelShape, rng: random.Random) -> tuple[str, StepSpec]:
    """(method, step) that the trainer could be asked for with this model."""
    method = rng.choice(("full", "lora", "lora", "qlora", "qlora"))
    dtype = rng.choice(("bfloat16", "bfloat16", "bfloat16", "float16", "float32"))
    adapter = None
    moe = shape.experts is not None
    if moe:
        dtype = "bfloat16"  # the only type that grouped products have on the meta device
    if method != "full":
        targets = FUSED_TARGETS if shape.fused_qkv else PHI_TARGETS if shape.parallel else TARGETS
        adapter = AdapterSpec(
            rng.choice((4, 8, 16, 64)),
            dropout=0.0 if moe else rng.choice((0.0, 0.0, 0.1)),
            dtype=rng.choice(("float32", "float32", "bfloat16")) if dtype != "float16" else "float32",
            targets=rng.choice(targets),
            use_dora=not moe and rng.random() < 0.1,
            modules_to_save=("lm_head",) if rng.random() < 0.1 and not shape.tied else (),
        )
        if dtype == "float32":  # nothing casts between the two
            adapter = replace(adapter, dtype=dtype)
    rows, length = rng.choice((1, 1, 2, 4)), rng.choice((128, 256, 500, 512, 1024))
    layouts = ["plain" if rows == 1 else "padded", "flat", "packed_dense"]
    layout: Any = rng.choice(layouts)
    eager = shape.attention_softcap is not None or rng.random() < 0.15
    if eager and layout == "flat":
        layout = layouts[0]
    half = dtype != "float32"
    attention: Any = (
        "eager" if eager else fused_kernel(shape, half=half, masked=layout in ("padded", "packed_dense"))
    )
    if layout == "flat" and not half:
        layout, attention = "packed_dense", "efficient"
    lowered: Any = None
    if adapter is None:
        lowered = "float16" if dtype == "float16" else None
    elif half and adapter.dtype != dtype:
        lowered = dtype
    quantization: Any = "none" if method != "qlora" else rng.choice(("nf4", "nf4", "fp4", "int8", "fp8"))
    return method, StepSpec(
        rows=rows,
        length=length,
        layout=layout,
        dtype=dtype,
        master_float32=adapter is None and dtype == "float16",
        quantization=quantization,
        double_quant=rng.random() < 0.7,
        adapter=adapter,
        autocast=lowered,
        checkpointing=rng.choice((0, 1, 1, 2, 3)),
        attention=attention,
        windows=layout == "flat",
        loss=rng.choice(("chunked", "chunked", "stock")),
        loss_chunk=rng.choice((100, 256, 1024)),
        weighted=rng.random() < 0.1,
        optimizer=rng.choice(OPTIMIZERS),
        accumulation=rng.choice((1, 4)),
        processes=rng.choice((1, 1, 1, 2)),
        evaluation=EvaluationSpec(max(2, rows), length) if rng.random() < 0.3 else None,
    )


def simulated(config: dict[str, Any], step: StepSpec) -> int:
    """The peak of the simulation, in bytes."""
    import transformers

    from sftui.training.simulation.simulate import simulate

    values = dict(config)
    made = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    return simulate(made, step).peak_bytes


def main() -> int:
    """Compare, and print what differs most."""
    warnings.simplefilter("ignore")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    errors: dict[str, list[float]] = defaultdict(list)
    worst: list[tuple[float, str, StepSpec, dict[str, Any]]] = []
    refused, seconds = 0, 0.0
    for number in range(count):
        family = FAMILIES[number % len(FAMILIES)]
        config = random_config(family, rng)
        shape = shape_of(config)
        assert isinstance(shape, ModelShape)
        method, step = random_step(shape, rng)
        try:
            truth = simulated(config, step)
        except Exception as error:
            refused += 1
            print(f"{family}: {type(error).__name__}: {str(error)[:150]}", file=sys.stderr)
            continue
        began = time.perf_counter()
        found = estimate(shape, step).peak_bytes
        seconds += time.perf_counter() - began
        error = (found - truth) / truth
        for name in ("all", family, method):
            errors[name].append(abs(error))
        worst.append((abs(error), f"{family} {method} {error:+.3%}", step, config))
    for name, values in errors.items():
        median, most = statistics.median(values), max(values)
        print(f"{name:12s} {len(values):4d} recipes  median {median:.4%}  worst {most:.3%}")
    worst.sort(key=lambda each: -each[0])
    for _, text, step, config in worst[:8]:
        print(text, step, config)
    print(
        f"refused by the simulation: {refused}; an estimate took {seconds / max(1, len(worst)) * 1e3:.2f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
