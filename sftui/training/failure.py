"""Why training failed, in one sentence for a person, and what to do about it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from sftui.errors import InputError, shorten
from sftui.recipe import Recipe
from sftui.runs.status import Failure

OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|CUBLAS_STATUS_ALLOC_FAILED|"
    r"unable to allocate",
    re.IGNORECASE,
)
DISK_FULL = re.compile(
    r"no space left on device|disk quota exceeded|os error 28|file write failed", re.IGNORECASE
)
NO_MODEL = re.compile(
    r"is not a local folder and is not a valid model identifier|Repository Not Found|couldn't connect to|"
    r"offline mode|LocalEntryNotFound|does not appear to have a file named|no file named|gated repo|"
    r"Cannot find the requested files|Unrecognized model|does not recognize this architecture",
    re.IGNORECASE,
)


class NonFiniteError(ArithmeticError):
    """The loss or the gradient became NaN or infinite; raised before the optimizer step.

    `what` is "loss" or "gradient"; `rows` are the places of the rows in the micro-batches concerned.
    """

    def __init__(self, what: str, value: float, step: int, rows: list[str]) -> None:
        self.what, self.value, self.step, self.rows = what, value, step, rows
        shown = ", ".join(rows[:8]) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
        super().__init__(f"the {what} is {value} at step {step}; rows: {shown}")


class ShortOfMemoryError(RuntimeError):
    """Out of memory, where it is known what ran: `moment` in words, `takes` what needs most of it, or
    nothing, `remedies` the best changes to the recipe, or none."""

    def __init__(self, moment: str, takes: str, remedies: list[str]) -> None:
        self.moment, self.takes, self.remedies = moment, takes, remedies
        super().__init__(f"out of memory {moment}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is one, or came of one: of a GPU, of its libraries, or of the machine."""
    return any(
        isinstance(one, MemoryError) or OUT_OF_MEMORY.search(f"{type(one).__name__}: {one}")
        for one in _chain(error)
    )


def explain(error: BaseException, recipe: Recipe | None, phase: str) -> Failure:
    """Classify an exception. `phase` says what was being done ("at step 12"); a note on the error wins."""
    chain = list(_chain(error))
    phase = next((note for one in chain for note in getattr(one, "__notes__", ())), phase)
    texts = [f"{type(one).__name__}: {one}" for one in chain]
    for one in chain:
        if isinstance(one, InputError):
            return Failure("input", one.render(), "mend it, then resume the run or start it again")
        if isinstance(one, NonFiniteError):
            return Failure("nan", str(one), _after_nan(recipe))
        if isinstance(one, ShortOfMemoryError):
            return _short_of_memory(one, recipe, phase)
    for one, text in zip(chain, texts, strict=True):
        if (isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT)) or DISK_FULL.search(text):
            saved = "".join(f"; {note}" for note in getattr(error, "__notes__", ())[1:])
            return Failure(
                "disk",
                f"the disk is full ({phase}){saved}",
                "free some space and resume: earlier checkpoints are intact; "
                "training.save_total_limit says how many are kept",
            )
    if is_out_of_memory(error):
        return Failure("memory", f"out of memory ({phase})", _after_out_of_memory(recipe))
    if any("trust_remote_code" in text for text in texts):
        name = recipe.model.name_or_path if recipe else "the model"
        cause = f"{name} brings Python code of its own, which is not run unless the recipe says so"
        return Failure("model", cause, "read that code; if you trust it: model.trust_remote_code=true")
    for text in texts:
        if NO_MODEL.search(text):
            name = recipe.model.name_or_path if recipe else "the model"
            return Failure("model", f"no such model: {name}: {_first_sentence(text)}", _after_no_model(text))
    if any(isinstance(one, ImportError) for one in chain):
        one = next(one for one in chain if isinstance(one, ImportError))
        return Failure(
            "package", f"a package is missing: {_first_sentence(str(one))}", "install it; see sftui doctor"
        )
    return Failure("other", f"{_first_sentence(texts[0])} ({phase})", "trainer.log has the whole traceback")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it came from, the outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _first_sentence(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), text)
    return line if len(line) <= 200 else f"{line[:199]}…"


def _short_of_memory(error: ShortOfMemoryError, recipe: Recipe | None, phase: str) -> Failure:
    cause = f"{error} ({phase.removeprefix('at ')})"
    if error.takes:
        cause += f": {error.takes}"
    if not error.remedies:
        return Failure("memory", cause, _after_out_of_memory(recipe))
    return Failure("memory", cause, "start anew with " + ", or ".join(error.remedies))


def _after_out_of_memory(recipe: Recipe | None) -> str:
    """The remedies that this recipe has not used yet, the cheapest in time first."""
    remedies = []
    if recipe is None:
        return "make the batch or the length smaller"
    t = recipe.training
    if t.per_device_train_batch_size > 1:
        half = t.per_device_train_batch_size // 2
        double = t.gradient_accumulation_steps * 2
        remedies.append(
            f"training.per_device_train_batch_size={half} with training.gradient_accumulation_steps={double}"
        )
    if not t.gradient_checkpointing:
        remedies.append("training.gradient_checkpointing=true")
    if recipe.model.quantization == "none" and recipe.adapter is not None:
        remedies.append("model.quantization=nf4")
    if recipe.adapter is None:
        remedies.append("an adapter (LoRA) instead of all weights")
    if t.per_device_eval_batch_size > 1:
        remedies.append("training.per_device_eval_batch_size=1")
    if t.optim in ("adamw_torch", "adamw_torch_fused"):
        remedies.append("training.optim=paged_adamw_8bit")
    remedies.append(f"data.max_length={max(128, recipe.data.max_length // 2)}")
    return "start anew with " + ", or ".join(remedies[:3])


def _after_no_model(text: str) -> str:
    if re.search("gated", text, re.IGNORECASE):
        return "accept its terms on the Hub and log in with `hf auth login`"
    if re.search("connect|offline|LocalEntry", text, re.IGNORECASE):
        return "the Hub cannot be reached from here: download the model elsewhere and give its directory"
    return "check the spelling; expected a Hub id (owner/name) or a directory with config.json"


def _after_nan(recipe: Recipe | None) -> str:
    remedies = ["look at these rows; or start anew with"]
    if recipe is not None:
        remedies.append(f"a lower training.learning_rate than {recipe.training.learning_rate:g}")
        if recipe.training.max_grad_norm == 0:
            remedies.append("training.max_grad_norm=1.0")
        if recipe.model.dtype == "float16":
            remedies.append("model.dtype=bfloat16")
    return " ".join(remedies[:2]) + "".join(f", {remedy}" for remedy in remedies[2:])


def short(error: BaseException) -> str:
    """The exception in a few words, for a warning."""
    return shorten(_first_sentence(f"{type(error).__name__}: {error}"), 160)
