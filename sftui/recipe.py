"""The recipe: one typed model, the single source for YAML, command line and form.

Field names are those of `transformers.TrainingArguments`, `peft.LoraConfig` and
`transformers.BitsAndBytesConfig` where they exist. Defaults are what a practitioner would choose
for QLoRA on one GPU. The sections lie in `recipe_model`, `recipe_data` and `recipe_training`; their
names are public here. Reading and writing files is `sftui.recipe_file`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from sftui.recipe_data import (
    BadRows,
    DataSection,
    Overlength,
    Packing,
    RowFormat,
    SequencePer,
    Source,
    Sources,
    TrainOn,
    TruncationSide,
    source_list,
)
from sftui.recipe_model import AdapterSection, Attention, Dtype, ModelSection, Quantization
from sftui.recipe_section import About, Section
from sftui.recipe_training import Interval, Loss, Optimizer, Scheduler, TrainingSection
from sftui.words import exact

__all__ = [
    "AdapterSection",
    "Attention",
    "BadRows",
    "DataSection",
    "Dtype",
    "Interval",
    "Loss",
    "ModelSection",
    "Optimizer",
    "Overlength",
    "Packing",
    "Quantization",
    "Recipe",
    "RowFormat",
    "Scheduler",
    "Section",
    "SequencePer",
    "Source",
    "Sources",
    "TrainOn",
    "TrainingSection",
    "TruncationSide",
    "source_list",
]


class Recipe(Section):
    """Everything that determines a run."""

    model: ModelSection
    adapter: AdapterSection | None = Field(default_factory=AdapterSection)
    data: DataSection
    training: TrainingSection = Field(default_factory=TrainingSection)
    output_dir: Annotated[
        str,
        About(
            when="Set it to a disk with room for checkpoints. In a recipe file it is relative to that file.",
            usual="runs",
            meaning="path",
        ),
    ] = Field("runs", min_length=1, description="where run directories are made")

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
            f"lr {exact(t.learning_rate)}",
        )
        return "  ".join(parts)
