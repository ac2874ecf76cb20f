"""Common GPUs by name: memory and speed. A name, or a size, becomes a device."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

from sftui.errors import InputError, shorten
from sftui.memory.device import Device

KEY = "--gpu"

_MIB = 2**20
_GIB = 2**30
_LARGEST_SIZE = 4096 * _GIB

# What the driver keeps of a GPU for itself: its total as nvidia-smi shows it, less the total that CUDA has
# (in torch's out-of-memory messages): 0.44 GiB on T4, L4 and RTX 4090, 0.6 on H200, 0.71 on B200. This is
# within 0.1 GiB of those that were looked up, with drivers of 2024 and later.
_RESERVED = 448 * _MIB
_RESERVED_SHARE = 640


@dataclass(frozen=True, slots=True)
class Gpu:
    """A kind of GPU.

    `name` is NVML's, `short` what people call it, which no other has. `total_bytes` is what nvidia-smi shows
    (with ECC where that is on from the start). `bandwidth` of its memory in bytes a second; `flops` its peak
    in dense bfloat16, or float16 where it has no bfloat16, summed in float32, a second. Both are of NVIDIA's
    data sheets and architecture papers. `capability` is CUDA's.
    """

    name: str
    short: str
    total_bytes: int
    bandwidth: float
    flops: float
    capability: tuple[int, int]
    aliases: tuple[str, ...] = ()

    @property
    def bfloat16(self) -> bool:
        """Whether it computes in bfloat16."""
        return self.capability >= (8, 0)

    @property
    def reserved_bytes(self) -> int:
        """What the driver keeps for itself, within about 0.1 GiB."""
        return _reserved(self.total_bytes)


def _reserved(total_bytes: int) -> int:
    return min(total_bytes, _RESERVED + total_bytes // _RESERVED_SHARE)


def _gpu(
    name: str, short: str, mib: int, gb_s: float, tflops: float, capability: tuple[int, int], *aliases: str
) -> Gpu:
    return Gpu(name, short, mib * _MIB, gb_s * 1e9, tflops * 1e12, capability, aliases)


# Of several that a text can mean, the first is meant.
GPUS: tuple[Gpu, ...] = (
    _gpu("NVIDIA B200", "B200", 183_359, 7_700, 2_250, (10, 0)),
    _gpu("NVIDIA B300 SXM6 AC", "B300", 275_040, 7_700, 2_250, (10, 3)),
    _gpu("NVIDIA GB200", "GB200", 189_471, 8_000, 2_500, (10, 0)),
    _gpu("NVIDIA GB300", "GB300", 284_208, 8_000, 2_500, (10, 3)),
    _gpu("NVIDIA H200", "H200", 143_771, 4_800, 989.4, (9, 0), "H200 141GB"),
    _gpu("NVIDIA H200 NVL", "H200 NVL", 143_771, 4_800, 835.5, (9, 0)),
    _gpu("NVIDIA H100 80GB HBM3", "H100", 81_559, 3_350, 989.4, (9, 0)),
    _gpu("NVIDIA H100 PCIe", "H100 PCIe", 81_559, 2_039, 756, (9, 0), "H100 80GB PCIe", "H100 PCIe 80GB"),
    _gpu("NVIDIA H100 NVL", "H100 NVL", 95_830, 3_938, 835.5, (9, 0), "H100 94GB", "H100 NVL 94GB"),
    _gpu("NVIDIA H800", "H800", 81_559, 3_350, 989.4, (9, 0), "H800 80GB"),
    _gpu("NVIDIA H20", "H20", 97_871, 4_000, 148, (9, 0), "H20 96GB"),
    _gpu("NVIDIA GH200 480GB", "GH200", 97_871, 4_000, 989.4, (9, 0), "GH200 96GB"),
    _gpu("NVIDIA A100-SXM4-80GB", "A100 80GB", 81_920, 2_039, 312, (8, 0), "A100"),
    _gpu("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB", 81_920, 1_935, 312, (8, 0), "A100 PCIe"),
    _gpu("NVIDIA A100-SXM4-40GB", "A100 40GB", 40_960, 1_555, 312, (8, 0)),
    _gpu("NVIDIA A100-PCIE-40GB", "A100 PCIe 40GB", 40_960, 1_555, 312, (8, 0), "A100 40GB PCIe"),
    _gpu("NVIDIA A800-SXM4-80GB", "A800", 81_920, 2_039, 312, (8, 0)),
    _gpu("NVIDIA A40", "A40", 46_068, 696, 149.7, (8, 6), "A40 48GB"),
    _gpu("NVIDIA A30", "A30", 24_576, 933, 165, (8, 0), "A30 24GB"),
    _gpu("NVIDIA A10", "A10", 23_028, 600, 125, (8, 6), "A10 24GB"),
    _gpu("NVIDIA A10G", "A10G", 23_028, 600, 70, (8, 6), "A10G 24GB"),
    # Four of these are on a card.
    _gpu("NVIDIA A16", "A16", 15_356, 200, 17.9, (8, 6), "A16 16GB"),
    _gpu("NVIDIA A2", "A2", 15_356, 200, 18, (8, 6), "A2 16GB"),
    _gpu("NVIDIA L40S", "L40S", 46_068, 864, 362, (8, 9), "L40S 48GB"),
    _gpu("NVIDIA L40", "L40", 46_068, 864, 181, (8, 9), "L40 48GB"),
    _gpu("NVIDIA L4", "L4", 23_034, 300, 121, (8, 9), "L4 24GB"),
    _gpu("Tesla V100-SXM2-16GB", "V100 16GB", 16_384, 900, 125, (7, 0), "V100"),
    _gpu("Tesla V100-SXM2-32GB", "V100 32GB", 32_768, 900, 125, (7, 0)),
    _gpu("Tesla V100-PCIE-16GB", "V100 PCIe 16GB", 16_384, 900, 112, (7, 0), "V100 PCIe"),
    _gpu("Tesla V100-PCIE-32GB", "V100 PCIe 32GB", 32_768, 900, 112, (7, 0)),
    _gpu("Tesla V100S-PCIE-32GB", "V100S", 32_768, 1_134, 130, (7, 0), "V100S 32GB"),
    _gpu("Tesla T4", "T4", 15_360, 320, 65, (7, 5), "T4 16GB"),
    _gpu("Tesla P100-PCIE-16GB", "P100", 16_384, 732, 18.7, (6, 0), "P100 16GB", "P100 PCIe"),
    _gpu(
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        "RTX PRO 6000 Blackwell",
        97_887,
        1_792,
        503.8,
        (12, 0),
        "RTX PRO 6000",
        "RTX PRO 6000 96GB",
        "RTX 6000 Blackwell",
    ),
    _gpu(
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        "RTX PRO 6000 Blackwell Max-Q",
        97_887,
        1_792,
        438.9,
        (12, 0),
        "RTX PRO 6000 Max-Q",
    ),
    _gpu(
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "RTX PRO 6000 Blackwell Server",
        97_887,
        1_597,
        480,
        (12, 0),
        "RTX PRO 6000 Server",
    ),
    _gpu("NVIDIA RTX PRO 5000 Blackwell", "RTX PRO 5000 Blackwell", 48_935, 1_344, 258, (12, 0), "PRO 5000"),
    _gpu("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", 49_140, 960, 364.2, (8, 9), "6000 Ada 48GB"),
    _gpu("NVIDIA RTX 5000 Ada Generation", "RTX 5000 Ada", 32_760, 576, 261.1, (8, 9), "5000 Ada 32GB"),
    _gpu("NVIDIA RTX 4000 Ada Generation", "RTX 4000 Ada", 20_475, 360, 106.9, (8, 9), "4000 Ada 20GB"),
    _gpu("NVIDIA RTX A6000", "RTX A6000", 49_140, 768, 154.8, (8, 6), "A6000 48GB"),
    _gpu("NVIDIA RTX A5000", "RTX A5000", 24_564, 768, 111.1, (8, 6), "A5000 24GB"),
    _gpu("NVIDIA RTX A4500", "RTX A4500", 20_470, 640, 94.6, (8, 6), "A4500 20GB"),
    _gpu("NVIDIA RTX A4000", "RTX A4000", 16_376, 448, 76.7, (8, 6), "A4000 16GB"),
    _gpu("Quadro RTX 8000", "Quadro RTX 8000", 49_152, 672, 130.5, (7, 5)),
    # Of a DGX Spark: the memory is that of the machine, and the system has its part of it.
    _gpu("NVIDIA GB10", "GB10", 122_566, 273, 125, (12, 1), "DGX Spark", "GB10 128GB"),
    _gpu("NVIDIA GeForce RTX 5090", "RTX 5090", 32_607, 1_792, 209.5, (12, 0), "5090 32GB"),
    _gpu("NVIDIA GeForce RTX 5080", "RTX 5080", 16_303, 960, 112.6, (12, 0), "5080 16GB"),
    _gpu("NVIDIA GeForce RTX 5070 Ti", "RTX 5070 Ti", 16_303, 896, 87.9, (12, 0), "5070 Ti 16GB"),
    _gpu("NVIDIA GeForce RTX 5070", "RTX 5070", 12_227, 672, 61.7, (12, 0), "5070 12GB"),
    _gpu("NVIDIA GeForce RTX 5060 Ti", "RTX 5060 Ti 16GB", 16_311, 448, 47.4, (12, 0)),
    _gpu("NVIDIA GeForce RTX 5060 Ti", "RTX 5060 Ti 8GB", 8_151, 448, 47.4, (12, 0)),
    _gpu("NVIDIA GeForce RTX 5060", "RTX 5060", 8_151, 448, 38.4, (12, 0), "5060 8GB"),
    _gpu("NVIDIA GeForce RTX 4090", "RTX 4090", 24_564, 1_008, 165.2, (8, 9), "4090 24GB"),
    _gpu("NVIDIA GeForce RTX 4080 SUPER", "RTX 4080 Super", 16_376, 736, 104.4, (8, 9), "4080 Super 16GB"),
    _gpu("NVIDIA GeForce RTX 4080", "RTX 4080", 16_376, 717, 97.5, (8, 9), "4080 16GB"),
    _gpu("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti Super", 16_376, 672, 88.2, (8, 9)),
    _gpu("NVIDIA GeForce RTX 4070 Ti", "RTX 4070 Ti", 12_282, 504, 80.2, (8, 9), "4070 Ti 12GB"),
    _gpu("NVIDIA GeForce RTX 4070 SUPER", "RTX 4070 Super", 12_282, 504, 71, (8, 9), "4070 Super 12GB"),
    _gpu("NVIDIA GeForce RTX 4070", "RTX 4070", 12_282, 504, 58.3, (8, 9), "4070 12GB"),
    _gpu("NVIDIA GeForce RTX 4060 Ti", "RTX 4060 Ti 8GB", 8_188, 288, 44.1, (8, 9)),
    _gpu("NVIDIA GeForce RTX 4060 Ti", "RTX 4060 Ti 16GB", 16_380, 288, 44.1, (8, 9)),
    _gpu("NVIDIA GeForce RTX 4060", "RTX 4060", 8_188, 272, 30.2, (8, 9), "4060 8GB"),
    _gpu("NVIDIA GeForce RTX 3090 Ti", "RTX 3090 Ti", 24_564, 1_008, 80, (8, 6), "3090 Ti 24GB"),
    _gpu("NVIDIA GeForce RTX 3090", "RTX 3090", 24_576, 936, 71.2, (8, 6), "3090 24GB"),
    _gpu("NVIDIA GeForce RTX 3080 Ti", "RTX 3080 Ti", 12_288, 912, 68.2, (8, 6), "3080 Ti 12GB"),
    _gpu("NVIDIA GeForce RTX 3080", "RTX 3080 10GB", 10_240, 760, 59.5, (8, 6)),
    _gpu("NVIDIA GeForce RTX 3080", "RTX 3080 12GB", 12_288, 912, 61.3, (8, 6)),
    _gpu("NVIDIA GeForce RTX 3070 Ti", "RTX 3070 Ti", 8_192, 608, 43.5, (8, 6), "3070 Ti 8GB"),
    _gpu("NVIDIA GeForce RTX 3070", "RTX 3070", 8_192, 448, 40.6, (8, 6), "3070 8GB"),
    _gpu("NVIDIA GeForce RTX 3060", "RTX 3060 12GB", 12_288, 360, 25.5, (8, 6)),
    _gpu("NVIDIA GeForce RTX 3050", "RTX 3050", 8_192, 224, 18.2, (8, 6), "3050 8GB"),
    _gpu("NVIDIA TITAN RTX", "Titan RTX", 24_576, 672, 130.5, (7, 5), "Titan RTX 24GB"),
    _gpu("NVIDIA GeForce RTX 2080 Ti", "RTX 2080 Ti", 11_264, 616, 53.8, (7, 5), "2080 Ti 11GB"),
    _gpu("NVIDIA GeForce RTX 2080 SUPER", "RTX 2080 Super", 8_192, 496, 44.6, (7, 5), "2080 Super 8GB"),
    _gpu("NVIDIA GeForce RTX 2080", "RTX 2080", 8_192, 448, 40.3, (7, 5), "2080 8GB"),
    _gpu("NVIDIA GeForce RTX 2070 SUPER", "RTX 2070 Super", 8_192, 448, 36.3, (7, 5), "2070 Super 8GB"),
    _gpu("NVIDIA GeForce RTX 2070", "RTX 2070", 8_192, 448, 29.9, (7, 5), "2070 8GB"),
    # Their float16 is slower than float32, in which such a run is computed: this is float32's.
    _gpu("NVIDIA GeForce GTX 1080 Ti", "GTX 1080 Ti", 11_264, 484, 11.3, (6, 1), "1080 Ti 11GB", "1080 Ti"),
    _gpu("NVIDIA GeForce GTX 1080", "GTX 1080", 8_192, 320, 8.9, (6, 1), "1080 8GB", "1080"),
)

_EXAMPLES = ["H100", "A100 80GB", "L40S", "RTX 4090"]

# What a name may have or lack: brands, the socket, the kind of memory.
_LEFT_OUT = re.compile(
    r"nvidia|geforce|tesla|quadro|rtx|gtx|generation|edition|workstation|sxm[0-9]?|hbm[0-9]?e?"
)
# Not the G of A10G.
_UNIT_OF_SIZE = re.compile(r"(?<=[0-9])\s*gi?b(?![a-z])|(?<=[\s_-][0-9]{2})g(?![a-z])")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(gib|gb|g|mib|mb|m)?", re.IGNORECASE)
# A number with a unit or a sign, though none that a size has here.
_LIKE_A_SIZE = re.compile(
    r"[-+](?:[0-9.,]|nan|inf).*|[0-9.,]+e[-+]?[0-9]+.*|[0-9.,]+\s*[kmgtp]i?b?|[0-9]+,[0-9]+|nan|inf(?:inity)?",
    re.IGNORECASE,
)
_OF_OTHERS = re.compile(
    r"(?:amd|radeon|instinct|apple|intel|gaudi|tpu|arc)\b.*|(?:rx\s*)?[5-9][0-9]{3}\s*xtx?|rx\s*[0-9]{3,4}.*|"
    r"(?:amd\s*)?mi[0-9]{2,3}[a-z]?|m[1-9](?:\s*(?:pro|max|ultra))?|v[2-7][ep]|trainium.*",
    re.IGNORECASE,
)
_LARGEST_BARE = 300  # GiB: a larger number alone is the name of a GPU that is not known, not its memory
_SEVERAL = re.compile(
    r"(?P<before>[0-9]{1,3})\s*[x*×]\s*(?P<name>.+)|(?P<of>.+?)\s*[x*×:]\s*(?P<after>[0-9]{1,3})",
    re.IGNORECASE,
)


def _key(text: str) -> str:
    """What remains of a name: `NVIDIA A100-SXM4-80GB` and `a100 80` are the same."""
    plain = _UNIT_OF_SIZE.sub("", _LEFT_OUT.sub(" ", text.casefold()))
    return "".join(char for char in plain if char.isalnum())


@lru_cache(maxsize=1)
def _by_key() -> dict[str, Gpu]:
    found: dict[str, Gpu] = {}
    for gpu in GPUS:
        for text in (gpu.short, gpu.name, *gpu.aliases):
            found.setdefault(_key(text), gpu)
    return found


def find_gpu(text: str) -> Gpu:
    """The GPU of this name; brands, sockets, spaces, dashes and case do not matter.

    Where a name has several sizes (`a100`, `3080`), the more common one is meant. Raises InputError with the
    nearest names where none is known.
    """
    found = _by_key().get(_key(text))
    if found is not None:
        return found
    several = _SEVERAL.fullmatch(text.strip())
    if several is not None:
        name, number = several["name"] or several["of"], several["before"] or several["after"]
        if _key(name) in _by_key():
            hint = f"--gpu {name.strip()} training.num_processes={number} is what each of them takes"
            raise InputError(f"found {shorten(text)}, expected one GPU", key=KEY, hint=hint)
    if _OF_OTHERS.fullmatch(text.strip()):
        raise InputError(
            f"found {shorten(text)}: of NVIDIA's GPUs alone is known what they take",
            key=KEY,
            hint="the size of its memory says about as much: 24GB, 81559MiB",
        )
    raise InputError(f"no GPU is known as {shorten(text)}", key=KEY, hint=_hint(text))


def _hint(text: str) -> str:
    key, known = _key(text), _by_key()
    near = [other for other in known if key and (other.startswith(key) or key.startswith(other))]
    near += difflib.get_close_matches(key, known, n=4, cutoff=0.7)
    names = list(dict.fromkeys(known[other].short for other in near))[:4] or _EXAMPLES
    return f"known are {', '.join(names)}; or give the size of its memory: 24GB, 81559MiB"


def device_of(text: str) -> Device:
    """The device that a person names, by the name of a GPU or the size of its memory.

    `used_bytes` is what the driver keeps for itself, as NVML would count it. Sizes are powers of two whether
    written 24, 24GB or 24GiB: a GPU sold with 24 GB has 24 GiB. A number alone is a name where a GPU has it
    (4090) or no GPU is as large, else GiB. Raises InputError.
    """
    size = _SIZE.fullmatch(text.strip())
    if size is None or (size[2] is None and (_key(text) in _by_key() or float(size[1]) > _LARGEST_BARE)):
        if size is None and _key(text) not in _by_key() and _LIKE_A_SIZE.fullmatch(text.strip()):
            raise _no_size(text)
        gpu = find_gpu(text)
        return Device(gpu.name, gpu.total_bytes, used_bytes=gpu.reserved_bytes, capability=gpu.capability)
    in_mib = (size[2] or "g").lower().startswith("m")
    total = float(size[1]) * (_MIB if in_mib else _GIB)
    if not _MIB <= total <= _LARGEST_SIZE:
        raise _no_size(text)
    name = f"a GPU of {size[1]} {'MiB' if in_mib else 'GiB'}"
    return Device(name, round(total), used_bytes=_reserved(round(total)))


def _no_size(text: str) -> InputError:
    largest = f"{_LARGEST_SIZE // _GIB} GiB"
    problem = (
        f"found {shorten(text)}, expected a size from 1 MiB to {largest} (24GB, 81559MiB), or a GPU's name"
    )
    return InputError(problem, key=KEY)


def gpu_of(device: Device) -> Gpu | None:
    """The table's line for a device; None for one that is not in it, and for a MIG instance, whose speed is a
    share of its GPU's. Of those with the same name, the one with the nearest memory.
    """
    same = [gpu for gpu in GPUS if gpu.name == device.name]
    if same:
        return min(same, key=lambda gpu: abs(gpu.total_bytes - device.total_bytes))
    # Older drivers leave out NVIDIA or say Tesla.
    return _by_key().get(_key(device.name))


def sizes() -> tuple[tuple[str, int], ...]:
    """Short names and bytes of all that are known, the largest first."""
    return tuple(sorted(((gpu.short, gpu.total_bytes) for gpu in GPUS), key=lambda each: (-each[1], each[0])))
