"""Load the model, quantise it, attach the adapter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from peft.utils.error import NoMatchingPeftModuleError

from sftui.checks.adapter import mixed
from sftui.checks.device import AMPERE, Target, cannot, too_many
from sftui.checks.finding import raise_error
from sftui.errors import InputError
from sftui.memory.stored import require_as_stored
from sftui.packing_support import refusal
from sftui.recipe import AdapterSection, ModelSection, Recipe
from sftui.training.attention import DTYPES, choose_attention, use_attention
from sftui.training.fp8 import Fp8Config


def device() -> torch.device:
    """Where this process trains: its own CUDA device, made the current one, or the CPU.

    Raises `InputError` where the recipe wants more processes than there are GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise too_many(int(os.environ.get("WORLD_SIZE", "1")), there).as_error()
    # Kernels of bitsandbytes run on the current device, whatever device their tensors are on.
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def check_device(recipe: Recipe, where: torch.device) -> None:
    """Refuse what this device cannot do, before anything is loaded."""
    target = Target(None)
    if where.type == "cuda":
        target = Target(
            torch.cuda.get_device_name(where),
            bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
            # Capabilities of other makers' GPUs mean something else.
            ampere=None if torch.version.hip else torch.cuda.get_device_capability(where) >= AMPERE,
        )
    raise_error(cannot(recipe, target))


def load_model(recipe: Recipe, where: torch.device) -> Any:
    """The model of the recipe on its device, quantised, with the adapter attached and ready to train."""
    model = _load_base(recipe, where)
    model.config.use_cache = False
    if recipe.adapter is not None:
        raise_error(mixed(recipe, _linear(model)))
        model = attach_adapter(model, recipe.adapter)
    return model


def _linear(model: Any) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]


def _load_base(recipe: Recipe, where: torch.device) -> Any:
    section = recipe.model
    config = transformers.AutoConfig.from_pretrained(
        section.name_or_path, revision=section.revision, trust_remote_code=section.trust_remote_code
    )
    require_causal(config)
    values = config.to_dict()
    require_as_stored(values, section)
    if recipe.data.packing != "none":
        _require_packing(section, values)
    amp_master_weights = recipe.adapter is None and section.dtype == "float16"
    options: dict[str, Any] = {
        "dtype": torch.float32 if amp_master_weights else DTYPES[section.dtype],
        "revision": section.revision,
        "trust_remote_code": section.trust_remote_code,
        "quantization_config": quantization_config(section),
        "device_map": {"": where},
    }
    if section.attn_implementation not in ("auto", "varlen"):
        options["attn_implementation"] = section.attn_implementation
    model = transformers.AutoModelForCausalLM.from_pretrained(
        section.name_or_path, **{key: value for key, value in options.items() if value is not None}
    )
    use_attention(model, choose_attention(recipe, model, where))
    _keep_trainable_on_cpu(model)
    return model


def require_causal(config: Any) -> None:
    """Raise `InputError` for the configuration of a model that does not continue text."""
    kind = config.model_type
    # GPT-NeoX has the setting of an encoder, and does not read it.
    encoder = getattr(config, "is_decoder", None) is False and not kind.startswith("gpt_neox")
    if encoder or getattr(config, "is_encoder_decoder", False):
        problem = f"{kind} has an encoder, which reads text in both directions"
    elif type(config) in transformers.AutoModelForCausalLM._model_mapping or "AutoModelForCausalLM" in (
        getattr(config, "auto_map", None) or {}
    ):
        return
    else:
        problem = f"transformers has no causal language model of type {kind}"
    raise InputError(
        problem, key="model.name_or_path", hint="expected a model that continues text, such as llama or qwen3"
    )


def _require_packing(section: ModelSection, config: Mapping[str, Any]) -> None:
    """Refuse, before weights are loaded, a model whose sequences would not stay apart in a bin."""
    reason = refusal(config)
    if reason is not None:
        raise InputError(
            f"{section.name_or_path} cannot be packed: {reason}",
            key="data.packing",
            hint="expected packing: none",
        )


def _keep_trainable_on_cpu(model: Any) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first forward pass in evaluation mode.

    On CPUs with AVX512-BF16 it does so for good, and the packed kernel has no backward: after one
    evaluation, training would go on with most gradients silently missing (bitsandbytes 0.50).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def quantization_config(section: ModelSection) -> Any:
    """The settings of the recipe's quantisation for transformers, None where weights are not quantised."""
    if section.quantization == "none":
        return None
    if section.quantization == "fp8":
        return Fp8Config()
    if section.quantization == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=section.quantization,
        bnb_4bit_use_double_quant=section.double_quant,
        bnb_4bit_compute_dtype=DTYPES[section.dtype],
        # The type the packed weights are stored as; uint8 is what every version reads.
        bnb_4bit_quant_storage=torch.uint8,
    )


def attach_adapter(model: Any, section: AdapterSection) -> Any:
    """Freeze the model and add LoRA to it, in the type that the recipe says."""
    adapted = add_adapter(model, section)
    cast_adapter(adapted, section)
    return adapted


def add_adapter(model: Any, section: AdapterSection) -> Any:
    """Freeze the model and add LoRA to it, in a type that PEFT chooses.

    `peft.prepare_model_for_kbit_training` is left out on purpose: it casts embeddings and output
    head to float32, gigabytes on a model with a large vocabulary (bitsandbytes#1569).
    """
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=section.r,
        lora_alpha=section.lora_alpha,
        lora_dropout=section.lora_dropout,
        target_modules=section.target_modules,
        use_rslora=section.use_rslora,
        use_dora=section.use_dora,
        modules_to_save=section.modules_to_save or None,
    )
    names = _matrices(model)  # before PEFT adds its own
    try:
        adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        if "target" not in str(error).lower():
            raise
        problem = f"found {section.target_modules!r}, which matches no module that LoRA can adapt"
        if not isinstance(error, NoMatchingPeftModuleError):
            problem = f"PEFT refuses {section.target_modules!r}: {_sentence(error)}"
        raise InputError(
            problem, key="adapter.target_modules", hint=f"this model has: {', '.join(names[:40])}"
        ) from error
    return adapted


def cast_adapter(adapted: Any, section: AdapterSection) -> None:
    """Give what is trained the type that the recipe says: on a quantised base PEFT makes all in float32."""
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(DTYPES[section.dtype])


def _matrices(model: Any) -> list[str]:
    """Last names of the modules that have a weight of two or more dimensions."""
    weights = ((name, getattr(module, "weight", None)) for name, module in model.named_modules())
    return sorted(
        {
            name.rpartition(".")[2]
            for name, weight in weights
            if isinstance(weight, torch.Tensor) and weight.dim() > 1
        }
    )


def _sentence(error: Exception) -> str:
    """The first line of what PEFT says, without its own prefix."""
    first = str(error).strip().partition("\n")[0]
    return first.partition("] ")[2] if first.startswith("[PEFT") else first


def count_parameters(model: Any) -> tuple[int, int]:
    """(total, trainable) parameters; packed 4-bit weights count for what they stand for."""
    total = trainable = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        count = state.shape.numel() if state is not None else parameter.numel()
        total += count
        trainable += count if parameter.requires_grad else 0
    return total, trainable
