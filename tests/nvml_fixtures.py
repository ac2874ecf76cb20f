"""A driver that is not there: what pynvml would say of devices that tests describe."""

import sys
from types import SimpleNamespace

GIB = 2**30
H200 = "GPU-11111111-aaaa"
A100 = "GPU-22222222-bbbb"


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(f"code {value}")
        self.value = value


class NVMLLibraryMismatchError(Exception):
    pass


class FakeNvml:
    """Stands in for the module pynvml. A device is a dict; what it lacks is 'not supported'."""

    NVMLError = NVMLError
    NVMLLibraryMismatchError = NVMLLibraryMismatchError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NO_PERMISSION = 4
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *devices, init_error=None):
        self.devices = devices
        self.init_error = init_error
        self.shutdowns = 0

    def nvmlInit(self):
        if self.init_error is not None:
            raise NVMLError(self.init_error)

    def nvmlShutdown(self):
        self.shutdowns += 1

    def nvmlSystemGetDriverVersion(self):
        return "570.86.15"

    def nvmlSystemGetCudaDriverVersion(self):
        return 12080

    def nvmlDeviceGetCount(self):
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.devices[index] is None:
            raise NVMLError(self.NVML_ERROR_GPU_IS_LOST)
        return self.devices[index]

    def _get(self, handle, key):
        if key not in handle:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return handle[key]

    def nvmlDeviceGetName(self, handle):
        return self._get(handle, "name")

    def nvmlDeviceGetUUID(self, handle):
        return self._get(handle, "uuid")

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=self._get(handle, "total"), used=self._get(handle, "used"))

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=self._get(handle, "utilization"), memory=1)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._get(handle, "power")

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._get(handle, "power_limit")

    def nvmlDeviceGetTemperature(self, handle, sensor):
        assert sensor == self.NVML_TEMPERATURE_GPU
        return self._get(handle, "temperature")

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return self._get(handle, "capability")

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self._processes(handle, "compute")

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return self._processes(handle, "graphics")

    def _processes(self, handle, kind):
        """A device that has `old` is one of a driver from before these functions' newest version."""
        if "old" in handle:
            raise NVMLLibraryMismatchError
        found = self._get(handle, kind)
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in found.items()]

    def nvmlDeviceGetMigMode(self, handle):
        self._get(handle, "instances")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, position):
        if position >= len(handle["instances"]):
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return handle["instances"][position]


def gpu(uuid, **others):
    return {
        "name": "NVIDIA H200",
        "uuid": uuid,
        "total": 141 * GIB,
        "used": 3 * GIB,
        "utilization": 97,
        "power": 412_500,
        "power_limit": 700_000,
        "temperature": 61,
        **others,
    }


def driver_in(monkeypatch):
    """What installs a driver with given devices for a test; CUDA_VISIBLE_DEVICES is unset."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(*devices, init_error=None):
        module = FakeNvml(*devices, init_error=init_error)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return module

    return install
