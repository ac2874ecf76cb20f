"""One optimizer step of the trainer on a model without values, and the bytes that it takes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from sftui.memory.step import StepSpec
from sftui.recipe import Recipe
from sftui.training import chunked_loss, varlen
from sftui.training.arguments import training_arguments
from sftui.training.attention import DTYPES
from sftui.training.model import add_adapter, cast_adapter
from sftui.training.simulation import autocast, kernels, loading, skeleton
from sftui.training.simulation.batches import micro_batch
from sftui.training.simulation.counting import LiveBytes, Peak, Window, rounded
from sftui.training.simulation.cuda import as_cuda
from sftui.training.simulation.engine import backward
from sftui.training.simulation.parameters import Counts, counts_of
from sftui.training.simulation.windows import Windows
from sftui.training.trainer import SftTrainer

META = "meta"
_UNMASKED = "sftui_simulated_unmasked"
FLAT = "sftui_simulated_flat"


class _Accelerator:
    """What the trainer asks accelerate for in a step on one device."""

    num_processes = 1
    scaler = None


def simulate_layers(
    config: Any, recipe: Recipe, step: StepSpec, workspace: int
) -> tuple[dict[Window, Peak], Counts]:
    """The peak of each window of a step of this model, all its layers, and its numbers of parameters.

    `workspace`: bytes that libraries keep from the first product on.
    """
    _register()
    whole = [step.layout == "plain"]
    counter = LiveBytes(META, kernels.WORKSPACES, kernels.answers(lambda: whole[0]))
    model, quantizer = skeleton.build(config, recipe.model, step, _attention_name(step))
    with ExitStack() as stack:
        mode = stack.enter_context(autocast.meta_autocast(used=step.autocast is not None))
        stack.enter_context(counter)
        # Kernels that do not come from torch, or are compiled, may be there where its own is not.
        flash = step.flash or step.attention == "flash"
        stack.enter_context(as_cuda(counter, step.attention, flash=flash))
        loading.load(model, quantizer, counter)
        counter.enter(("load", "adapter"))
        if recipe.adapter is not None:
            with counter.making("adapter"), torch.device(META):
                model = add_adapter(model, recipe.adapter)
                # Its peak grows otherwise with the number of layers: a window of its own.
                counter.enter(("load", "cast"))
                cast_adapter(model, recipe.adapter)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        counter.count(trained, "weights" if recipe.adapter is None else "adapter")
        _enable_checkpointing(model, recipe, step)
        # Where the trainer has a reason to take the stock loss, so does the simulation.
        chunked = step.loss == "chunked" and chunked_loss.install(model) is None
        trainer = dry_trainer(model, recipe, step.loss_chunk if chunked else 0)
        windows = Windows(model, counter)
        if step.autocast is not None:
            autocast.prepare(model, DTYPES[step.autocast], mode)
            mode.released = windows.released
        counter.enter(("optimizer_step", "clip"))
        counter.reserve(workspace, "workspace")
        if step.processes > 1:  # what DDP reduces gradients in
            counter.reserve(sum(rounded(each.numel() * each.element_size()) for each in trained), "gradients")
        states = _step(trainer, trained, step, counter, windows)
        whole[0] = step.evaluation is not None and step.evaluation.rows == 1
        _evaluate(trainer, step, windows)
        # Tensors are written from where they are, one after the other.
        counter.enter(("save", "weights"))
        del states
    return counter.windows, counts_of(model)


def dry_trainer(model: Any, recipe: Recipe, loss_chunk: int) -> SftTrainer:
    """The trainer, without data, device or run directory: enough for its loss and its optimizer."""
    trainer: Any = object.__new__(SftTrainer)
    trainer.model, trainer.recipe, trainer.loss_chunk = model, recipe, loss_chunk
    trainer.args = training_arguments(
        recipe, Path("unused"), evaluates=False, resumes=False, autocast=None, use_cpu=True
    )
    trainer.optimizer = trainer.optimizer_cls_and_kwargs = None
    trainer.accelerator = _Accelerator()
    trainer._micro_losses, trainer._micro_rows, trainer._micro_counts = [], [], []
    found: SftTrainer = trainer
    return found


def _step(
    trainer: SftTrainer,
    trained: list[torch.nn.Parameter],
    step: StepSpec,
    counter: LiveBytes,
    windows: Windows,
) -> Any:
    """A step after the first: optimizer states are there, and gradients too where several micro-batches add
    up. Returns what lives on: the optimizer."""
    model: Any = trainer.model
    model.train()
    fits = step.layout != "flat" or varlen_kernel(model, step)
    # The trainer draws all micro-batches of a step before the first.
    batches = [
        micro_batch(step.layout, step.rows, step.length, weighted=step.weighted, kernel=fits)
        for _ in range(step.accumulation)
    ]
    items = torch.zeros((), device=META)
    each: Any
    for each in trained:
        each.register_post_accumulate_grad_hook(lambda it: counter.count([it.grad], "gradients"))
    optimizer = trainer.create_optimizer()
    with counter.making("gradients"):
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
    _update(model, optimizer, trainer, counter)
    if step.accumulation == 1:
        model.zero_grad()
    windows.begin_forward()
    loss = trainer.compute_loss(model, batches[-1], num_items_in_batch=items)
    windows.begin_backward()
    backward(loss)
    windows.end()
    del loss
    _update(model, optimizer, trainer, counter)
    model.zero_grad()
    return optimizer


def _update(model: Any, optimizer: Any, trainer: SftTrainer, counter: LiveBytes) -> None:
    """The gradients are clipped as accelerate does it, and the optimizer steps."""
    with counter.making("optimizer"):
        counter.enter(("optimizer_step", "clip"))
        torch.nn.utils.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        counter.enter(("optimizer_step", "update"))
        optimizer.step()


def _evaluate(trainer: SftTrainer, step: StepSpec, windows: Windows) -> None:
    if step.evaluation is None:
        return
    model: Any = trainer.model
    if step.evaluation.windows and step.layout == "flat":
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        base.set_attn_implementation(_UNMASKED)
    windows.begin_evaluation()
    model.eval()
    rows, length = step.evaluation.rows, step.evaluation.length
    batch = micro_batch("plain" if rows == 1 else "padded", rows, length, weighted=step.weighted)
    targets, weights = batch.pop("labels"), batch.pop("weights", None)
    del batch["rows"], batch["counts"]
    with torch.no_grad():
        chunked_loss.summed_loss(model, batch, targets, weights, chunk=trainer.loss_chunk).double()
    windows.end()


def varlen_kernel(model: Any, step: StepSpec) -> bool:
    """Whether packed rows go to one kernel for all sequences; each sequence to its own otherwise."""
    text = model.config.get_text_config()
    heads = getattr(text, "num_attention_heads", None) or 1
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    windows = getattr(text, "sliding_window", None) is not None
    if getattr(text, "attention_dropout", 0.0):
        return False
    return varlen.has_kernel(torch.device(META), DTYPES[step.dtype], size, windows=windows)


def _enable_checkpointing(model: Any, recipe: Recipe, step: StepSpec) -> None:
    """As `transformers.Trainer.train` does it with the arguments of `training_arguments`."""
    if not step.checkpointing:
        return
    options: dict[str, Any] = {"every_n_layers": step.checkpointing} if step.checkpointing > 1 else {}
    settings = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings, **options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings, **options)


def _attention_name(step: StepSpec) -> str | None:
    """None: transformers chooses, sdpa where the model can."""
    if step.attention == "eager":
        return "eager"
    if step.layout == "flat":
        return FLAT if step.windows else varlen.NAME
    return _UNMASKED if step.windows else None


def _register() -> None:
    varlen.register()
    AttentionInterface.register(_UNMASKED, _unmasked)
    AttentionMaskInterface.register(_UNMASKED, lambda *_, **__: None)
    AttentionInterface.register(FLAT, _flat)
    AttentionMaskInterface.register(FLAT, AttentionMaskInterface()[varlen.NAME])


def _flat(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """Packed rows of a kernel that caps scores by itself, as flash attention does."""
    options.pop("softcap", None)
    return AttentionInterface()[varlen.NAME](module, query, key, value, attention_mask, **options)


def _unmasked(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """A kernel that takes windows and caps by itself: no mask, whatever they are."""
    for name in ("sliding_window", "softcap"):
        options.pop(name, None)
    return sdpa_attention_forward(module, query, key, value, None, **options)
