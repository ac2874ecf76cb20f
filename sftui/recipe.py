"""The recipe: one typed model, the single source for YAML, command line and form.

Field names are those of `transformers.TrainingArguments`, `peft.LoraConfig` and
`transformers.BitsAndBytesConfig` where they exist. Defaults are what a practitioner would choose
for QLoRA on one GPU. Reading and writing files is `sftui.recipe_file`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

Quantization = Literal["none", "nf4", "fp4", "int8"]
Dtype = Literal["float32", "bfloat16", "float16"]
Attention = Literal[
    "auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention", "varlen"
]
RowFormat = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "question_answer", "text"]
TrainOn = Literal["assistant", "last_assistant", "completion", "everything"]
Overlength = Literal["drop", "truncate", "error"]
TruncationSide = Literal["right", "left"]
SequencePer = Literal["conversation", "turn"]
BadRows = Literal["error", "drop"]
Packing = Literal["none", "next_fit", "best_fit", "wrapped"]
Interval = Literal["no", "steps", "epoch"]
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


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, assignments are validated."""

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `learning_rate: true`, which would be read as 1, and paths that no file can have."""
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind in (int, float, int | None):
            number = "a number" if kind is float else "a whole number"
            raise ValueError(f"found {value}, expected {number}")
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"found {value!r}, expected a text without NUL characters")
        return value


class ModelSection(Section):
    """Which model, and how its weights are held."""

    name_or_path: str = Field(min_length=1, description="Hub id (owner/name) or a local directory")
    revision: str | None = Field(None, description="branch, tag or commit of a Hub model; null: its default")
    quantization: Quantization = Field("nf4", description="how the frozen weights are stored")
    double_quant: bool = Field(True, description="quantise the quantisation constants too (nf4, fp4)")
    dtype: Dtype = Field("bfloat16", description="dtype of unquantised weights and of compute")
    attn_implementation: Attention = Field(
        "auto",
        description="attention kernel; auto: transformers chooses, and with packing the fastest that fits; "
        "varlen: sequences of a bin apart, without a mask",
    )
    trust_remote_code: bool = Field(False, description="run Python code shipped with the model")

    @property
    def short_name(self) -> str:
        """The name without owner or path; a folder only called `model` is known by the one it lies in."""
        return self.name_or_path.rstrip("/").removesuffix("/model").rsplit("/", 1)[-1]


class AdapterSection(Section):
    """The LoRA adapter. `adapter: null` trains all weights instead."""

    r: int = Field(16, ge=1, le=4096, description="rank of the update")
    lora_alpha: float = Field(32, gt=0, description="the update is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the adapter")
    dtype: Dtype = Field("float32", description="dtype of the adapter; compute follows model.dtype")
    target_modules: str | list[str] = Field(
        "all-linear",
        min_length=1,
        description="all-linear, a list of module name endings, or one regular expression",
    )
    use_rslora: bool = Field(False, description="scale by lora_alpha / sqrt(r)")
    use_dora: bool = Field(False, description="decompose into magnitude and direction")
    modules_to_save: list[str] = Field(
        default_factory=list, description="modules trained in full beside the adapter, e.g. lm_head"
    )


class Source(Section):
    """Where rows come from: a file, several, or a dataset of the Hub."""

    path: str = Field(
        min_length=1, description="a file, a pattern (data/*.jsonl), a folder, or a Hub dataset (owner/name)"
    )
    name: str | None = Field(None, description="configuration of a Hub dataset; null: its only one")
    split: str | None = Field(
        None, description="split of a Hub or saved dataset; null: train, or its only one"
    )
    revision: str | None = Field(None, description="branch, tag or commit of a Hub dataset")
    format: RowFormat = Field("auto", description="how a row is read; auto: recognised from its columns")
    columns: dict[str, str] = Field(
        default_factory=dict, description="our column name -> the file's, e.g. {prompt: question}"
    )
    limit: int | None = Field(None, ge=1, description="use only the first rows")
    weight: float = Field(
        1.0, gt=0, le=1000, description="how often its rows count: 0.5 a random half of them, 2 each twice"
    )


def source_list(value: Any) -> Any:
    """Accept `train: file.jsonl` and `train: [file.jsonl]` for the full form."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        return [{"path": item} if isinstance(item, str) else item for item in value]
    return value


Sources = Annotated[list[Source], BeforeValidator(source_list)]


class DataSection(Section):
    """What is trained on."""

    train: Sources = Field(min_length=1, description="the training rows")
    eval: Sources = Field(default_factory=list, description="held-out rows")
    eval_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of the training rows held out for evaluation"
    )
    train_on: TrainOn = Field("assistant", description="which turns are trained")
    sequence_per: SequencePer = Field(
        "conversation", description="one sequence a conversation, or one a trained turn, as the model sees it"
    )
    chat_template: str | None = Field(
        None,
        description="null: the model's own; else one of its names, chatml, llama2, gemma, mistral, plain, "
        "or a .jinja file",
    )
    max_length: int = Field(2048, ge=2, description="longest sequence, in tokens")
    overlength: Overlength = Field("drop", description="what happens to a longer sequence")
    truncation_side: TruncationSide = Field(
        "right", description="which end of a truncated sequence is cut; left keeps the last answer"
    )
    bad_rows: BadRows = Field("error", description="unreadable rows: refuse to start, or leave them out")
    packing: Packing = Field(
        "none",
        description="how sequences share bins of max_length: in order, best fit, or cut and filled (wrapped)",
    )
    repack_each_epoch: bool = Field(
        False, description="best_fit: in each epoch other sequences of the same lengths share bins"
    )

    @model_validator(mode="after")
    def _one_held_out_source(self) -> DataSection:
        if self.eval and self.eval_fraction:
            raise ValueError("eval and eval_fraction are both set: expected one of them")
        return self

    @model_validator(mode="after")
    def _repacks_best_fit_only(self) -> DataSection:
        if self.repack_each_epoch and self.packing != "best_fit":
            raise ValueError(
                f"repack_each_epoch is true and packing is {self.packing}: only best_fit can share bins "
                "differently in each epoch; expected packing: best_fit, or repack_each_epoch: false"
            )
        return self


class TrainingSection(Section):
    """How it is trained: names of `transformers.TrainingArguments`."""

    per_device_train_batch_size: int = Field(
        1, ge=1, description="sequences in one forward pass; bins with packing"
    )
    per_device_eval_batch_size: int = Field(1, ge=1, description="sequences in one evaluation pass")
    gradient_accumulation_steps: int = Field(8, ge=1, description="forward passes in one optimizer step")
    num_processes: int = Field(1, ge=1, le=64, description="processes on this machine, one a GPU (DDP)")
    num_train_epochs: float = Field(1.0, gt=0, description="passes over the data")
    max_steps: int = Field(-1, ge=-1, description="stop after so many optimizer steps; -1: whole epochs")
    learning_rate: float = Field(2.0e-4, gt=0, description="peak learning rate")
    lr_scheduler_type: Scheduler = Field("cosine", description="how the rate falls")
    warmup_steps: float = Field(0.03, ge=0, description="steps of warm-up; below 1: a share of all steps")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = Field(1.0, ge=0, description="clip the gradient to this norm; 0: do not clip")
    optim: Optimizer = Field("adamw_torch_fused", description="the optimizer")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    adam_epsilon: float = Field(1e-8, gt=0, description="epsilon of AdamW")
    gradient_checkpointing: bool = Field(True, description="recompute activations in the backward pass")
    eval_strategy: Interval = Field("steps", description="when to evaluate, if there are held-out rows")
    eval_steps: float = Field(0.1, gt=0, description="steps between evaluations; below 1: a share of all")
    eval_on_start: bool = Field(True, description="evaluate before the first step")
    save_strategy: Interval = Field("steps", description="when to write a checkpoint")
    save_steps: float = Field(0.1, gt=0, description="steps between checkpoints; below 1: a share of all")
    save_total_limit: int = Field(2, ge=1, description="checkpoints kept")
    sample_rows: int = Field(
        0, ge=0, le=100, description="held-out rows that the model answers before, after and on request"
    )
    sample_max_new_tokens: int = Field(128, ge=1, description="longest such answer, in tokens")
    seed: int = Field(42, ge=0, lt=2**32, description="seed of data order, initialisation and dropout")

    @field_validator("max_steps")
    @classmethod
    def _max_steps_is_not_zero(cls, value: int) -> int:
        if value == 0:
            raise ValueError("found 0, expected -1 (whole epochs) or at least 1")
        return value


class Recipe(Section):
    """Everything that determines a run."""

    model: ModelSection
    adapter: AdapterSection | None = Field(default_factory=AdapterSection)
    data: DataSection
    training: TrainingSection = Field(default_factory=TrainingSection)
    output_dir: str = Field("runs", min_length=1, description="where run directories are made")

    @model_validator(mode="after")
    def _can_be_trained(self) -> Recipe:
        if self.adapter is None and self.model.quantization != "none":
            raise ValueError(
                f"adapter is null and model.quantization is {self.model.quantization}: quantised weights "
                "cannot be trained; expected an adapter, or model.quantization: none"
            )
        if self.adapter is not None and self.adapter.dtype == "float16":
            raise ValueError("adapter.dtype is float16: small updates are lost; expected float32 or bfloat16")
        return self

    def summary(self) -> str:
        """The run in a line: model, method, data, effective batch, length, rate."""
        t, m = self.training, self.model
        if self.adapter is None:
            method = f"full {m.dtype}"
        elif m.quantization == "none":
            method = f"LoRA r{self.adapter.r} {m.dtype}"
        else:
            method = f"QLoRA {m.quantization} r{self.adapter.r}"
        batch = f"{t.per_device_train_batch_size}×{t.gradient_accumulation_steps}"
        if t.num_processes > 1:
            batch += f"×{t.num_processes}"
        data = ", ".join(source.path.rsplit("/", 1)[-1] for source in self.data.train)
        parts = (
            m.short_name,
            method,
            data,
            f"batch {batch}",
            f"length {self.data.max_length}",
            f"lr {t.learning_rate:g}",
        )
        return "  ".join(parts)
