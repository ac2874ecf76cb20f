"""A configuration and a step -> the memory that the step takes."""

from __future__ import annotations

from typing import Any

from sftui.errors import InputError
from sftui.memory.estimate import COMPONENTS, MOMENTS, Breakdown, Estimate, Moment, Parameters, estimate_from
from sftui.memory.moments import HANDLES
from sftui.memory.step import StepSpec
from sftui.recipe import AdapterSection, DataSection, ModelSection, Recipe, Source, TrainingSection
from sftui.training import varlen
from sftui.training.simulation import layers, loading, skeleton, targets
from sftui.training.simulation.counting import Peak, Window
from sftui.training.simulation.dry import FLAT, simulate_layers
from sftui.training.simulation.parameters import Counts

# Of torch, transformers and PEFT, where a model does something that has no meta kernel or that they refuse.
_FAILURES = (
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    ImportError,
)
_GROUPED = "Expected inputs of BF16 type"
_NO_VALUES = "Cannot copy out of meta tensor"


def simulate(
    config: Any,
    step: StepSpec,
    recipe: Recipe | None = None,
    *,
    every_layer: bool = False,
    workspaces: bool = True,
) -> Estimate:
    """The memory of a step of the model that transformers makes of a configuration, on a CUDA device.

    `workspaces`: with those that cuBLAS keeps, which a device other than CUDA's has not.
    `recipe` has what does not follow from the step (learning rates, code of the model's own). Layers that
    repeat are left out, and the result is the same to the byte, but for the rounding of the vector of norms
    that gradients are clipped by, unless `every_layer`. Raises InputError where the step or the model cannot
    be simulated.
    """
    _check(step)
    recipe = recipe_of(step, recipe)
    workspace = HANDLES * step.cublas_workspace if workspaces else 0
    try:
        windows, counts, total = _windows(config, recipe, step, workspace, every_layer=every_layer)
    except _FAILURES as error:
        raise _refused(config, step, error) from error
    moments = _moments(windows, total)
    return estimate_from(moments, Parameters(sum(counts.kinds.values()), counts.trainable, counts.kinds))


def _refused(config: Any, step: StepSpec, error: Exception) -> InputError:
    """What to say of an error of a library: in our words where it is known."""
    said = skeleton.reason(error)
    hint = "what its memory is, only a run can tell"
    if _GROUPED in said:
        return InputError(
            f"experts in {step.dtype} cannot be simulated: their products are known in bfloat16 only",
            key="model.dtype",
            hint=hint,
        )
    if varlen.NAME in said or FLAT in said:
        said = "its attention does not take packed rows"
    elif _NO_VALUES in said:
        said = "its code reads values of tensors, and the simulation has only their sizes"
    return InputError(f"{config.model_type} cannot be simulated: {said}", key="model.name_or_path", hint=hint)


def recipe_of(step: StepSpec, recipe: Recipe | None = None) -> Recipe:
    """A recipe whose model and training are those of the step, other settings as in `recipe`."""
    spec = step.adapter
    model = ModelSection(
        name_or_path=recipe.model.name_or_path if recipe else "model",
        quantization=step.quantization,
        double_quant=step.double_quant,
        dtype=step.dtype,
        trust_remote_code=recipe.model.trust_remote_code if recipe else False,
    )
    adapter = None
    if spec is not None:
        adapter = AdapterSection(
            r=spec.r,
            lora_dropout=spec.dropout,
            dtype=spec.dtype,
            target_modules=spec.targets if isinstance(spec.targets, str) else list(spec.targets),
            use_dora=spec.use_dora,
            modules_to_save=list(spec.modules_to_save),
        )
    training = (recipe.training if recipe else TrainingSection()).model_copy(
        update={
            "optim": step.optimizer,
            "gradient_checkpointing": bool(step.checkpointing),
            "gradient_checkpointing_every": max(1, step.checkpointing),
            "loss": step.loss,
            "num_processes": 1,
        }
    )
    return Recipe(
        model=model, adapter=adapter, data=DataSection(train=[Source(path="unused")]), training=training
    )


def _check(step: StepSpec) -> None:
    if step.shard:
        raise InputError(
            "weights divided over processes (FSDP) cannot be simulated", key="training.num_processes"
        )
    if step.layout == "padded" and step.windows:
        raise InputError(
            "padded rows with flash attention cannot be simulated: how much is padding decides",
            key="model.attn_implementation",
        )


def _windows(
    config: Any, recipe: Recipe, step: StepSpec, workspace: int, *, every_layer: bool
) -> tuple[dict[Window, Peak], Counts, int]:
    """Windows, numbers of parameters and of layers."""
    whole, quantizer = skeleton.build(config, recipe.model, step, "eager")
    found = skeleton.decoder_layers(whole)
    total = 0 if found is None else len(found)
    marks = targets.marks_of(whole, recipe.adapter)
    cut = None
    if not every_layer and not targets.renumbering_changes(whole, recipe.adapter):
        cut = skeleton.cut_of(whole, step.checkpointing or 1, marks)
    shortened = None if cut is None else _shortened(config, recipe, step, workspace, cut, whole, marks)
    windows, counts = shortened or simulate_layers(config, recipe, step, workspace)
    _with_copies(windows[loading.HELD], loading.warm_up_bytes(whole, quantizer), loading.expert_copies(whole))
    return windows, counts, total


def _shortened(
    config: Any,
    recipe: Recipe,
    step: StepSpec,
    workspace: int,
    cut: skeleton.Cut,
    whole: Any,
    marks: targets.Marks,
) -> tuple[dict[Window, Peak], Counts] | None:
    """None where the shortened model is not what it stands for.

    `marks`: targets of the whole one by layer, which have to be matched by the new numbers of layers too.
    """
    periods = skeleton.repeats(cut)
    found = []
    for number in periods:
        chosen = cut.layers(number)
        short = skeleton.shortened(config, chosen)
        model = skeleton.build(short, recipe.model, step, "eager")[0]
        if not skeleton.same_layers(model, whole, chosen):
            return None
        if targets.marks_of(model, recipe.adapter) != tuple(marks[number] for number in chosen):
            return None
        windows, counts = simulate_layers(short, recipe, step, workspace)
        found.append((layers.by_place(windows, cut, number), counts))
    (few, few_counts), (more, more_counts) = found
    windows_of_all = layers.extrapolated(few, more, periods, cut.repeats)
    if windows_of_all is None:
        return None
    return windows_of_all, layers.extrapolated_counts(few_counts, more_counts, periods, cut.repeats)


def _with_copies(held: Peak, warm_up: int, copies: int) -> None:
    """Add what loading allocates in one piece first, or beside the weights, where that is more."""
    weights = COMPONENTS.index("weights")
    held.parts[weights] = max(held.parts[weights] + copies, warm_up)
    held.total = sum(held.parts)


def _moments(windows: dict[Window, Peak], total: int) -> dict[Moment, Breakdown]:
    highest = layers.by_moment(windows, total)
    return {
        moment: dict(zip(COMPONENTS, highest[moment].parts, strict=True))
        for moment in MOMENTS
        if moment in highest
    }
