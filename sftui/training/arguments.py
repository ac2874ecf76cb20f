"""The recipe's training section as `transformers.TrainingArguments`."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import transformers

from sftui.recipe import Recipe

# Handed on under the same name and with the same meaning.
SAME_NAME = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "optim",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "save_strategy",
    "save_steps",
    "seed",
)


def training_arguments(
    recipe: Recipe, output_dir: Path, *, evaluates: bool, resumes: bool, autocast: str | None, use_cpu: bool
) -> transformers.TrainingArguments:
    """Arguments for the installed transformers. `autocast` is "bfloat16", "float16" or None."""
    section = recipe.training
    known = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    values: dict[str, Any] = {name: getattr(section, name) for name in SAME_NAME}
    # transformers 5.2x calls it activation checkpointing; both mean the same.
    checkpointing = "activation_checkpointing"
    if checkpointing not in known:
        checkpointing = "gradient_checkpointing"
    values[checkpointing] = section.gradient_checkpointing
    if section.gradient_checkpointing:
        every = section.gradient_checkpointing_every
        # Plain where it is every layer: models whose own code enables it know nothing of others.
        chosen = {"every_n_layers": every} if every > 1 else {}
        values[f"{checkpointing}_kwargs"] = {"use_reentrant": False} | chosen
    return transformers.TrainingArguments(
        output_dir=str(output_dir),
        # The data order is a function of this seed and the epoch alone.
        data_seed=section.seed,
        # Clipping to infinity clips nothing, but the norm is still known.
        max_grad_norm=section.max_grad_norm or math.inf,
        eval_strategy=section.eval_strategy if evaluates else "no",
        eval_steps=section.eval_steps if evaluates else None,
        eval_on_start=section.eval_on_start and evaluates and not resumes,
        bf16=autocast == "bfloat16",
        fp16=autocast == "float16",
        use_cpu=use_cpu,
        ddp_backend="gloo" if use_cpu and section.num_processes > 1 else None,
        average_tokens_across_devices=True,
        remove_unused_columns=False,
        dataloader_pin_memory=not use_cpu,
        # Every step is an event of ours; the trainer's own log would grow with the run.
        logging_strategy="no",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        **values,
    )
