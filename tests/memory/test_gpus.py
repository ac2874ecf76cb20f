import pytest

from sftui.errors import InputError
from sftui.memory.device import Device
from sftui.memory.gpus import GPUS, device_of, find_gpu, gpu_of, sizes

GIB, MIB = 2**30, 2**20


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.short)
def test_every_gpu_is_found_by_its_short_name_and_its_aliases(gpu):
    for text in (gpu.short, gpu.short.lower(), gpu.short.replace(" ", "-"), f"NVIDIA {gpu.short}"):
        assert find_gpu(text) is gpu
    for text in gpu.aliases:
        assert find_gpu(text) is gpu


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.short)
def test_what_the_driver_calls_a_gpu_leads_back_to_its_line(gpu):
    assert gpu_of(Device(gpu.name, gpu.total_bytes, uuid="GPU-1")) is gpu
    assert find_gpu(gpu.name).name == gpu.name


def test_short_names_are_unique():
    assert len({gpu.short for gpu in GPUS}) == len(GPUS)
    assert [name for name, _ in sizes()] != [] and len(sizes()) == len(GPUS)


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.short)
def test_numbers_are_of_the_right_magnitude(gpu):
    assert 8 * GIB - 64 * MIB <= gpu.total_bytes <= 288 * GIB
    assert 0.2e12 <= gpu.bandwidth <= 8e12
    assert 8e12 < gpu.flops <= 2.5e15
    assert gpu.bfloat16 == (gpu.capability[0] >= 8)
    # No GPU of these computes less than 20 or more than 550 operations for a byte that it reads.
    assert 20 < gpu.flops / gpu.bandwidth < 550


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("h100", "NVIDIA H100 80GB HBM3"),
        ("H100 SXM", "NVIDIA H100 80GB HBM3"),
        ("h100-sxm5-80gb", "NVIDIA H100 80GB HBM3"),
        ("H100 PCIe", "NVIDIA H100 PCIe"),
        ("h100-nvl", "NVIDIA H100 NVL"),
        ("a100", "NVIDIA A100-SXM4-80GB"),
        ("A100-40", "NVIDIA A100-SXM4-40GB"),
        ("a100_40gb", "NVIDIA A100-SXM4-40GB"),
        ("a100 sxm4 80 GB", "NVIDIA A100-SXM4-80GB"),
        ("4090", "NVIDIA GeForce RTX 4090"),
        ("rtx4090", "NVIDIA GeForce RTX 4090"),
        ("GeForce RTX 4070 Ti Super", "NVIDIA GeForce RTX 4070 Ti SUPER"),
        ("rtx 6000 ada", "NVIDIA RTX 6000 Ada Generation"),
        ("a6000", "NVIDIA RTX A6000"),
        ("rtx pro 6000", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"),
        ("v100", "Tesla V100-SXM2-16GB"),
        ("l4", "NVIDIA L4"),
        ("L40S", "NVIDIA L40S"),
        ("a100 40g", "NVIDIA A100-SXM4-40GB"),
        ("a10g 24gb", "NVIDIA A10G"),
        ("2080", "NVIDIA GeForce RTX 2080"),
        ("2080ti", "NVIDIA GeForce RTX 2080 Ti"),
        ("1080ti", "NVIDIA GeForce GTX 1080 Ti"),
        ("gtx 1080", "NVIDIA GeForce GTX 1080"),
        ("v100s", "Tesla V100S-PCIE-32GB"),
        ("dgx spark", "NVIDIA GB10"),
        ("5060", "NVIDIA GeForce RTX 5060"),
    ],
)
def test_names_as_people_write_them(text, name):
    assert find_gpu(text).name == name


def test_of_two_sizes_under_one_name_the_device_says_which():
    assert find_gpu("3080").total_bytes == 10_240 * MIB
    assert find_gpu("3080 12GB").total_bytes == 12_288 * MIB
    assert gpu_of(Device("NVIDIA GeForce RTX 3080", 12_288 * MIB)).short == "RTX 3080 12GB"
    assert gpu_of(Device("NVIDIA GeForce RTX 4060 Ti", 8_188 * MIB)).short == "RTX 4060 Ti 8GB"


@pytest.mark.parametrize(
    "name", ["NVIDIA H200 MIG 1g.18gb", "NVIDIA GeForce RTX 4090 Laptop GPU", "a GPU of 24 GiB", "", "NVIDIA"]
)
def test_a_device_that_is_not_in_the_table_has_no_speed(name):
    assert gpu_of(Device(name, 18 * GIB)) is None


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("h10", "H100"),
        ("rtx 4095", "RTX 4090"),
        ("a100 60gb", "A100 40GB"),
        ("3080 laptop", "RTX 3080 10GB"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(text, near):
    with pytest.raises(InputError) as caught:
        find_gpu(text)
    assert caught.value.key == "--gpu"
    assert near in caught.value.hint.partition(";")[0].removeprefix("known are ").split(", ")
    assert "24GB" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "  ", "radeon", "½", "-24", "24,5", "24 TB", "1e3", "nan", "24GB x2", "x" * 9999]
)
def test_what_is_neither_a_name_nor_a_size_is_refused_in_a_few_words(text):
    with pytest.raises(InputError) as caught:
        device_of(text)
    assert len(str(caught.value)) < 300
    assert caught.value.key == "--gpu"


@pytest.mark.parametrize(
    "text", ["7900xtx", "RX 7900 XTX", "mi300x", "m2", "M3 Max", "radeon", "intel arc a770"]
)
def test_of_other_makers_it_is_said_that_they_are_not_known(text):
    with pytest.raises(InputError, match="NVIDIA's GPUs alone"):
        device_of(text)


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.short)
def test_no_name_that_is_known_is_taken_for_another_makers_or_a_size(gpu):
    for text in (gpu.short, gpu.name, *gpu.aliases):
        assert device_of(text).total_bytes == find_gpu(text).total_bytes


@pytest.mark.parametrize(
    "text",
    ["0", "0GB", "0.5MiB", "5000GB", "-1", "-24", "24TB", "24 TB", "1e99GB", "1e3", "24,5", "nan", "-inf"],
)
def test_sizes_that_no_gpu_has_are_refused(text):
    with pytest.raises(InputError, match="expected a size"):
        device_of(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24", 24 * GIB),
        ("24GB", 24 * GIB),
        ("24 gb", 24 * GIB),
        ("24g", 24 * GIB),
        (" 24GiB ", 24 * GIB),
        ("7.5", 7.5 * GIB),
        ("81559MiB", 81_559 * MIB),
        ("81559 MB", 81_559 * MIB),
        ("4090GB", 4_090 * GIB),
    ],
)
def test_a_size_is_a_device_of_that_memory_without_what_the_driver_keeps(text, size):
    device = device_of(text)
    assert (device.total_bytes, device.here) == (size, False)
    assert device.free_bytes == size - 448 * MIB - size // 640


def test_a_size_leaves_what_a_gpu_of_that_size_does():
    assert device_of("24564MiB").free_bytes == device_of("4090").free_bytes
    assert device_of("1MiB").free_bytes == 0


@pytest.mark.parametrize("text", ["301", "1070", "2060", "4095", "5000", "9" * 400])
def test_a_number_that_no_gpu_has_as_its_memory_is_an_unknown_name(text):
    with pytest.raises(InputError, match="no GPU is known as"):
        device_of(text)
    assert device_of("288").total_bytes == 288 * GIB


@pytest.mark.parametrize("text", ["2x4090", "2 x RTX 4090", "4090x2", "4090 * 2", "h100:2"])
def test_several_gpus_are_told_how_to_ask_for_one_of_them(text):
    with pytest.raises(InputError, match="expected one GPU") as caught:
        device_of(text)
    assert "training.num_processes=2" in caught.value.hint


def test_a_number_that_is_a_name_is_the_gpu():
    assert device_of("4090").name == "NVIDIA GeForce RTX 4090"


# GiB that torch's out-of-memory messages give as the total capacity, of recent drivers.
@pytest.mark.parametrize(
    ("text", "capacity"),
    [
        ("H200", 139.80),
        ("B200", 178.35),
        ("H100", 79.18),
        ("RTX PRO 6000", 94.97),
        ("A100 40GB", 39.49),
        ("A6000", 47.41),
        ("L40S", 44.40),
        ("RTX 4090", 23.52),
        ("RTX 5090", 31.36),
        ("L4", 22.03),
        ("T4", 14.57),
    ],
)
def test_what_a_named_gpu_has_free_is_what_cuda_says_it_has(text, capacity):
    device = device_of(text)
    assert abs(device.free_bytes - capacity * GIB) < 0.15 * GIB
    assert device.capability is not None
