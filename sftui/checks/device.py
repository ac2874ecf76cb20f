"""What a device cannot do, or has not the packages for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sftui.checks.facts import Facts
from sftui.checks.finding import Finding, found
from sftui.memory.device import Device
from sftui.recipe import Recipe

AMPERE = (8, 0)

# The driver of AMD's GPUs, of which nothing else is known here.
_AMD = Path("/dev/kfd")

_FLASH_PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
_KEY = "model.attn_implementation"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a run computes.

    `name` is None for the CPU. `bfloat16` and `ampere` (CUDA's capability 8.0 or higher) are None where they
    are not known.
    """

    name: str | None
    bfloat16: bool | None = None
    ampere: bool | None = None

    @classmethod
    def of(cls, device: Device | None) -> Target:
        """A GPU as the driver describes it; None is the CPU."""
        if device is None:
            return cls(None)
        newer = None if device.capability is None else device.capability >= AMPERE
        return cls(device.name, newer, newer)


def device_findings(facts: Facts) -> Iterator[Finding]:
    """What this machine's device cannot do of the recipe."""
    recipe, gpus = facts.recipe, len(facts.machine.devices)
    if gpus or not _AMD.exists():
        yield from cannot(recipe, Target.of(facts.device))
    yield from _not_installed(recipe)
    wanted = recipe.training.num_processes
    if gpus and wanted > gpus:
        yield too_many(wanted, gpus)


def too_many(wanted: int, there: int) -> Finding:
    """That more processes are wanted than there are GPUs."""
    return found(
        "too-many-processes",
        "training.num_processes",
        f"found {wanted}, expected at most {there}: one a GPU that can be seen here",
        values={"training.num_processes": there},
    )


def cannot(recipe: Recipe, target: Target) -> Iterator[Finding]:
    """What the device that a run computes on refuses."""
    dtype, attention = recipe.model.dtype, recipe.model.attn_implementation
    flash = attention in _FLASH_PACKAGES
    auto = {_KEY: "auto"}
    if target.name is None:
        if dtype == "float16":
            yield found(
                "float16-on-cpu",
                "model.dtype",
                "found float16, which needs a GPU (its gradients must be scaled); this machine trains on the "
                "CPU",
                "expected bfloat16 or float32",
                {"model.dtype": "bfloat16"},
            )
        if flash:
            problem = f"found {attention}, which needs a GPU; expected auto, sdpa or eager"
            yield found("attention-needs-gpu", _KEY, problem, values=auto)
        if attention == "flex_attention":
            problem = (
                "found flex_attention, which has no backward pass on the CPU; expected auto, sdpa or eager"
            )
            yield found("attention-needs-gpu", _KEY, problem, values=auto)
        return
    if dtype == "bfloat16" and target.bfloat16 is False:
        yield found(
            "bfloat16-unsupported",
            "model.dtype",
            f"found bfloat16, which {target.name} does not have; expected float16",
            values={"model.dtype": "float16"},
        )
    if flash and target.ampere is False:
        problem = f"found {attention}, which needs a newer GPU than {target.name} (Ampere or later)"
        yield found("attention-needs-ampere", _KEY, problem, "expected auto, sdpa or eager", auto)
    if flash and dtype == "float32":
        problem = f"found {attention}, which computes in bfloat16 or float16, and model.dtype is float32"
        yield found("attention-float32", _KEY, problem, "expected auto, or another model.dtype", auto)


def _not_installed(recipe: Recipe) -> Iterator[Finding]:
    attention = recipe.model.attn_implementation
    package = _FLASH_PACKAGES.get(attention)
    # transformers fetches the kernel by itself where the package `kernels` is there.
    if package is not None and not (_installed(package) or _installed("kernels")):
        name = {"flash_attn": "flash-attn", "flash_attn_interface": "flash-attn-3"}[package]
        yield found(
            "attention-not-installed",
            _KEY,
            f"found {attention}, and neither {name} nor kernels is installed",
            "expected auto (torch brings flash attention along), or: pip install kernels",
            {_KEY: "auto"},
        )
    if _installed("bitsandbytes"):
        return
    hint = "pip install bitsandbytes"
    if recipe.model.quantization in ("nf4", "fp4", "int8"):
        problem = f"found {recipe.model.quantization}, which needs bitsandbytes: it is not installed"
        yield found(
            "bitsandbytes-missing", "model.quantization", problem, hint, {"model.quantization": "none"}
        )
    optimizer = recipe.training.optim
    if "bit" in optimizer:
        problem = f"found {optimizer}, which needs bitsandbytes: it is not installed"
        values = {"training.optim": "adamw_torch_fused"}
        yield found("bitsandbytes-missing", "training.optim", problem, hint, values)


def _installed(module: str) -> bool:
    """Whether a top-level module can be imported; nothing is."""
    return find_spec(module) is not None
