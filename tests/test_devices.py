import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sftui import devices
from sftui.devices import Holder, Machine, device_for, free_bytes, look, model_bytes
from sftui.memory.device import Device
from sftui.memory.gpus import gpu_of
from sftui.recipe_file import parse_recipe
from tests.nvml_fixtures import A100, GIB, H200, FakeNvml, driver_in, gpu


@pytest.fixture
def driver(monkeypatch):
    return driver_in(monkeypatch)


def recipe(processes=1):
    text = "{model: {name_or_path: m}, data: {train: [t.jsonl]}}"
    return parse_recipe(text, [f"training.num_processes={processes}"], base=Path("/"))


def test_importing_the_module_loads_neither_psutil_nor_nvml_nor_recipes():
    program = "import sys, sftui.devices; print({'psutil', 'pynvml', 'pydantic'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(devices.__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "set()", done.stderr


# GPUs


def test_a_gpu_is_a_device_with_what_others_hold_and_its_capability(driver, tmp_path):
    driver(gpu(H200, capability=(9, 0)))
    machine = look(tmp_path)
    assert machine.devices == (Device("NVIDIA H200", 141 * GIB, 3 * GIB, 0, H200, (9, 0)),)
    assert machine.devices[0].free_bytes == 138 * GIB
    assert machine.gpu_problem is None
    assert gpu_of(machine.devices[0]).short == "H200"


def test_devices_come_in_the_order_in_which_cuda_numbers_them_without_the_hidden(
    driver, tmp_path, monkeypatch
):
    driver(gpu(H200), gpu(A100), gpu("GPU-3333"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    assert [device.index for device in look(tmp_path).devices] == [2, 1]
    assert device_for(recipe()).index == 2


def test_where_all_gpus_are_hidden_the_variable_is_named(driver, tmp_path, monkeypatch):
    driver(gpu(H200))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    machine = look(tmp_path)
    assert machine.devices == ()
    assert machine.gpu_problem == "CUDA_VISIBLE_DEVICES is '-1': no GPU of this machine is left"


def test_without_a_driver_there_is_a_reason_and_the_rest_of_the_machine(driver, tmp_path):
    driver(init_error=FakeNvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    machine = look(tmp_path)
    assert machine.devices == machine.holders == ()
    assert machine.gpu_problem == "no NVIDIA driver is found here"
    assert 0 < machine.ram_used_bytes < machine.ram_total_bytes
    assert machine.runs_free_bytes > 0
    assert device_for(recipe()) is None


def test_a_lost_gpu_is_left_out_and_named_as_the_reason(driver, tmp_path):
    driver(None, gpu(A100))
    machine = look(tmp_path)
    assert [device.uuid for device in machine.devices] == [A100]
    assert "GPU 0 does not answer" in machine.gpu_problem


def test_a_gpu_that_tells_nothing_any_more_is_no_device(driver, tmp_path):
    driver({"name": "NVIDIA H200", "uuid": H200})
    assert look(tmp_path).devices == ()


def test_a_gpu_without_memory_of_its_own_has_that_of_the_machine(driver, tmp_path):
    spark = {"name": "NVIDIA GB10", "uuid": H200, "temperature": 40, "capability": (12, 1)}
    driver(spark)
    machine = look(tmp_path)
    assert machine.devices[0].total_bytes == machine.ram_total_bytes
    assert machine.devices[0].used_bytes == machine.ram_used_bytes


def test_an_instance_has_its_own_memory_and_no_speed_of_a_whole_gpu(driver, tmp_path):
    slices = [{"name": "NVIDIA H200 MIG 1g.18gb", "uuid": "MIG-1", "total": 18 * GIB, "used": GIB}]
    driver(gpu(H200, instances=slices, capability=(9, 0)))
    (device,) = look(tmp_path).devices
    assert (device.total_bytes, device.free_bytes, device.capability) == (18 * GIB, 17 * GIB, (9, 0))
    assert gpu_of(device) is None


def test_the_session_with_the_driver_is_closed(driver, tmp_path):
    module = driver(gpu(H200))
    look(tmp_path)
    device_for(recipe())
    assert module.shutdowns == 2


# Who holds them


def test_holders_have_names_and_users_and_the_largest_comes_first(driver, tmp_path):
    driver(gpu(H200, compute={os.getpid(): GIB, os.getppid(): 2 * GIB}), gpu(A100))
    machine = look(tmp_path)
    own = psutil.Process()
    first, second = machine.holders[0]
    assert (first.pid, first.used_bytes) == (os.getppid(), 2 * GIB)
    assert second == Holder(os.getpid(), own.name(), own.username(), GIB)
    assert machine.holders[1] == ()
    assert machine.holders_of(machine.devices[0]) == machine.holders[0]
    assert machine.holders_of(Device("NVIDIA H200", 141 * GIB)) == ()


def test_a_holder_that_cannot_be_looked_at_keeps_its_number(driver, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    driver(gpu(H200, compute={gone.pid: None}))
    assert look(tmp_path).holders == ((Holder(gone.pid, None, None, None),),)


# The device of a run


def machine_with(*used):
    found = tuple(Device("NVIDIA H200", 141 * GIB, size, n, f"GPU-{n}") for n, size in enumerate(used))
    return Machine(found, ((),) * len(found), None, 0, 1, Path(), 0, Path(), 0)


@pytest.mark.parametrize(("processes", "index"), [(1, 0), (2, 1), (3, 1), (4, 3), (9, 3)])
def test_a_run_takes_the_first_gpus_and_the_fullest_of_them_counts(processes, index):
    machine = machine_with(2 * GIB, 5 * GIB, 3 * GIB, 80 * GIB)
    assert device_for(recipe(processes), machine).index == index


def test_on_a_machine_without_gpus_a_run_takes_none():
    assert device_for(recipe(), machine_with()) is None


# Disk


def test_free_space_is_that_of_the_nearest_folder_that_exists(tmp_path, monkeypatch):
    asked = []

    def usage(path):
        asked.append(path)
        return SimpleNamespace(free=7)

    monkeypatch.setattr(devices.shutil, "disk_usage", usage)
    monkeypatch.chdir(tmp_path)
    assert free_bytes(tmp_path / "not" / "yet") == free_bytes(Path("neither")) == 7
    assert asked == [tmp_path, tmp_path]


def test_a_disk_that_does_not_answer_is_none(tmp_path, monkeypatch):
    def usage(path):
        raise PermissionError(path)

    monkeypatch.setattr(devices.shutil, "disk_usage", usage)
    assert free_bytes(tmp_path) is None
    assert free_bytes(Path("with\0nul")) is None
    assert look(tmp_path).runs_free_bytes is None


def test_the_working_folder_may_be_gone(driver, tmp_path, monkeypatch):
    driver()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert look("runs").runs_free_bytes is None


def test_the_hubs_cache_is_where_the_hub_keeps_it(driver, tmp_path, monkeypatch):
    driver()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    machine = look(tmp_path / "runs")
    assert machine.cache_folder == tmp_path / "hub"
    assert machine.cache_free_bytes > 0


def test_bytes_of_a_model_are_those_of_its_whole_files(tmp_path):
    blobs = tmp_path / "models--owner--name" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "a").write_bytes(b"x" * 100)
    (blobs / "b").write_bytes(b"x" * 20)
    (blobs / "c.incomplete").write_bytes(b"x" * 3)
    assert model_bytes("owner/name", tmp_path) == 120
    assert model_bytes(str(blobs), tmp_path) == 120
    assert model_bytes("owner/other", tmp_path) == model_bytes("with\0nul", tmp_path) == 0
