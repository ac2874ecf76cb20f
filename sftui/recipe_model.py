"""The recipe's sections `model` and `adapter`: which weights there are, and which of them are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sftui.recipe_section import About, Section
from sftui.recipe_step import Multiples, Powers

Quantization = Literal["none", "nf4", "fp4", "int8", "fp8"]
Dtype = Literal["float32", "bfloat16", "float16"]
Attention = Literal[
    "auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention", "varlen"
]


class ModelSection(Section):
    """Which model, and how its weights are held."""

    name_or_path: Annotated[
        str,
        About(
            when="Take an instruct model to teach it a task, a base model to give it a new style or format. "
            "A smaller one first shows whether the data is right.",
            usual="an instruct model of 1 to 14 B parameters",
            meaning="model",
        ),
    ] = Field(min_length=1, description="Hub id (owner/name) or a local directory")
    revision: Annotated[
        str | None,
        About(
            when="Set it to a commit so that the same weights are loaded next year.",
            usual="null; a commit for work that must be repeatable",
        ),
    ] = Field(None, description="branch, tag or commit of a Hub model; null: its default")
    quantization: Annotated[
        Quantization,
        About(
            when="nf4 when memory is short; int8 and fp8 are closer to the weights at twice the size. none "
            "for LoRA on unquantised weights, for full fine-tuning, and when the adapter will be merged.",
            usual="nf4 (QLoRA) or none (LoRA, full)",
        ),
    ] = Field("nf4", description="how the frozen weights are stored")
    double_quant: Annotated[
        bool,
        About(
            when="Off only to compare: it saves about 0.4 bit a weight and costs next to nothing.",
            usual="true",
        ),
    ] = Field(True, description="quantise the quantisation constants too (nf4, fp4)")
    dtype: Annotated[
        Dtype,
        About(
            when="float16 on GPUs without bfloat16 (before Ampere); float32 to look for numerical trouble, "
            "at twice the memory.",
            usual="bfloat16",
        ),
    ] = Field("bfloat16", description="dtype of unquantised weights and of compute")
    attn_implementation: Annotated[
        Attention,
        About(
            when="Name one when auto takes a kernel that is slow or wrong for your model; eager to compare.",
            usual="auto",
        ),
    ] = Field(
        "auto",
        description="attention kernel; auto: transformers chooses, and with packing the fastest that fits; "
        "varlen: sequences of a bin apart, without a mask",
    )
    trust_remote_code: Annotated[
        bool,
        About(
            when="On only for a model that needs it and whose code you have read: it runs with your rights. "
            "Set revision to the commit you read.",
            usual="false",
        ),
    ] = Field(False, description="run Python code shipped with the model")

    @property
    def short_name(self) -> str:
        """The name without owner or path; a folder only called `model` is known by the one it lies in."""
        return self.name_or_path.rstrip("/").removesuffix("/model").rsplit("/", 1)[-1]


class AdapterSection(Section):
    """The LoRA adapter. `adapter: null` trains all weights instead."""

    r: Annotated[
        int,
        About(
            when="Up when the training loss stays high on much data, or much new knowledge is to be learned; "
            "down to save memory or when few rows are learned by heart.",
            usual="8 to 64",
            step=Powers(),
        ),
    ] = Field(16, ge=1, le=4096, description="rank of the update")
    lora_alpha: Annotated[
        float,
        About(
            when="Keep its ratio to r when you change r. Doubling it acts much like a higher learning rate.",
            usual="r to 2 r",
            step=Powers(),
            most=1_000_000,
        ),
    ] = Field(32, gt=0, description="the update is scaled by lora_alpha / r")
    lora_dropout: Annotated[
        float,
        About(
            when="Up when the evaluation loss rises while the training loss falls. Above 0 each adapted "
            "layer keeps a copy of its input in memory.",
            usual="0 to 0.1",
            step=Multiples(0.05),
        ),
    ] = Field(0.0, ge=0, lt=1, description="dropout before the adapter")
    dtype: Annotated[
        Dtype,
        About(
            when="bfloat16 saves memory at large ranks, but loses small updates; float16 is refused.",
            usual="float32",
        ),
    ] = Field("float32", description="dtype of the adapter; compute follows model.dtype")
    target_modules: Annotated[
        str | list[str],
        About(
            when="Fewer modules (q_proj, v_proj) save memory and time; all learn more at the same rank. Put "
            "a pattern that has a comma in quotes.",
            usual="all-linear",
        ),
    ] = Field(
        "all-linear",
        min_length=1,
        description="all-linear, a list of module name endings, or one regular expression",
    )
    use_rslora: Annotated[
        bool,
        About(
            when="On with high ranks (64 and more), where lora_alpha / r makes the update too small. "
            "The update grows: begin with a lower learning rate.",
            usual="false",
        ),
    ] = Field(False, description="scale by lora_alpha / sqrt(r)")
    use_dora: Annotated[
        bool,
        About(
            when="On when a low rank falls short of full fine-tuning. It is slower and takes more memory.",
            usual="false",
        ),
    ] = Field(False, description="decompose into magnitude and direction")
    modules_to_save: Annotated[
        list[str],
        About(
            when="Add embed_tokens and lm_head when the template uses tokens that the model never learned. "
            "They are large: look at the memory.",
            usual="none",
        ),
    ] = Field(default_factory=list, description="modules trained in full beside the adapter, e.g. lm_head")
