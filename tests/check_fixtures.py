"""Models that are nothing but their configuration, and machines, for checks of recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sftui.devices import Machine
from sftui.memory.device import Device
from sftui.memory.gpus import device_of

GIB = 2**30

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
MIXTRAL = LLAMA_8B | {"model_type": "mixtral", "num_local_experts": 8, "num_hidden_layers": 4}
GEMMA_2 = LLAMA_8B | {"model_type": "gemma2", "hidden_size": 2304, "head_dim": 256, "num_hidden_layers": 4}
MAMBA = {"model_type": "mamba", "hidden_size": 768}
TINY = LLAMA_8B | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 2048}


def gpu(name: str) -> Device:
    return device_of(name)


def machine(*devices: Device, folder: Path, disk: int = 1000 * GIB) -> Machine:
    """A machine with these GPUs, runs and cache in `folder`."""
    return Machine(
        devices=devices,
        holders=((),) * len(devices),
        gpu_problem=None,
        ram_used_bytes=8 * GIB,
        ram_total_bytes=64 * GIB,
        runs_folder=folder,
        runs_free_bytes=disk,
        cache_folder=folder / "hub",
        cache_free_bytes=disk,
    )


def model(folder: Path, config: dict[str, Any], name: str = "model") -> Path:
    """The directory of a model without weights worth the name."""
    path = folder / name
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (path / file).write_text("{}")
    (path / "model.safetensors").touch()
    return path
