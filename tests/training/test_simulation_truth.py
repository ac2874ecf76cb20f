"""The trainer's real step on the CPU, counted in the same way as the simulated one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sftui.memory.estimate import COMPONENTS
from sftui.memory.step import EvaluationSpec
from sftui.training import trial
from sftui.training.simulation import cuda, kernels
from sftui.training.simulation.counting import Peak
from sftui.training.simulation.dry import simulate_layers
from sftui.training.simulation.request import step_for
from sftui.training.simulation.simulate import recipe_of
from sftui.training.simulation.skeleton import configuration
from tests.training.conftest import MakeRecipe, events_of, train_here
from tests.training.counted_meter import count_runs

# What the loops around a step and an evaluation keep and the simulated ones do not: the running loss, losses
# of micro-batches, the divisor, the norm of the gradients; sums, and which rows are repetitions. A number or
# a few in 512 bytes each.
STEP_SCALARS, EVALUATION_SCALARS = 6 * 512, 12 * 512


def attention_of_the_cpu(wanted: str, *, flash: bool) -> Any:
    """The kernel that scaled_dot_product_attention takes there."""

    def attention(
        query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> Any:  # fmt: skip
        if enable_gqa and not SHARES_KEYS_IN_A_KERNEL:
            return cuda._ORIGINAL(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=True
            )
        product = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
        return product(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]

    return attention


def shares_keys_in_a_kernel() -> bool:
    """Whether this torch's kernel for the CPU takes heads that share keys; matrix products otherwise."""
    query, key = (torch.zeros(1, heads, 4, 16, requires_grad=True) for heads in (4, 2))
    attention = torch.nn.functional.scaled_dot_product_attention
    output = attention(query, key, key, is_causal=True, enable_gqa=True)
    assert output.grad_fn is not None
    return "FlashAttentionForCpu" in output.grad_fn.name()


SHARES_KEYS_IN_A_KERNEL = shares_keys_in_a_kernel()

METHODS: dict[str, list[str]] = {
    "full": ["adapter=null"],
    "full, checkpointing": ["adapter=null", "training.gradient_checkpointing=true"],
    "lora": ["training.gradient_accumulation_steps=1"],
    "lora, all parts": ["adapter.use_dora=true", "adapter.modules_to_save=[lm_head]"],
    "lora, stock loss": ["training.loss=stock"],
    "fp8": ["model.quantization=fp8"],
    "nf4": ["model.quantization=nf4"],
    "nf4, checkpointing": ["model.quantization=nf4", "training.gradient_checkpointing=true"],
}
LENGTH = 32  # tokens of the row below


@pytest.mark.parametrize("method", METHODS)
def test_the_simulated_step_allocates_what_the_real_one_does(
    method: str, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "same.jsonl"
    row = {"question": "stone river light", "answer": "green seven window music garden"}
    rows.write_text((json.dumps(row) + "\n") * 12)
    recipe = make_recipe(
        f"data.train=[{{path: {rows}}}]", f"data.eval=[{{path: {rows}, limit: 1}}]", "training.max_steps=3",
        *METHODS[method],
    )  # fmt: skip
    meter = count_runs(monkeypatch)
    monkeypatch.setattr(trial, "is_worth_it", lambda where: False)
    with meter:
        started = events_of(train_here(recipe), "start")[0]
    real = meter.all_windows
    trained = started["trained_tokens"] // started["sequences"]
    assert 0 < trained < LENGTH

    def trained_places(args: Any, kwargs: Any) -> torch.Tensor:
        # All tokens, if nobody says otherwise: the most that there can be.
        return torch.empty(args[0].numel() // LENGTH * trained, 1, dtype=torch.int64, device="meta")

    monkeypatch.setitem(kernels.ANSWERS, "nonzero.default", trained_places)

    monkeypatch.setattr(cuda, "_attention_of", attention_of_the_cpu)
    monkeypatch.setattr(kernels, "WORKSPACES", {})
    config = configuration(recipe.model.name_or_path, None, False)
    step = replace(
        step_for(recipe, config, {"length": LENGTH, "layout": "plain"}), evaluation=EvaluationSpec(1, LENGTH)
    )
    simulated, _ = simulate_layers(config, recipe_of(step, recipe), step, 0)

    compared = {window for window in simulated if window[0] not in ("load", "save")}
    assert compared == {window for window in real if window[0] not in ("load", "between")}
    for window in compared:
        scalars = EVALUATION_SCALARS if window[0] == "evaluation" else STEP_SCALARS
        # On the CPU the norm of each gradient is a tensor of its own, on CUDA all are one.
        norms = 512 * meter.trained if window[0] == "optimizer_step" else 0
        assert 0 < real[window].total - simulated[window].total <= scalars + norms, window
        if not norms:
            differences = parts_apart(real[window], simulated[window])
            assert set(differences) <= {"activations", "logits", "optimizer"}, window
            assert all(size > 0 for size in differences.values())
    most = max(peak.total for window, peak in simulated.items() if window[0] == "load")
    assert real["load", "weights"].total <= most, "loading takes more than what is loaded"


def parts_apart(real: Peak, simulated: Peak) -> dict[str, int]:
    found = zip(COMPONENTS, real.parts, simulated.parts, strict=True)
    return {component: one - other for component, one, other in found if one != other}
