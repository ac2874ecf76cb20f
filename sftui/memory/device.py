"""A GPU as far as its memory goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU of this machine, or one that somebody names.

    `used_bytes` is what others hold now. `index` and `uuid` are NVML's, None for a GPU that is not of this
    machine. `capability` is CUDA's compute capability, None where it is not known.
    """

    name: str
    total_bytes: int
    used_bytes: int = 0
    index: int | None = None
    uuid: str | None = None
    capability: tuple[int, int] | None = None

    @property
    def free_bytes(self) -> int:
        """What a run can have."""
        return max(0, self.total_bytes - self.used_bytes)

    @property
    def here(self) -> bool:
        """Whether it is one of this machine's."""
        return self.uuid is not None
