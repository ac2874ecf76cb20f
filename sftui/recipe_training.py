"""The recipe's section `training`: how many steps, how large, and what is written on the way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sftui.recipe_section import About, Section
from sftui.recipe_step import Decades, Multiples, SharesOrCounts, Values

Interval = Literal["no", "steps", "epoch"]
Loss = Literal["chunked", "stock"]
Optimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_bnb_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "lion_32bit",
    "lion_8bit",
    "adafactor",
    "sgd",
]
Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
]


class TrainingSection(Section):
    """How it is trained: names of `transformers.TrainingArguments`."""

    per_device_train_batch_size: Annotated[
        int,
        About(
            when="Up while memory is left: the GPU is used better. Lower gradient_accumulation_steps as much "
            "to keep the effective batch.",
            usual="1 to 16",
            unit="sequences",
            step=Multiples(1),
            most=1_000_000,
        ),
    ] = Field(1, ge=1, description="sequences in one forward pass; bins with packing")
    per_device_eval_batch_size: Annotated[
        int,
        About(
            when="Up to evaluate faster: no activations are kept for a backward pass.",
            usual="1 to 4 times the training batch",
            unit="sequences",
            step=Multiples(1),
            most=1_000_000,
        ),
    ] = Field(1, ge=1, description="sequences in one evaluation pass")
    gradient_accumulation_steps: Annotated[
        int,
        About(
            when="Up for a larger effective batch (batch size x accumulation x processes) without more "
            "memory; down when a run has too few steps.",
            usual="an effective batch of 8 to 128 sequences",
            unit="forward passes",
            step=Multiples(1),
            most=1_000_000,
        ),
    ] = Field(8, ge=1, description="forward passes in one optimizer step")
    num_processes: Annotated[
        int,
        About(
            when="As many as there are GPUs to use. The effective batch grows with it.",
            usual="1",
            unit="processes",
            step=Multiples(1),
        ),
    ] = Field(1, ge=1, le=64, description="processes on this machine, one a GPU (DDP)")
    num_train_epochs: Annotated[
        float,
        About(
            when="Up for few rows while the evaluation loss still falls; down when it rises.",
            usual="1 to 3",
            unit="epochs",
            step=Multiples(0.5),
            most=1_000_000,
        ),
    ] = Field(1.0, gt=0, description="passes over the data")
    max_steps: Annotated[
        int,
        About(
            when="Set it for a short trial. It takes the place of num_train_epochs.",
            usual="-1; 10 to 100 for a trial",
            unit="steps",
            step=Decades(),
            most=10**9,
        ),
    ] = Field(-1, ge=-1, description="stop after so many optimizer steps; -1: whole epochs")
    learning_rate: Annotated[
        float,
        About(
            when="Down when the loss jumps or the gradient norm grows; up when the loss hardly falls.",
            usual="1e-4 to 3e-4 with an adapter, 5e-6 to 5e-5 for full fine-tuning",
            step=Decades(),
            most=1_000_000,
        ),
    ] = Field(2.0e-4, gt=0, description="peak learning rate")
    lr_scheduler_type: Annotated[
        Scheduler,
        About(
            when="constant_with_warmup when you do not know yet how long you will train.",
            usual="cosine or linear",
        ),
    ] = Field("cosine", description="how the rate falls")
    warmup_steps: Annotated[
        float,
        About(
            when="Up when the first steps are unsteady or the run is short. constant has no warm-up.",
            usual="0.03 to 0.1",
            unit="steps or share",
            step=SharesOrCounts(0.01),
            most=10**9,
        ),
    ] = Field(0.03, ge=0, description="steps of warm-up; below 1: a share of all steps")
    weight_decay: Annotated[
        float,
        About(
            when="Up a little when a full fine-tuning overfits; an adapter rarely needs it.",
            usual="0 to 0.1",
            step=Multiples(0.01),
            most=10_000,
        ),
    ] = Field(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: Annotated[
        float,
        About(
            when="Down (0.3) when single batches throw the run off; 0 only to see what happens without.",
            usual="0.3 to 1",
            step=Multiples(0.1),
            most=10**12,
        ),
    ] = Field(1.0, ge=0, description="clip the gradient to this norm; 0: do not clip")
    optim: Annotated[
        Optimizer,
        About(
            when="An 8-bit or paged one when memory is short and many weights are trained; with a small "
            "adapter it saves little. lion wants a learning rate three to ten times lower.",
            usual="adamw_torch_fused; paged_adamw_8bit for full fine-tuning",
        ),
    ] = Field("adamw_torch_fused", description="the optimizer")
    adam_beta1: Annotated[
        float,
        About(
            when="Leave it, unless you repeat a published run.",
            usual="0.9",
            step=Values((0.0, 0.5, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)),
        ),
    ] = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    adam_beta2: Annotated[
        float,
        About(
            when="Down (0.95 to 0.99) for large batches or when the loss spikes late in the run.",
            usual="0.95 to 0.999",
            step=Values((0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)),
        ),
    ] = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    adam_epsilon: Annotated[
        float,
        About(
            when="Up (1e-6) when updates of weights with tiny gradients are unsteady.",
            usual="1e-8",
            step=Decades(),
            most=1000,
        ),
    ] = Field(1e-8, gt=0, description="epsilon of AdamW")
    loss: Annotated[
        Loss,
        About(
            when="stock to compare, or where a model's own loss is wanted. It needs memory for all logits.",
            usual="chunked",
        ),
    ] = Field(
        "chunked",
        description="chunked: logits of some trained tokens at a time; stock: of all tokens at once",
    )
    gradient_checkpointing: Annotated[
        bool,
        About(
            when="Off when memory is left: a step is then about a quarter shorter.",
            usual="true",
        ),
    ] = Field(True, description="recompute activations in the backward pass")
    gradient_checkpointing_every: Annotated[
        int,
        About(
            when="Up when some memory is left, but not enough to switch checkpointing off.",
            usual="1 to 4",
            unit="layers",
            step=Multiples(1),
            most=10_000,
        ),
    ] = Field(1, ge=1, description="recompute those of every n-th layer; the others keep theirs")
    eval_strategy: Annotated[
        Interval,
        About(
            when="epoch for runs of several epochs; no when evaluation takes too long.",
            usual="steps",
        ),
    ] = Field("steps", description="when to evaluate, if there are held-out rows")
    eval_steps: Annotated[
        float,
        About(
            when="Down to see earlier that the loss turns; up when evaluation takes much of the run.",
            usual="0.05 to 0.2",
            unit="steps or share",
            step=SharesOrCounts(0.05),
            most=10**9,
        ),
    ] = Field(0.1, gt=0, description="steps between evaluations; below 1: a share of all")
    eval_on_start: Annotated[
        bool,
        About(
            when="Off when many rows are held out. On, the first value is that of the untuned model.",
            usual="true",
        ),
    ] = Field(True, description="evaluate before the first step")
    save_strategy: Annotated[
        Interval,
        About(
            when="epoch to write one at the end of each; no for a trial that need not be resumed.",
            usual="steps",
        ),
    ] = Field("steps", description="when to write a checkpoint")
    save_steps: Annotated[
        float,
        About(
            when="Down when hours may be lost; up when checkpoints are large (full fine-tuning).",
            usual="0.05 to 0.25",
            unit="steps or share",
            step=SharesOrCounts(0.05),
            most=10**9,
        ),
    ] = Field(0.1, gt=0, description="steps between checkpoints; below 1: a share of all")
    save_total_limit: Annotated[
        int,
        About(
            when="Up to go back further, where the disk has room.",
            usual="2 to 5",
            unit="kept",
            step=Multiples(1),
            most=10**9,
        ),
    ] = Field(2, ge=1, description="checkpoints kept")
    sample_rows: Annotated[
        int,
        About(
            when="Set it to see answers beside the loss. Each takes some seconds.",
            usual="0 to 5",
            unit="rows",
            step=Multiples(1),
        ),
    ] = Field(
        0, ge=0, le=100, description="held-out rows that the model answers before, after and on request"
    )
    sample_max_new_tokens: Annotated[
        int,
        About(
            when="Up when answers are cut off, as those with reasoning are.",
            usual="64 to 512",
            unit="tokens",
            step=Multiples(64),
            most=10**8,
        ),
    ] = Field(128, ge=1, description="longest such answer, in tokens")
    seed: Annotated[
        int,
        About(
            when="Change it to see how much of a difference between two runs is chance.",
            usual="any; the same for runs to compare",
            step=Multiples(1),
        ),
    ] = Field(42, ge=0, lt=2**32, description="seed of data order, initialisation and dropout")

    @field_validator("max_steps")
    @classmethod
    def _max_steps_is_not_zero(cls, value: int) -> int:
        if value == 0:
            raise ValueError("found 0, expected -1 (whole epochs) or at least 1")
        return value
