"""The memory that a process can have: the machine's, or what its control group leaves of it.

psutil is imported when it is asked, not with this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """The control group that limits a process's memory: the limit, and the files that tell its use."""

    limit_bytes: int
    usage: Path
    statistics: Path
    reclaimable: str
    """The line of `statistics` for file pages that the kernel gives up first: use, but not need."""

    def used_bytes(self) -> int | None:
        """Bytes in use without reclaimable file pages; None where the files do not tell."""
        try:
            used = int(self.usage.read_text())
            for line in self.statistics.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == self.reclaimable:
                    return max(0, used - int(value))
        except (OSError, ValueError):
            return None
        return used


def memory_group(pid: int, root: Path = Path("/")) -> MemoryGroup | None:
    """The control group, v1 or v2, with the smallest memory limit above process `pid`; None: unlimited.

    Inside a container the path in /proc may be the host's, and then only the mount's top exists: the
    search goes from the path upwards through what exists. Files are looked up below `root`.
    """
    try:
        lines = (root / f"proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    groups: list[MemoryGroup] = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, limit, usage, reclaimable = "", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, reclaimable = "memory", "total_inactive_file"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        mount = root / "sys/fs/cgroup" / top
        place = mount / path.lstrip("/")
        for folder in (place, *place.parents):
            limit_bytes = _limit(folder / limit)
            if limit_bytes is not None:
                groups.append(MemoryGroup(limit_bytes, folder / usage, folder / "memory.stat", reclaimable))
            if folder == mount:
                break
    return min(groups, key=lambda group: group.limit_bytes, default=None)


def _limit(file: Path) -> int | None:
    """A memory limit; None where there is no file or it says `max`."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


class Ram:
    """The memory that process `pid` can have: the machine's, or its control group's where smaller."""

    def __init__(self, pid: int) -> None:
        import psutil

        self._machine = psutil.virtual_memory
        self._group = memory_group(pid)
        # cgroup v1 writes 'no limit' as a number near 2**63.
        if self._group is not None and self._group.limit_bytes >= self._machine().total:
            self._group = None

    def read(self) -> tuple[int, int]:
        """Bytes in use (what could not be had by a new process) and in total."""
        machine = self._machine()
        if self._group is not None:
            used = self._group.used_bytes()
            if used is not None:
                return used, self._group.limit_bytes
        return machine.total - machine.available, machine.total
