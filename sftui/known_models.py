"""Open chat models of today: what memory and packing follow from, known before anything is downloaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sftui.memory.config_file import shape_of
from sftui.memory.shape import ModelShape

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of the Hub. `config` has the keys of its config.json that this program reads.

    `gated`: its licence is accepted on its page before it can be downloaded. `offered`: a recipe for
    somebody who names no model may have it.
    """

    name: str
    config: Config
    gated: bool = False
    offered: bool = False

    @property
    def shape(self) -> ModelShape:
        """What memory follows from."""
        return _shape(self.name)


def _decoder(
    model_type: str,
    sizes: tuple[int, int, int],
    heads: tuple[int, int],
    vocab: int,
    *,
    tied: bool,
    positions: int,
    **more: Any,
) -> Config:
    """`sizes`: hidden, intermediate, layers; `heads`: of queries, of keys."""
    hidden, intermediate, layers = sizes
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "max_position_embeddings": positions,
        **more,
    }


def _qwen3(
    name: str, hidden: int, intermediate: int, layers: int, heads: int, *, positions: int = 40_960
) -> KnownModel:
    config = _decoder(
        "qwen3",
        (hidden, intermediate, layers),
        (heads, 8),
        151_936,
        tied=hidden < 4096,
        positions=positions,
        head_dim=128,
    )
    return KnownModel(f"Qwen/{name}", config, offered=True)


def _llama3(name: str, hidden: int, intermediate: int, layers: int, heads: int, *, tied: bool) -> KnownModel:
    sizes, positions = (hidden, intermediate, layers), 131_072
    config = _decoder("llama", sizes, (heads, 8), 128_256, tied=tied, positions=positions)
    return KnownModel(f"meta-llama/{name}", config, gated=True)


def _gemma3(name: str, hidden: int, intermediate: int, layers: int) -> KnownModel:
    config = _decoder(
        "gemma3_text",
        (hidden, intermediate, layers),
        (4, 1),
        262_144,
        tied=True,
        positions=32_768,
        head_dim=256,
        sliding_window=512,
    )
    return KnownModel(f"google/{name}", config, gated=True)


def _smollm2(name: str, hidden: int, intermediate: int, layers: int, heads: int, kv: int) -> KnownModel:
    sizes = (hidden, intermediate, layers)
    config = _decoder("llama", sizes, (heads, kv), 49_152, tied=True, positions=8192)
    return KnownModel(f"HuggingFaceTB/{name}", config, offered=True)


# By their size, the smallest first.
MODELS: tuple[KnownModel, ...] = (
    _smollm2("SmolLM2-135M-Instruct", 576, 1536, 30, 9, 3),
    _gemma3("gemma-3-270m-it", 640, 2048, 18),
    _smollm2("SmolLM2-360M-Instruct", 960, 2560, 32, 15, 5),
    _qwen3("Qwen3-0.6B", 1024, 3072, 28, 16),
    _gemma3("gemma-3-1b-it", 1152, 6912, 26),
    _llama3("Llama-3.2-1B-Instruct", 2048, 8192, 16, 32, tied=True),
    _qwen3("Qwen3-1.7B", 2048, 6144, 28, 16),
    KnownModel(
        "HuggingFaceTB/SmolLM3-3B",
        _decoder("smollm3", (2048, 11_008, 36), (16, 4), 128_256, tied=True, positions=65_536),
    ),
    _llama3("Llama-3.2-3B-Instruct", 3072, 8192, 28, 24, tied=True),
    _qwen3("Qwen3-4B-Instruct-2507", 2560, 9728, 36, 32, positions=262_144),
    _llama3("Llama-3.1-8B-Instruct", 4096, 14_336, 32, 32, tied=False),
    _qwen3("Qwen3-8B", 4096, 12_288, 36, 32),
    _qwen3("Qwen3-14B", 5120, 17_408, 40, 40),
    KnownModel(
        "mistralai/Mistral-Small-24B-Instruct-2501",
        _decoder(
            "mistral",
            (5120, 32_768, 40),
            (32, 8),
            131_072,
            tied=False,
            positions=32_768,
            head_dim=128,
            sliding_window=None,
        ),
    ),
    _qwen3("Qwen3-32B", 5120, 25_600, 64, 64),
    _llama3("Llama-3.3-70B-Instruct", 8192, 28_672, 80, 64, tied=False),
)


# Base models, whose config.json has the sizes of the chat model's beside it.
_OF_BASE = {
    **{
        f"HuggingFaceTB/SmolLM2-{size}": f"HuggingFaceTB/SmolLM2-{size}-Instruct" for size in ("135M", "360M")
    },
    **{f"Qwen/Qwen3-{size}-Base": f"Qwen/Qwen3-{size}" for size in ("0.6B", "1.7B", "8B", "14B")},
    "Qwen/Qwen3-4B-Base": "Qwen/Qwen3-4B-Instruct-2507",
    "google/gemma-3-270m": "google/gemma-3-270m-it",
    "google/gemma-3-1b-pt": "google/gemma-3-1b-it",
    "HuggingFaceTB/SmolLM3-3B-Base": "HuggingFaceTB/SmolLM3-3B",
    "meta-llama/Llama-3.2-1B": "meta-llama/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.2-3B": "meta-llama/Llama-3.2-3B-Instruct",
    "meta-llama/Llama-3.1-8B": "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.1-70B": "meta-llama/Llama-3.3-70B-Instruct",
    "meta-llama/Llama-3.1-70B-Instruct": "meta-llama/Llama-3.3-70B-Instruct",
    "mistralai/Mistral-Small-24B-Base-2501": "mistralai/Mistral-Small-24B-Instruct-2501",
}
# Where a base model was made for fewer tokens than its chat model, which was taught to read further.
_POSITIONS_OF_BASE = {"Qwen": 32_768}


@lru_cache(maxsize=64)
def known_model(name: str) -> KnownModel | None:
    """The one of this Hub id; of a base model, with the sizes of the chat model that was made of it."""
    found = next((model for model in MODELS if model.name == _OF_BASE.get(name, name)), None)
    if found is None or found.name == name:
        return found
    config = dict(found.config)
    config["max_position_embeddings"] = _POSITIONS_OF_BASE.get(
        name.partition("/")[0], config["max_position_embeddings"]
    )
    return replace(found, name=name, config=config, offered=False)


@lru_cache(maxsize=64)
def _shape(name: str) -> ModelShape:
    found = known_model(name)
    assert found is not None
    shape = shape_of(found.config, file=name)
    assert isinstance(shape, ModelShape), "families of this list are known to the closed form"
    return replace(shape, from_table=True)
