from __future__ import annotations

import errno

import pytest

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_file import parse_recipe
from sftui.training.failure import NonFiniteError, ShortOfMemoryError, explain, is_out_of_memory


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(
        "model: {name_or_path: owner/name}\n"
        "data: {train: rows.jsonl}\n"
        "training: {per_device_train_batch_size: 4, gradient_accumulation_steps: 2}\n"
    )


def chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), "memory"),
        (MemoryError(), "memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
            "memory",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk"),
        (chained(RuntimeError("could not save"), OSError(errno.ENOSPC, "No space left on device")), "disk"),
        (OSError("x/y is not a local folder and is not a valid model identifier listed on the Hub"), "model"),
        (ValueError("Unrecognized model in /m. Should have a `model_type` key in its config.json"), "model"),
        (
            ValueError("Loading x requires to execute some code; set the option `trust_remote_code=True`"),
            "model",
        ),
        (InputError("is not JSON", file="rows.jsonl", line=3), "input"),
        (NonFiniteError("loss", float("nan"), 3, ["rows.jsonl:7"]), "nan"),
        (
            ImportError(
                "FlashAttention2 has been toggled on, but it cannot be used: flash_attn is not installed"
            ),
            "package",
        ),
        (KeyError("surprise"), "other"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_failure_is_told_in_one_sentence_with_what_to_do(
    error: Exception, kind: str, recipe: Recipe
) -> None:
    failure = explain(error, recipe, "at step 3")
    assert failure.kind == kind
    assert failure.cause and "\n" not in failure.cause.split("\n  ", 1)[0]
    assert failure.advice
    assert "Traceback" not in failure.cause


def test_out_of_memory_names_remedies_that_keep_the_effective_batch(recipe: Recipe) -> None:
    advice = explain(RuntimeError("CUDA out of memory"), recipe, "at step 1").advice
    assert "per_device_train_batch_size=2" in advice
    assert "gradient_accumulation_steps=4" in advice


def test_a_remedy_that_the_recipe_already_uses_is_not_offered(recipe: Recipe) -> None:
    advice = explain(RuntimeError("CUDA out of memory"), recipe, "at step 1").advice
    assert recipe.training.gradient_checkpointing and recipe.model.quantization == "nf4"
    assert "gradient_checkpointing" not in advice
    assert "nf4" not in advice


def test_where_no_change_is_known_the_list_of_the_recipe_is_offered(recipe: Recipe) -> None:
    error = chained(ShortOfMemoryError("at the loss", "", []), RuntimeError("CUDA out of memory"))
    failure = explain(error, recipe, "at step 3")
    assert failure.cause == "out of memory at the loss (step 3)"
    assert "per_device_train_batch_size=2" in failure.advice
    assert explain(error, None, "loading").advice


def test_out_of_memory_is_known_by_what_it_came_of() -> None:
    assert is_out_of_memory(chained(RuntimeError("could not step"), MemoryError()))
    assert is_out_of_memory(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_nan_names_the_rows_and_not_all_of_a_thousand(recipe: Recipe) -> None:
    cause = explain(
        NonFiniteError("loss", float("nan"), 3, [f"a:{n}" for n in range(1000)]), recipe, ""
    ).cause
    assert "a:0" in cause and "a:7" in cause and "992 more" in cause


def test_an_exception_that_refers_to_itself_is_told_all_the_same(recipe: Recipe) -> None:
    error = ValueError("round and round")
    error.__context__ = error
    assert explain(error, recipe, "starting").kind == "other"
