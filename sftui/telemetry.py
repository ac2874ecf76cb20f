"""Samples of the machine: its GPUs through NVML, and a process tree and the RAM beside them.

A sample never fails: what the machine does not tell is None, and a missing driver is a reason in
words. psutil and pynvml are imported when a sampler is made, not with this module.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from sftui.process_tree import ProcessTree
from sftui.ram import Ram

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU, or one MIG instance, at one moment. None: the driver does not tell for this device.

    `index` is NVML's, in the order of PCI bus ids, as in nvidia-smi. CUDA counts the same way only
    under CUDA_DEVICE_ORDER=PCI_BUS_ID or when all GPUs are alike. `used_bytes` is all that is not
    free: other processes and the driver's own reserve count too. `utilization_percent` is the share
    of the last moments in which any kernel ran.
    """

    index: int
    name: str
    uuid: str
    visible: bool
    total_bytes: int | None
    used_bytes: int | None
    utilization_percent: int | None
    power_watts: float | None
    power_limit_watts: float | None
    temperature_celsius: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one moment.

    `time` is in seconds since the epoch. `cpu_percent` (100 = one core busy since the sample before;
    None in the first) and `rss_bytes` (pages shared within the tree count once for each process) are
    of the watched process and its descendants, None once it has gone. RAM is the machine's or, where
    smaller, what its control group may use. `cpu_count` is the cores this process may run on, `load`
    the load average over one minute.
    """

    time: float
    gpus: tuple[GpuSample, ...]
    cpu_percent: float | None
    rss_bytes: int | None
    ram_used_bytes: int
    ram_total_bytes: int
    cpu_count: int
    load: float | None

    def as_event(self) -> dict[str, Any]:
        """What a line of events.jsonl says of this sample; the writer adds its type and time."""
        return {
            "gpus": [asdict(gpu) for gpu in self.gpus],
            "cpu_percent": self.cpu_percent,
            "rss_bytes": self.rss_bytes,
            "ram_used_bytes": self.ram_used_bytes,
            "ram_total_bytes": self.ram_total_bytes,
        }


class Sampler:
    """Watches the GPUs, the memory, and process `pid` (default: this one) with its descendants.

    Not for several threads at once. `gpu_problem` says in words why there are no GPUs, or why one is
    missing.
    """

    def __init__(self, pid: int | None = None) -> None:
        pid = os.getpid() if pid is None else pid
        self._nvml = Nvml()
        self._tree = ProcessTree(pid)
        self._ram = Ram(pid)
        self.gpu_problem = self._nvml.problem

    def sample(self) -> Sample:
        """The machine now. Costs the driver's answers (some ms a GPU); without GPUs, about 0.1 ms."""
        cpu_percent, rss_bytes = self._tree.read()
        ram_used_bytes, ram_total_bytes = self._ram.read()
        return Sample(
            time=time.time(),
            gpus=self._nvml.read(),
            cpu_percent=cpu_percent,
            rss_bytes=rss_bytes,
            ram_used_bytes=ram_used_bytes,
            ram_total_bytes=ram_total_bytes,
            cpu_count=cpu_count(),
            load=_load(),
        )

    def close(self) -> None:
        """Let go of the driver. Later samples have no GPUs; closing twice does nothing."""
        self._nvml.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cpu_count() -> int:
    """Cores this process may run on: its affinity, not a quota in CPU time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a GPU; bytes None where the driver does not tell, as under WSL."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Device:
    """What does not change about a GPU, and the handles that ask for the rest: `board` is that of the whole
    GPU where `handle` is a MIG instance's.
    """

    handle: Any
    board: Any
    index: int
    name: str
    uuid: str


class Nvml:
    """A session with the NVIDIA driver.

    A GPU in MIG mode stands as its instances. Without a driver or a GPU there are no devices, and
    `problem` says why in words; it also names a GPU that does not answer.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        self.driver_version: str | None = None
        self.cuda_version: str | None = None
        """The newest CUDA that the driver runs, e.g. `12.8`."""
        self.visible: tuple[str, ...] = ()
        """UUIDs of the devices that CUDA_VISIBLE_DEVICES leaves, in the order in which it names them."""
        self._devices: tuple[_Device, ...] = ()
        self._open = False
        try:
            import pynvml
        except ImportError:
            self.problem = "the Python package nvidia-ml-py is not installed"
            return
        self._api: Any = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self.problem = self._reason(error)
            return
        self._open = True
        self.driver_version = self._ask(pynvml.nvmlSystemGetDriverVersion)
        cuda = self._ask(pynvml.nvmlSystemGetCudaDriverVersion)
        if cuda is not None:
            self.cuda_version = f"{cuda // 1000}.{cuda % 1000 // 10}"
        self._devices = tuple(self._find())
        self.visible = visible(
            [(device.index, device.uuid) for device in self._devices], os.environ.get("CUDA_VISIBLE_DEVICES")
        )
        if not self._devices and self.problem is None:
            self.problem = "the NVIDIA driver reports no GPU"

    def read(self) -> tuple[GpuSample, ...]:
        """All devices now, the ones that CUDA_VISIBLE_DEVICES hides too."""
        return tuple(self._read(device) for device in self._devices)

    def processes(self, uuid: str) -> tuple[GpuProcess, ...]:
        """Who holds memory of a device, to compute or to draw. In a container often nobody is told of."""
        found: dict[int, int | None] = {}
        for device in self._devices:
            if device.uuid == uuid:
                for ask in (
                    self._api.nvmlDeviceGetComputeRunningProcesses,
                    self._api.nvmlDeviceGetGraphicsRunningProcesses,
                ):
                    for process in self._ask(ask, device.handle) or ():
                        # One that does both is listed twice, with the same bytes.
                        found[process.pid] = process.usedGpuMemory or found.get(process.pid)
        return tuple(GpuProcess(pid, used_bytes) for pid, used_bytes in found.items())

    def capability(self, uuid: str) -> tuple[int, int] | None:
        """CUDA's compute capability of a device."""
        board = next((device.board for device in self._devices if device.uuid == uuid), None)
        if board is None:
            return None
        found = self._ask(self._api.nvmlDeviceGetCudaComputeCapability, board)
        return None if found is None else (int(found[0]), int(found[1]))

    def close(self) -> None:
        """End the session; the devices are gone from it."""
        if self._open:
            self._open = False
            self._devices = ()
            self._ask(self._api.nvmlShutdown)

    def _find(self) -> Iterable[_Device]:
        api = self._api
        for index in range(self._ask(api.nvmlDeviceGetCount) or 0):
            try:
                handle = api.nvmlDeviceGetHandleByIndex(index)
                yield from self._instances(handle, index) or [self._device(handle, handle, index)]
            except api.NVMLError as error:
                self.problem = f"GPU {index} does not answer: {error}"

    def _instances(self, handle: Any, index: int) -> list[_Device]:
        """The MIG instances of a GPU; empty where it has none or does not know MIG."""
        api = self._api
        mode = self._ask(api.nvmlDeviceGetMigMode, handle)
        if mode is None or mode[0] != 1:
            return []
        found = []
        for position in range(self._ask(api.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            instance = self._ask(api.nvmlDeviceGetMigDeviceHandleByIndex, handle, position)
            if instance is not None:
                found.append(self._device(instance, handle, index))
        return found

    def _device(self, handle: Any, board: Any, index: int) -> _Device:
        api = self._api
        return _Device(handle, board, index, api.nvmlDeviceGetName(handle), api.nvmlDeviceGetUUID(handle))

    def _read(self, device: _Device) -> GpuSample:
        api, handle = self._api, device.handle
        memory = self._ask(api.nvmlDeviceGetMemoryInfo, handle)
        rates = self._ask(api.nvmlDeviceGetUtilizationRates, handle)
        return GpuSample(
            index=device.index,
            name=device.name,
            uuid=device.uuid,
            visible=device.uuid in self.visible,
            total_bytes=None if memory is None else int(memory.total),
            used_bytes=None if memory is None else int(memory.used),
            utilization_percent=None if rates is None else int(rates.gpu),
            power_watts=_watts(self._ask(api.nvmlDeviceGetPowerUsage, handle)),
            power_limit_watts=_watts(self._ask(api.nvmlDeviceGetEnforcedPowerLimit, handle)),
            temperature_celsius=self._ask(api.nvmlDeviceGetTemperature, handle, api.NVML_TEMPERATURE_GPU),
        )

    def _ask(self, question: Callable[..., _T], *arguments: Any) -> _T | None:
        """The driver's answer, None where it has none.

        Every refusal is treated alike, not only 'not supported': a lost GPU or a missing permission
        must not end the run that is being watched. Of functions in several versions, an older driver that
        lacks the newest is no NVMLError.
        """
        try:
            return question(*arguments)
        except (self._api.NVMLError, self._api.NVMLLibraryMismatchError):
            return None

    def _reason(self, error: Any) -> str:
        reasons = {
            self._api.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver is found here",
            self._api.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded",
            self._api.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
                "the NVIDIA driver was updated but the old one is still loaded: restart the machine"
            ),
            self._api.NVML_ERROR_NO_PERMISSION: "this user may not use the NVIDIA driver",
        }
        return reasons.get(error.value, f"the NVIDIA driver does not answer: {error}")


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def visible(devices: Sequence[tuple[int, str]], value: str | None) -> tuple[str, ...]:
    """UUIDs of the `devices` (index, UUID) that CUDA_VISIBLE_DEVICES=`value` leaves to a process, in order.

    As CUDA reads it: unset leaves all; entries are indices or beginnings of UUIDs, and the first that
    names no device ends the list. An index stands for all MIG instances of that GPU.
    """
    if value is None:
        return tuple(uuid for _, uuid in devices)
    chosen: list[str] = []
    for entry in (part.strip() for part in value.split(",")):
        if entry.isdecimal():
            named = [uuid for index, uuid in devices if index == int(entry)]
        else:
            named = [uuid for _, uuid in devices if entry and uuid.startswith(entry)]
        if not named:
            break
        chosen += named
    return tuple(dict.fromkeys(chosen))
