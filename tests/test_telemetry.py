import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sftui import process_tree, ram, telemetry
from sftui.process_tree import ProcessTree, descendants
from sftui.ram import MemoryGroup, Ram, memory_group
from sftui.telemetry import GpuProcess, Nvml, Sampler, visible
from tests.nvml_fixtures import A100, GIB, H200, FakeNvml, driver_in, gpu


@pytest.fixture
def driver(monkeypatch):
    return driver_in(monkeypatch)


@pytest.fixture
def child():
    """Start Python processes that end with the test."""
    started = []

    def start(program):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        started.append(process)
        process.stdout.readline()  # it says so when it is ready
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


READY = "print('ready', flush=True);"
WAIT = READY + "import time; time.sleep(60)"


def test_importing_the_module_loads_neither_psutil_nor_nvml():
    program = "import sys, sftui.telemetry; print({'psutil', 'pynvml'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(telemetry.__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "set()", done.stderr


# GPUs


def test_the_fake_has_only_what_pynvml_has():
    import pynvml

    asked = [name for name in dir(FakeNvml) if name.upper().startswith("NVML")]
    assert [name for name in asked if not hasattr(pynvml, name)] == []
    codes = [name for name in asked if name.startswith("NVML_")]
    assert {name: getattr(FakeNvml, name) for name in codes} == {
        name: getattr(pynvml, name) for name in codes
    }


def test_a_gpu_is_read_in_bytes_percent_watts_and_degrees(driver):
    driver(gpu(H200))
    with Sampler() as sampler:
        (sample,) = sampler.sample().gpus
    assert sample == telemetry.GpuSample(
        index=0,
        name="NVIDIA H200",
        uuid=H200,
        visible=True,
        total_bytes=141 * GIB,
        used_bytes=3 * GIB,
        utilization_percent=97,
        power_watts=412.5,
        power_limit_watts=700.0,
        temperature_celsius=61,
    )
    assert sampler.gpu_problem is None


def test_what_a_gpu_does_not_support_is_none_and_the_rest_is_still_there(driver):
    device = gpu(H200)
    for key in ("power", "power_limit", "utilization", "total"):
        del device[key]
    driver(device)
    (sample,) = Sampler().sample().gpus
    assert sample.power_watts is sample.power_limit_watts is sample.utilization_percent is None
    assert sample.total_bytes is sample.used_bytes is None
    assert sample.temperature_celsius == 61


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (FakeNvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver is found here"),
        (FakeNvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded"),
        (FakeNvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "restart"),
        (999, "code 999"),
    ],
)
def test_a_driver_that_does_not_start_gives_no_gpus_and_a_reason(driver, code, words):
    driver(gpu(H200), init_error=code)
    with Sampler() as sampler:
        assert sampler.sample().gpus == ()
        assert words in sampler.gpu_problem


def test_without_the_nvml_package_there_are_no_gpus_and_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with Sampler() as sampler:
        assert sampler.sample().gpus == ()
        assert "nvidia-ml-py is not installed" in sampler.gpu_problem


def test_a_driver_without_gpus_is_a_reason_too(driver):
    driver()
    assert Nvml().problem == "the NVIDIA driver reports no GPU"


def test_a_lost_gpu_is_named_and_does_not_hide_the_others(driver):
    driver(None, gpu(A100))
    nvml = Nvml()
    assert [sample.uuid for sample in nvml.read()] == [A100]
    assert "GPU 0 does not answer" in nvml.problem


def test_a_gpu_lost_while_watched_keeps_its_place_with_nothing_known(driver):
    device = gpu(H200)
    driver(device)
    nvml = Nvml()
    device.clear()
    (sample,) = nvml.read()
    assert (sample.uuid, sample.used_bytes, sample.temperature_celsius) == (H200, None, None)


def test_a_partitioned_gpu_stands_as_its_instances(driver):
    slices = [
        {"name": "NVIDIA H200 MIG 1g.18gb", "uuid": f"MIG-{n}", "total": 18 * GIB, "used": 0} for n in (1, 2)
    ]
    driver(gpu(H200, instances=slices), gpu(A100))
    samples = Nvml().read()
    assert [(s.index, s.uuid) for s in samples] == [(0, "MIG-1"), (0, "MIG-2"), (1, A100)]
    assert samples[0].total_bytes == 18 * GIB
    assert samples[0].power_watts is None


def test_versions_come_as_people_write_them(driver):
    driver(gpu(H200))
    nvml = Nvml()
    assert (nvml.driver_version, nvml.cuda_version) == ("570.86.15", "12.8")


def test_closing_ends_the_session_once(driver):
    module = driver(gpu(H200))
    sampler = Sampler()
    sampler.close()
    sampler.close()
    assert module.shutdowns == 1
    assert sampler.sample().gpus == ()


def test_visible_devices_chooses_by_uuid(driver, monkeypatch):
    driver(gpu(H200), gpu(A100))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", A100)
    assert [(sample.uuid, sample.visible) for sample in Nvml().read()] == [(H200, False), (A100, True)]


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (None, (H200, A100)),
        ("", ()),
        ("-1", ()),
        ("1", (A100,)),
        ("1,0", (A100, H200)),
        (" 0 , 1 ", (H200, A100)),
        ("0,7,1", (H200,)),  # CUDA stops at the first entry that names no device
        ("GPU-1111", (H200,)),
        ("GPU-9", ()),
        (f"{A100},0", (A100, H200)),
    ],
)
def test_visible_devices_is_read_as_cuda_reads_it(value, chosen):
    assert visible([(0, H200), (1, A100)], value) == chosen


def test_a_process_that_computes_and_draws_is_told_of_once(driver):
    driver(gpu(H200, compute={7: 5 * GIB, 8: None}, graphics={7: 5 * GIB, 9: 1}), gpu(A100))
    nvml = Nvml()
    assert nvml.processes(H200) == (GpuProcess(7, 5 * GIB), GpuProcess(8, None), GpuProcess(9, 1))
    assert nvml.processes(A100) == nvml.processes("GPU-9") == ()


def test_bytes_that_one_of_two_lists_lacks_are_those_of_the_other(driver):
    driver(gpu(H200, compute={7: 5 * GIB}, graphics={7: None}), gpu(A100, compute={7: None}, graphics={7: 3}))
    nvml = Nvml()
    assert nvml.processes(H200) == (GpuProcess(7, 5 * GIB),)
    assert nvml.processes(A100) == (GpuProcess(7, 3),)


def test_a_driver_older_than_a_question_has_no_answer(driver):
    driver(gpu(H200, old=True))
    nvml = Nvml()
    assert (nvml.processes(H200), nvml.capability(H200)) == ((), None)
    assert nvml.read()[0].used_bytes == 3 * GIB


def test_an_instance_has_the_processes_of_its_own_and_the_capability_of_its_gpu(driver):
    slices = [
        {"name": "NVIDIA H200 MIG 1g.18gb", "uuid": f"MIG-{n}", "total": 18 * GIB, "compute": {n: n}}
        for n in (1, 2)
    ]
    driver(gpu(H200, instances=slices, capability=(9, 0)))
    nvml = Nvml()
    assert nvml.processes("MIG-2") == (GpuProcess(2, 2),)
    assert nvml.capability("MIG-2") == (9, 0)
    assert nvml.capability(H200) is None  # it stands as its instances


def test_sampling_asks_for_neither_processes_nor_capability(driver, monkeypatch):
    module = driver(gpu(H200, compute={7: 1}, capability=(9, 0)))
    for name in ("ComputeRunningProcesses", "GraphicsRunningProcesses", "CudaComputeCapability"):
        monkeypatch.delattr(type(module), f"nvmlDeviceGet{name}")
    assert Sampler().sample().gpus[0].used_bytes == 3 * GIB


# Processes


def test_the_first_sample_has_no_cpu_use_and_later_ones_see_a_busy_child(child):
    child(READY + "exec('while True: pass')")
    tree = ProcessTree(os.getpid())
    cpu, rss = tree.read()
    assert cpu is None
    assert rss > psutil.Process().memory_info().rss / 2
    deadline = time.monotonic() + 20
    busiest = 0.0
    while busiest < 10 and time.monotonic() < deadline:
        time.sleep(0.2)
        busiest = max(busiest, tree.read()[0])
    assert 10 <= busiest < 100 * telemetry.cpu_count() + 50


def test_a_child_started_later_joins_without_its_past(child, monkeypatch):
    monkeypatch.setattr(process_tree, "TREE_REFRESH_S", 0.0)
    tree = ProcessTree(os.getpid())
    _, alone = tree.read()
    child("import time; t = time.process_time()\nwhile time.process_time() < t + 0.3: pass\n" + WAIT)
    cpu, together = tree.read()
    assert together > alone
    assert cpu < 50  # the child's past alone would be nearly 100


def test_a_process_that_ended_has_neither_cpu_nor_memory_and_the_machine_is_still_sampled(child):
    process = child(WAIT)
    with Sampler(process.pid) as sampler:
        assert sampler.sample().rss_bytes > 0
        process.kill()
        process.wait()
        sample = sampler.sample()
    assert (sample.cpu_percent, sample.rss_bytes) == (None, None)
    assert 0 < sample.ram_used_bytes < sample.ram_total_bytes


def test_a_process_that_never_was_is_as_one_that_ended():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    sample = Sampler(gone.pid).sample()
    assert (sample.cpu_percent, sample.rss_bytes) == (None, None)


def test_descendants_are_those_that_psutil_finds_by_reading_every_process(child):
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAIT!r}])\n{WAIT}"
    process = child(program)
    process.stdout.readline()  # the grandchild is ready too
    expected = {found.pid for found in psutil.Process().children(recursive=True)}
    assert set(descendants(os.getpid())) == expected
    assert len(expected) >= 2
    for grandchild in psutil.Process(process.pid).children():
        grandchild.kill()


# Memory and control groups


def group_files(root, path, **files):
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def in_group(root, text):
    (root / "proc/7").mkdir(parents=True)
    (root / "proc/7/cgroup").write_text(text)


def test_the_smallest_limit_from_the_group_upwards_counts(tmp_path):
    in_group(tmp_path, "0::/pod/box\n")
    group_files(
        tmp_path, "pod", memory__max="4096\n", memory__current="3000\n", memory__stat="inactive_file 500\n"
    )
    group_files(tmp_path, "pod/box", memory__max="9999\n")
    group_files(tmp_path, "", memory__max="max\n")
    group = memory_group(7, tmp_path)
    assert (group.limit_bytes, group.used_bytes()) == (4096, 2500)


def test_inside_a_container_the_top_of_the_mount_is_used(tmp_path):
    in_group(tmp_path, "0::/docker/0123\n")
    group_files(tmp_path, "", memory__max="8192\n", memory__current="100\n", memory__stat="anon 100\n")
    group = memory_group(7, tmp_path)
    assert (group.limit_bytes, group.used_bytes()) == (8192, 100)


def test_the_first_version_of_control_groups_is_read_too(tmp_path):
    in_group(tmp_path, "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n")
    group_files(
        tmp_path,
        "memory/job",
        memory__limit_in_bytes="2048\n",
        memory__usage_in_bytes="1024\n",
        memory__stat="inactive_file 1\ntotal_inactive_file 24\n",
    )
    group = memory_group(7, tmp_path)
    assert (group.limit_bytes, group.used_bytes()) == (2048, 1000)


def test_without_a_limit_there_is_no_group(tmp_path):
    in_group(tmp_path, "0::/box\n")
    group_files(tmp_path, "box", memory__max="max\n")
    assert memory_group(7, tmp_path) is None
    assert memory_group(8, tmp_path) is None


@pytest.mark.parametrize(("limit", "counts"), [(GIB // 1024, True), (2**63 - 4096, False)])
def test_a_limit_counts_only_where_it_is_smaller_than_the_machine(tmp_path, monkeypatch, limit, counts):
    (tmp_path / "usage").write_text("1000")
    (tmp_path / "statistics").write_text("inactive_file 200")
    group = MemoryGroup(limit, tmp_path / "usage", tmp_path / "statistics", "inactive_file")
    monkeypatch.setattr(ram, "memory_group", lambda pid: group)
    used, total = Ram(os.getpid()).read()
    if counts:
        assert (used, total) == (800, limit)
    else:
        assert total == psutil.virtual_memory().total
        assert used > 1000


# The whole


def test_an_event_is_json_with_the_agreed_keys(driver):
    driver(gpu(H200, power=300_000))
    event = Sampler().sample().as_event()
    again = json.loads(json.dumps(event))
    assert again == event
    assert set(event) == {"gpus", "cpu_percent", "rss_bytes", "ram_used_bytes", "ram_total_bytes"}
    assert event["gpus"][0]["power_watts"] == 300.0
    assert event["cpu_percent"] is None


def test_a_sample_without_gpus_costs_well_under_a_millisecond(driver):
    driver(init_error=FakeNvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    sampler = Sampler()
    sampler.sample()

    def cost():
        start = time.perf_counter()
        sampler.sample()
        return time.perf_counter() - start

    # The quickest of many: the machine that runs the tests is busy with other things.
    assert min(cost() for _ in range(50)) < 0.0005
