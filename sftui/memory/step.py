"""What the memory of one optimizer step follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sftui.memory.shape import ModelShape
from sftui.recipe import AdapterSection, Dtype, Optimizer, Recipe

Layout = Literal["plain", "padded", "flat", "packed_dense"]
Kernel = Literal["flash", "efficient", "eager", "math"]
Loss = Literal["stock", "chunked"]
Stored = Literal["none", "nf4", "fp4", "int8", "fp8"]
Half = Literal["bfloat16", "float16"]

AMPERE = (8, 0)  # CUDA's capability from which torch's flash attention runs
LARGEST_FLASH_HEAD = 256  # of the flash attention kernels that torch brings
LOSS_CHUNK = 1024  # tokens
# Bytes that cuBLAS keeps for each handle (CUDABlas.cpp, getChosenWorkspaceSize).
_CUBLAS, _CUBLAS_SM90 = 8_519_680, 32 * 2**20
# Of a chunk: beyond this many, logits take most of the memory without making the products any faster.
_CHUNK_LOGITS = 2**26
_FLASH = ("flash_attention_2", "flash_attention_3")
_SMALLEST_CHUNK = 128  # tokens: fewer leave a GPU idle


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """The adapter: names as in `peft.LoraConfig`; `targets` as the recipe's `target_modules`."""

    r: int
    dropout: float = 0.0
    dtype: Dtype = "float32"
    targets: str | tuple[str, ...] = "all-linear"
    use_dora: bool = False
    modules_to_save: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """One evaluation pass: `rows` padded sequences, `length` tokens each.

    `windows`: attention takes sliding windows, and padded rows, without a dense mask.
    """

    rows: int
    length: int
    windows: bool = False


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One optimizer step on one device.

    `rows` sequences (bins where packed) of `length` tokens are one micro-batch. `layout`: "plain" has no mask
    and no padding, "padded" a mask (rows, length), "flat" is packed with all bins in one row and no mask,
    "packed_dense" packed with a mask (rows, 1, length, length). `attention` computes layers that have no
    mask, or a mask of the layout; with `windows` it takes sliding windows by itself, without it (sdpa) a
    layer whose window is no longer than `length` gets a dense mask, and so does each sequence of flat rows,
    which go one by one there.
    `checkpointing`: 0 none, n runs every n-th layer again in the backward pass; the others keep their
    activations. `weighted`: tokens have weights. `shard`: weights, gradients and states divided over
    `processes` (FSDP). `capability`: CUDA's, of the device; None for one from 8.0 to before 9.0.
    """

    rows: int
    length: int
    layout: Layout = "plain"
    dtype: Dtype = "bfloat16"
    master_float32: bool = False
    quantization: Stored = "none"
    double_quant: bool = True
    adapter: AdapterSpec | None = None
    autocast: Half | None = None
    checkpointing: int = 1
    attention: Kernel = "flash"
    windows: bool = False
    loss: Loss = "stock"
    loss_chunk: int = LOSS_CHUNK
    weighted: bool = False
    optimizer: Optimizer = "adamw_torch_fused"
    accumulation: int = 1
    processes: int = 1
    shard: bool = False
    evaluation: EvaluationSpec | None = None
    capability: tuple[int, int] | None = None

    @property
    def cublas_workspace(self) -> int:
        """Bytes of one workspace of cuBLAS on the device."""
        return _CUBLAS_SM90 if self.capability is not None and self.capability >= (9, 0) else _CUBLAS

    @property
    def flash(self) -> bool:
        """Whether the device has torch's flash attention."""
        return self.capability is None or self.capability >= AMPERE

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch, padding included."""
        return self.rows * self.length

    @property
    def weight_dtype(self) -> Dtype:
        """What unquantised weights are held in."""
        return "float32" if self.master_float32 else self.dtype


def step_of(
    recipe: Recipe,
    shape: ModelShape,
    *,
    length: int | None = None,
    evaluation_length: int | None = None,
    capability: tuple[int, int] | None = None,
) -> StepSpec:
    """The step of a recipe on a CUDA device of this compute capability; None for 8.0 to 8.9.

    `length` is that of the longest sequence that is trained on, `evaluation_length` of the longest held out,
    where they are known; else every row is `data.max_length` tokens.
    """
    model, data, training = recipe.model, recipe.data, recipe.training
    longest = min(length, data.max_length) if length and data.packing == "none" else data.max_length
    rows = training.per_device_train_batch_size
    flash = capability is None or capability >= AMPERE
    layout, attention, windows = _attention(recipe, shape, rows, flash=flash)
    evaluation = EvaluationSpec(
        training.per_device_eval_batch_size,
        min(evaluation_length or data.max_length, data.max_length),
        # Attention of packed rows is sdpa where they are not packed.
        windows and (layout != "flat" or model.attn_implementation in _FLASH),
    )
    held_out = bool(data.eval or data.eval_fraction) and training.eval_strategy != "no"
    return StepSpec(
        rows=rows,
        length=longest,
        layout=layout,
        dtype=model.dtype,
        master_float32=recipe.adapter is None and model.dtype == "float16",
        quantization=model.quantization,
        double_quant=model.double_quant,
        adapter=None if recipe.adapter is None else _adapter(recipe.adapter),
        autocast=autocast_dtype(recipe),
        checkpointing=training.gradient_checkpointing_every if training.gradient_checkpointing else 0,
        attention=attention,
        windows=windows,
        loss=training.loss,
        loss_chunk=loss_chunk(shape.vocab),
        weighted=any(source.weight != 1 for source in data.train),
        optimizer=training.optim,
        accumulation=training.gradient_accumulation_steps,
        processes=training.num_processes,
        evaluation=evaluation if held_out else None,
        capability=capability,
    )


def loss_chunk(vocab: int) -> int:
    """Tokens in a chunk of the loss of a model with so many words: a power of two."""
    fitting = max(1, _CHUNK_LOGITS // vocab)
    return min(LOSS_CHUNK, max(_SMALLEST_CHUNK, 1 << (fitting.bit_length() - 1)))


def autocast_dtype(recipe: Recipe) -> Half | None:
    """The half type that autocast computes in, or None where everything has the same type already.

    Autocast is needed where trained weights are float32 and the model is not: an adapter in
    float32 on a half-precision model, or all weights trained with model.dtype float16, which are
    then held in float32 since a gradient scaler cannot work on half gradients.
    """
    half = recipe.model.dtype
    if half == "float32":
        return None
    if recipe.adapter is None:
        return half if half == "float16" else None
    return half if recipe.adapter.dtype != half else None


def _adapter(section: AdapterSection) -> AdapterSpec:
    targets = section.target_modules
    return AdapterSpec(
        r=section.r,
        dropout=section.lora_dropout,
        dtype=section.dtype,
        targets=targets if isinstance(targets, str) else tuple(targets),
        use_dora=section.use_dora,
        modules_to_save=tuple(section.modules_to_save),
    )


def _attention(recipe: Recipe, shape: ModelShape, rows: int, *, flash: bool) -> tuple[Layout, Kernel, bool]:
    """(layout, kernel, whether the kernel takes windows), as the trainer and transformers choose them.

    `flash`: the device has torch's flash attention.
    """
    wanted, packs = recipe.model.attn_implementation, recipe.data.packing != "none"
    half = recipe.model.dtype != "float32"
    capped = shape.attention_softcap is not None
    unpacked: Layout = "plain" if rows == 1 else "padded"
    if wanted in _FLASH:
        return ("flat" if packs else unpacked), "flash", True
    if wanted == "flex_attention" or (wanted == "auto" and packs and half and capped):
        # Compiled: like flash attention it keeps a number a row of scores, and no mask.
        return "plain", "flash", True
    if packs and wanted in ("auto", "varlen") and not capped:
        # One kernel for all sequences, or each by itself with its heads repeated.
        at_once = flash and half and _takes_all(shape)
        each: Kernel = "flash" if flash and half and shape.head_dim <= LARGEST_FLASH_HEAD else "efficient"
        return ("flat", "flash", True) if at_once else ("flat", each, False)
    layout: Layout = "packed_dense" if packs else unpacked
    if wanted == "eager" or capped:
        return layout, "eager", False
    return layout, fused_kernel(shape, half=half, masked=layout != "plain", flash=flash), False


def _takes_all(shape: ModelShape) -> bool:
    # The one for all sequences drops nothing out.
    return shape.head_dim <= LARGEST_FLASH_HEAD and shape.head_dim % 8 == 0 and not shape.attention_dropout


def fused_kernel(shape: ModelShape, *, half: bool, masked: bool, flash: bool = True) -> Kernel:
    """The kernel behind scaled_dot_product_attention on CUDA for this model.

    `flash`: the device has flash attention (sdp_utils.cpp: capability 8.0 or higher). One that has not has no
    bfloat16 either, which the trainer refuses there.
    """
    if masked:
        return "efficient"  # key and value heads are repeated for it
    if flash and half and shape.head_dim <= LARGEST_FLASH_HEAD:
        return "flash"
    # Without a mask, transformers leaves groups of heads to the kernel up to this size of a head, and
    # only flash attention can do them.
    grouped = shape.kv_heads != shape.heads and shape.head_dim <= LARGEST_FLASH_HEAD
    return "math" if grouped else "efficient"
