"""The chunked loss against the stock one: loss and every gradient, in tiny models of each kind of head."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from sftui.training import chunked_loss
from sftui.training.batch import IGNORED, logits_of, outputs_of, token_loss

from .conftest import MakeRecipe, events_of, largest_difference, losses_of, train_here, weights_of

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("gemma2", {"head_dim": 16, "final_logit_softcapping": 3.0}),
    ("gemma3_text", {"head_dim": 16, "final_logit_softcapping": 3.0}),
    ("phi", {"num_key_value_heads": 4}),
    ("granite", {"logits_scaling": 8.0}),
    ("cohere", {"logit_scale": 0.3}),
    ("qwen3_moe", MOE),
    ("qwen2_moe", MOE | {"output_router_logits": True}),
    ("gpt_neox", {}),
]
DIVISOR = 7.0


def model_of(family: str, extra: dict[str, Any], dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model(family, **(SMALL | extra))
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).train()


def batch(*, weighted: bool) -> tuple[dict[str, Any], torch.Tensor, torch.Tensor | None]:
    """Two padded rows, in which some tokens are not trained."""
    lots = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 300, (2, 23), generator=lots)
    targets = ids.clone()
    targets[:, :5] = targets[1, 10:14] = targets[1, 20:] = IGNORED
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    weights = torch.rand(2, 23, generator=lots) if weighted else None
    return {"input_ids": ids, "attention_mask": mask}, targets, weights


Found = tuple[float, dict[str, torch.Tensor]]


def both(
    model: Any, *, weighted: bool = False, autocast: torch.dtype | None = None, expected: float = 1 / DIVISOR
) -> tuple[Found, Found]:
    """(loss, gradients) of the stock loss and of chunks of 8 tokens."""
    inputs, targets, weights = batch(weighted=weighted)

    def found(chunked: bool) -> Found:
        model.zero_grad()
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            if chunked:
                summed = chunked_loss.summed_loss(model, inputs, targets, weights, expected=expected, chunk=8)
            else:
                summed = token_loss(logits_of(model, inputs), targets, weights)
        loss = summed / DIVISOR
        loss.backward()
        named = model.named_parameters()
        return float(loss.detach()), {
            name: each.grad.clone() for name, each in named if each.grad is not None
        }

    stock = found(False)
    assert chunked_loss.prepare(model, autocast) is None
    return stock, found(True)


def assert_equal(stock: Found, ours: Found, tolerance: float) -> None:
    assert ours[0] == pytest.approx(stock[0], rel=tolerance)
    assert ours[1].keys() == stock[1].keys()
    for name, gradient in stock[1].items():
        largest = float(gradient.abs().max())
        assert float((ours[1][name] - gradient).abs().max()) <= tolerance * largest, name


@pytest.mark.parametrize(("family", "extra"), FAMILIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_every_gradient_are_those_of_the_stock_loss(
    family: str, extra: dict[str, Any], weighted: bool
) -> None:
    stock, ours = both(model_of(family, extra), weighted=weighted)
    assert len(stock[1]) > 10
    assert_equal(stock, ours, 2e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    ],
    ids=str,
)
def test_so_are_those_of_adapters_and_of_a_head_trained_beside_them(settings: dict[str, Any]) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, **settings)
    stock, ours = both(get_peft_model(model_of("llama", {}), config))
    assert_equal(stock, ours, 2e-6)
    assert any("lm_head" in name for name in ours[1]) == ("lm_head" in str(settings))


@pytest.mark.parametrize("adapted", [False, True])
def test_under_autocast_they_differ_by_the_rounding_of_its_type(adapted: bool) -> None:
    model = model_of("llama", {})
    if adapted:
        config = LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, modules_to_save=["lm_head"])
        model = get_peft_model(model.bfloat16(), config)
        for each in model.parameters():
            each.data = each.data.float() if each.requires_grad else each.data
    stock, ours = both(model, autocast=torch.bfloat16)
    assert {each.dtype for each in ours[1].values()} == {torch.float32}
    assert_equal(stock, ours, 0.02)


def test_half_gradients_are_rounded_as_without_chunks() -> None:
    """The factor of the loss goes in before gradients are made, as in a stock backward pass."""
    exact, _ = both(model_of("llama", {}))
    stock, ours = both(model_of("llama", {}, torch.bfloat16))

    def error(found: Found) -> float:
        pairs = ((found[1][name].float(), gradient) for name, gradient in exact[1].items())
        return sum(float((one - other).norm() / other.norm()) for one, other in pairs)

    assert error(ours) <= 1.1 * error(stock)


def test_the_gradient_is_right_where_another_one_was_expected() -> None:
    stock, ours = both(model_of("llama", {}), expected=3.0)
    assert_equal(stock, ours, 2e-6)


def test_a_batch_in_which_nothing_is_trained_has_gradients_of_zero() -> None:
    model = model_of("llama", {})
    assert chunked_loss.prepare(model, None) is None
    inputs, targets, _ = batch(weighted=False)
    loss = chunked_loss.summed_loss(model, inputs, torch.full_like(targets, IGNORED), chunk=8)
    loss.backward()
    assert loss.item() == 0
    # Processes that have other batches wait for the gradient of each parameter.
    assert all(each.grad is not None and not each.grad.any() for each in model.parameters())


def test_no_more_logits_are_made_than_a_chunk_of_trained_tokens() -> None:
    model = model_of("llama", {})
    assert chunked_loss.prepare(model, None) is None
    seen: list[int] = []
    model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    inputs, targets, _ = batch(weighted=False)
    chunked_loss.summed_loss(model, inputs, targets, chunk=8)
    trained = int((targets[:, 1:] != IGNORED).sum())
    assert trained == 29
    assert seen == [8, 8, 8, 5]
    seen.clear()
    with torch.no_grad():
        chunked_loss.summed_loss(model, inputs, targets, chunk=8)
    assert seen == [8, 8, 8, 5]


def test_the_model_still_returns_logits_and_generates() -> None:
    model = model_of("llama", {}).eval()
    inputs, _, _ = batch(weighted=False)
    inputs = {name: value[:1, :9] for name, value in inputs.items()}
    before = outputs_of(model, inputs).logits
    made = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert chunked_loss.prepare(model, None) is None
    assert torch.equal(outputs_of(model, inputs).logits, before)
    assert torch.equal(model.generate(**inputs, max_new_tokens=4, do_sample=False), made)


class Summing(transformers.LlamaForCausalLM):
    """Logits of a token follow from hidden states of all: no chunk can know them."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits.cumsum(1)
        return output


class Bare(transformers.LlamaForCausalLM):
    """Goes around the forward pass of its own body."""

    def forward(self, input_ids: Any = None, **_: Any) -> Any:
        hidden = self.model.norm(self.model.embed_tokens(input_ids))
        return transformers.modeling_outputs.CausalLMOutput(logits=self.lm_head(hidden))


@pytest.mark.parametrize(("kind", "reason"), [(Summing, "on 8 tokens it came to"), (Bare, "elsewhere")])
def test_a_model_with_an_end_of_its_own_keeps_the_stock_loss_and_its_forward_pass(
    kind: Any, reason: str
) -> None:
    model = kind(transformers.LlamaConfig(**SMALL))
    found = chunked_loss.prepare(model, None)
    assert found is not None
    assert reason in found
    assert "forward" not in vars(model)


def pairs(make_recipe: MakeRecipe, *overrides: str) -> Iterator[Any]:
    for loss in ("stock", "chunked"):
        yield train_here(make_recipe(f"training.loss={loss}", *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.gradient_checkpointing=true"],
        ["adapter=null", "training.learning_rate=1e-3"],
        ["data.packing=best_fit"],
        ["data.packing=best_fit", "model.attn_implementation=sdpa", "training.per_device_eval_batch_size=3"],
        ["model.quantization=nf4"],
    ],
    ids=" ".join,
)
def test_a_run_is_the_same_with_either_loss(make_recipe: MakeRecipe, rows: Any, overrides: list[str]) -> None:
    held_out = f"data.eval=[{{path: {rows}, limit: 5}}]"
    stock, ours = pairs(make_recipe, held_out, *overrides)
    assert events_of(ours, "warning") == []
    assert losses_of(ours) == pytest.approx(losses_of(stock), abs=1e-5)
    evaluated = [[event["loss"] for event in events_of(run, "eval")] for run in (stock, ours)]
    assert evaluated[1] == pytest.approx(evaluated[0], abs=1e-5)
    if "adapter=null" not in overrides:
        assert largest_difference(weights_of(stock.adapter), weights_of(ours.adapter)) < 1e-4


def test_a_run_says_why_it_takes_the_stock_loss(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked_loss, "_difference", lambda *_: "it does not add up")
    run = train_here(make_recipe("training.max_steps=1"))
    warned = [event["message"] for event in events_of(run, "warning")]
    assert len(warned) == 1
    assert "it does not add up" in warned[0]


def test_every_second_layer_that_is_run_again_changes_nothing_but_memory(make_recipe: MakeRecipe) -> None:
    again: list[list[bool]] = []

    def flags(self: Any, *args: Any, **kwargs: Any) -> Any:
        layers = self.get_base_model().model.layers
        again.append([layer.gradient_checkpointing for layer in layers])
        return forward(self, *args, **kwargs)

    import peft

    forward = peft.PeftModelForCausalLM.forward
    checkpointing = "training.gradient_checkpointing=true"
    plain = train_here(make_recipe(checkpointing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peft.PeftModelForCausalLM, "forward", flags)
        some = train_here(make_recipe(checkpointing, "training.gradient_checkpointing_every=2"))
    assert again[-1] == [True, False]
    assert losses_of(some) == pytest.approx(losses_of(plain), abs=1e-6)
    assert largest_difference(weights_of(some.adapter), weights_of(plain.adapter)) < 1e-6


@pytest.mark.slow
def test_two_processes_add_up_the_gradients_of_a_trained_head(make_recipe: MakeRecipe) -> None:
    from sftui.progress import wait_for_end
    from sftui.runs import launch

    full = ("adapter=null", "training.learning_rate=1e-3", "training.max_steps=3")
    alone = train_here(make_recipe("training.gradient_accumulation_steps=4", *full))
    run = launch.start(make_recipe("training.num_processes=2", *full), ["test"])
    assert wait_for_end(run) == 0, run.log_file.read_text()
    assert losses_of(run) == pytest.approx(losses_of(alone), abs=1e-5)
    assert largest_difference(weights_of(run.model), weights_of(alone.model)) < 1e-5
