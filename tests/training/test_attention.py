"""Attention of packed sequences: each implementation reads a sequence in a bin as it reads it alone."""

from __future__ import annotations

import os
import random
from array import array
from typing import Any

import pytest
import torch

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.training import attention, varlen
from sftui.training.attention import choose_attention, use_attention
from sftui.training.batch import Collator, logits_of, token_loss, total_weight
from sftui.training.bins import BinCollator, Part

from .conftest import MakeRecipe, events_of, train_here

CPU = torch.device("cpu")
VOCABULARY = 300
LENGTHS = (7, 19, 1, 33, 12, 5, 2, 26)
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "head_dim": 8,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def sequences(*, weighted: bool = False) -> list[Any]:
    """Random ids; trained from the third token on."""
    from sftui.data.sequences import Sequence

    pick = random.Random(0)
    return [
        Sequence(
            array("i", pick.choices(range(2, VOCABULARY), k=length)),
            bytes(2)[:length] + b"\1" * (length - 2),
            row,
            f"rows:{row}",
            array("f", [pick.choice([0.5, 2.0])] * length) if weighted and row % 2 else None,
        )
        for row, length in enumerate(LENGTHS)
    ]


def model_of(kind: str, **settings: Any) -> Any:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **settings})
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def bins_of(sequences: list[Any], count: int = 2) -> list[list[Part]]:
    parts = [Part(number, each, 0, len(each)) for number, each in enumerate(sequences)]
    size = -(-len(parts) // count)
    return [parts[first : first + size] for first in range(0, len(parts), size)]


def use(model: Any, name: str) -> bool:
    """Let the model use an attention; whether bins are flat for it."""
    use_attention(model, attention.Attention(name, ""))
    return name == "varlen"


def inputs_of(batch: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in batch.items() if key not in ("labels", "rows", "counts", "weights")}


def packed_logits(model: Any, name: str, rows: list[Any]) -> list[torch.Tensor]:
    """Of each sequence, as it lies in one of two bins."""
    flat, bins = use(model, name), bins_of(rows)
    logits = logits_of(model, inputs_of(BinCollator(0, flat=flat)(bins)))
    lines = [[part for row in bins for part in row]] if flat else bins
    return [
        piece
        for line, row in zip(logits, lines, strict=True)
        for piece in line[: sum(map(len, row))].split(list(map(len, row)))
    ]


def alone_logits(model: Any, rows: list[Any]) -> list[torch.Tensor]:
    model.set_attn_implementation("eager")
    return [model(torch.tensor([list(each.input_ids)]), use_cache=False).logits[0] for each in rows]


def losses(logits: torch.Tensor, ids: Any) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(list(ids))[1:], reduction="none")


def compare(model: Any, name: str, rows: list[Any], relative: float = 0.0) -> None:
    """Logits to 1e-4, losses of each token to 1e-5; `relative` on top, where float32 rounds large ones."""
    with torch.no_grad():
        alone, packed = alone_logits(model, rows), packed_logits(model, name, rows)
    for each, one, other in zip(rows, packed, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=relative)
        found, expected = losses(one, each.input_ids), losses(other, each.input_ids)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=relative)


@pytest.mark.parametrize("name", ["sdpa", "eager", "varlen"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Llama", {}),
        ("Mistral", {"sliding_window": 9}),
        ("Gemma3Text", {"sliding_window": 5}),
        ("GPTNeoX", {}),
        ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4}),  # learned positions
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_sequence_in_a_bin_has_the_logits_and_losses_that_it_has_alone(
    kind: str, settings: dict[str, Any], name: str
) -> None:
    compare(model_of(kind, **settings), name, sequences())


@pytest.mark.slow
def test_flex_attention_reads_a_sequence_in_a_bin_as_alone() -> None:
    try:
        compare(model_of("Llama", head_dim=16), "flex_attention", sequences())
    except Exception as error:
        if "InductorError" in type(error).__name__ or "compiler" in str(error).lower():
            pytest.skip(f"flex_attention is compiled, which does not work here: {type(error).__name__}")
        raise


REAL_MODEL = os.environ.get("SFTUI_TEST_MODEL")


@pytest.mark.skipif(not REAL_MODEL, reason="SFTUI_TEST_MODEL names no directory of a model")
@pytest.mark.parametrize("name", ["sdpa", "eager", "varlen"])
def test_a_real_model_reads_a_sequence_in_a_bin_as_alone(name: str) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(REAL_MODEL, dtype=torch.float32).eval()
    compare(model, name, sequences(), 1e-5)


def gradients(model: Any, batches: list[dict[str, Any]]) -> tuple[float, torch.Tensor]:
    """Loss and gradient of one effective batch, as the trainer has them."""
    total = torch.stack([total_weight(each["labels"], each.get("weights")) for each in batches]).sum().float()
    loss = 0.0
    for batch in batches:
        logits = logits_of(model, inputs_of(batch))
        part = token_loss(logits, batch["labels"], batch.get("weights")) / total
        part.backward()
        loss += part.item()
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return loss, found


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("micro_batches", [1, 2], ids=["at once", "accumulated"])
@pytest.mark.parametrize("name", ["sdpa", "eager", "varlen"])
def test_one_packed_step_has_the_gradients_of_the_same_sequences_unpacked(
    name: str, micro_batches: int, weighted: bool
) -> None:
    rows = sequences(weighted=weighted)
    model = model_of("Mistral", sliding_window=9).train()
    model.set_attn_implementation("sdpa")
    padded = Collator(0)
    loss, expected = gradients(model, [padded(list(enumerate(rows[:5]))), padded(list(enumerate(rows))[5:])])

    collate, bins = BinCollator(0, flat=use(model, name)), bins_of(rows, 3)
    batches = [collate(bins)] if micro_batches == 1 else [collate(bins[:2]), collate(bins[2:])]
    packed_loss, found = gradients(model, batches)

    assert packed_loss == pytest.approx(loss, abs=1e-6)
    assert float(expected.abs().max()) > 1e-2
    assert float((found - expected).abs().max()) < 1e-5


def test_checkpointing_recomputes_packed_attention_to_the_same_gradients() -> None:
    model = model_of("Llama").train()
    batch = BinCollator(0, flat=use(model, "varlen"))(bins_of(sequences()))
    _, plain = gradients(model, [batch])
    model.gradient_checkpointing_enable({"use_reentrant": False})
    _, recomputed = gradients(model, [batch])
    assert torch.equal(plain, recomputed)


def test_no_mask_is_made_for_packed_input_and_the_usual_one_for_all_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of("Mistral", sliding_window=9)
    seen: list[torch.Tensor | None] = []
    attend = varlen._attention

    def watch(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        seen.append(mask)
        return attend(module, query, key, value, mask, **options)

    monkeypatch.setattr(varlen, "_attention", watch)
    use(model, "varlen")
    rows = sequences()
    logits_of(model, inputs_of(BinCollator(0, flat=True)(bins_of(rows))))
    assert seen and all(mask is None for mask in seen)
    seen.clear()
    logits_of(model, inputs_of(Collator(0)(list(enumerate(rows)))))
    assert seen and all(mask is not None and mask.shape[-2:] == (33, 33) for mask in seen)


def test_padded_batches_and_answers_are_those_of_sdpa() -> None:
    model = model_of("Mistral", sliding_window=9)
    batch = inputs_of(Collator(0)(list(enumerate(sequences()))))
    prompt = torch.tensor([list(sequences()[3].input_ids)])
    found = []
    for name in ("sdpa", "varlen"):
        use(model, name)
        with torch.no_grad():
            answer = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False
            )
            found.append((logits_of(model, batch), answer))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1].tolist() == found[1][1].tolist()
    assert found[0][1].shape[1] > prompt.shape[1]


def test_packed_input_whose_ends_do_not_reach_the_attention_is_refused_not_mixed_up() -> None:
    from transformers import AttentionInterface

    model = model_of("Llama")
    use(model, "varlen")
    attend = AttentionInterface()[varlen.NAME]

    def forget(*arguments: Any, cu_seq_lens_q: Any, **options: Any) -> Any:
        return attend(*arguments, **options)

    AttentionInterface.register(varlen.NAME, forget)
    try:
        with pytest.raises(ValueError, match="where packed sequences end"):
            logits_of(model, inputs_of(BinCollator(0, flat=True)(bins_of(sequences()))))
    finally:
        varlen.register()


# The kernel of torch, by versions: a stand-in with their signatures that computes one by one


def reference(query: Any, key: Any, value: Any, ends: Any, scale: Any, window: Any) -> torch.Tensor:
    heads = (each.transpose(0, 1)[None] for each in (query, key, value))
    return varlen._one_by_one(*heads, ends.diff().tolist(), 0.0, scale, window)[0]


def torch_2_10(
    q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int, is_causal: bool = False
) -> Any:
    assert is_causal and cu_k is cu_q and max_q == max_k == 33
    return reference(q, k, v, cu_q, None, None)


def torch_2_13(
    q: Any,
    k: Any,
    v: Any,
    cu_q: Any,
    cu_k: Any,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Any:
    assert window_size[1] == 0 and enable_gqa == (q.shape[1] != k.shape[1])
    return reference(q, k, v, cu_q, scale, None if window_size[0] < 0 else window_size[0] + 1)


@pytest.mark.parametrize("kernel", [torch_2_10, torch_2_13])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("value_size", [8, 6])
def test_the_kernel_is_called_as_each_version_of_torch_has_it(
    monkeypatch: pytest.MonkeyPatch, kernel: Any, scale: float | None, window: int | None, value_size: int
) -> None:
    import inspect

    known = inspect.signature(kernel).parameters
    made = varlen._Kernel(kernel, "window_size" in known, "scale" in known, "enable_gqa" in known)
    monkeypatch.setattr(varlen, "_kernel", lambda: made)
    monkeypatch.setattr(varlen, "has_kernel", lambda *_, windows: made.windows or not windows)
    torch.manual_seed(0)
    total = sum(LENGTHS)
    query, key = torch.randn(1, 4, total, 8), torch.randn(1, 2, total, 8)
    value = torch.randn(1, 2, total, value_size)
    ends = torch.tensor([0, *LENGTHS]).cumsum(0).to(torch.int32)
    expected = varlen._one_by_one(query, key, value, list(LENGTHS), 0.0, scale, window)
    found, _ = varlen._attention(
        torch.nn.Module(),
        query,
        key,
        value,
        None,
        scaling=scale,
        sliding_window=window,
        cu_seq_lens_q=ends,
        max_length_q=max(LENGTHS),
    )
    assert found.shape == (1, total, 4, value_size)
    assert float((found - expected).abs().max()) < 1e-5


# Which attention a run gets


def recipe_of(make_recipe: MakeRecipe, *overrides: str) -> Recipe:
    return make_recipe("data.packing=best_fit", *overrides)


def test_without_packing_transformers_chooses(make_recipe: MakeRecipe) -> None:
    found = choose_attention(make_recipe(), model_of("Llama"), CPU)
    assert (found.name, found.flat, found.note) == ("sdpa", False, None)


def test_packing_takes_sequences_apart_unless_the_recipe_says_otherwise(make_recipe: MakeRecipe) -> None:
    model = model_of("Llama")
    found = choose_attention(recipe_of(make_recipe), model, CPU)
    assert (found.name, found.flat) == ("varlen", True)
    for name in ("sdpa", "eager"):
        found = choose_attention(recipe_of(make_recipe, f"model.attn_implementation={name}"), model, CPU)
        assert (found.name, found.flat) == (name, False)


@pytest.mark.parametrize(
    ("kernel", "flash", "dtype", "name", "flat"),
    [
        (True, False, "bfloat16", "varlen", True),
        (False, True, "bfloat16", "flash_attention_2", True),
        (False, False, "bfloat16", "flex_attention", False),
        (False, False, "float32", "varlen", True),
    ],
)
def test_on_a_gpu_the_first_kernel_that_is_there_is_taken(
    make_recipe: MakeRecipe,
    monkeypatch: pytest.MonkeyPatch,
    kernel: bool,
    flash: bool,
    dtype: str,
    name: str,
    flat: bool,
) -> None:
    monkeypatch.setattr(varlen, "has_kernel", lambda *_, **__: kernel)
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: flash)
    recipe = recipe_of(make_recipe, f"model.dtype={dtype}")
    found = choose_attention(recipe, model_of("Llama"), torch.device("cuda"))
    assert (found.name, found.flat) == (name, flat)
    assert ("torch.nn.attention.varlen" in found.kernel) == kernel


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("Gemma2", {}, "capped scores or sinks"),
        ("GptOss", {"num_local_experts": 2, "num_experts_per_tok": 1}, "capped scores or sinks"),
        ("Bloom", {"n_layer": 2, "n_head": 4}, "computes its attention by itself"),
    ],
)
def test_an_attention_that_is_more_than_plain_is_left_to_the_model(
    make_recipe: MakeRecipe, kind: str, settings: dict[str, Any], reason: str
) -> None:
    model = model_of(kind, **settings)
    found = choose_attention(recipe_of(make_recipe), model, CPU)
    assert found.name == model.config._attn_implementation in ("eager", "sdpa")
    assert found.note is not None and reason in found.note and not found.flat
    with pytest.raises(InputError, match=reason) as error:
        choose_attention(recipe_of(make_recipe, "model.attn_implementation=varlen"), model, CPU)
    assert error.value.key == "model.attn_implementation"


def test_a_model_that_caps_scores_is_packed_with_its_own_attention() -> None:
    compare(model_of("Gemma2", sliding_window=9), "eager", sequences())


def test_flex_attention_on_the_cpu_is_refused(make_recipe: MakeRecipe) -> None:
    with pytest.raises(InputError, match="no backward pass on the CPU"):
        train_here(make_recipe("model.attn_implementation=flex_attention"))


def test_varlen_trains_padded_batches_to_the_losses_of_sdpa(make_recipe: MakeRecipe) -> None:
    found = []
    for name in ("sdpa", "varlen"):
        run = train_here(make_recipe(f"model.attn_implementation={name}", "training.max_steps=2"))
        assert events_of(run, "start")[0]["attention"] == name
        found.append([event["loss"] for event in events_of(run, "step")])
    assert found[0] == found[1]
