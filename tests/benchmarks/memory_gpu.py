"""Real steps of the trainer on a GPU, with random weights: what is allocated in each moment.

    python tests/benchmarks/memory_gpu.py OUT.json             all cases within eight minutes (H200, 140 GB)
    python tests/benchmarks/memory_gpu.py OUT.json --cpu       the same cases of tiny models, on the CPU
    python tests/benchmarks/memory_gpu.py OUT.json --predict   afterwards, anywhere: the simulation beside it

Needs torch, transformers, accelerate, peft, bitsandbytes, pydantic, and what `sftui.training` imports; no
network and no model files. The file is written after each case: whatever ends the program leaves what it has.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
import warnings
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
if "--cpu" in sys.argv:
    os.environ["OMP_NUM_THREADS"] = "1"

import torch
import transformers

from sftui.data.sequences import Sequence
from sftui.machine import installed_version
from sftui.memory.step import autocast_dtype
from sftui.recipe import Recipe
from sftui.runs.directory import RunDirectory
from sftui.training import checkpoint
from sftui.training.arguments import training_arguments
from sftui.training.attention import choose_attention, use_attention
from sftui.training.fp8 import Fp8Linear
from sftui.training.meter import CudaMeter, Reading
from sftui.training.model import attach_adapter
from sftui.training.moments import Moments
from sftui.training.simulation import skeleton
from sftui.training.simulation.counting import Window
from sftui.training.simulation.layers import by_moment
from sftui.training.simulation.request import step_for
from sftui.training.simulation.simulate import simulate
from sftui.training.trainer import SftTrainer
from tests.benchmarks.memory_cases import CASES, MODELS, Case, recipe_of, tiny
from tests.training.counted_meter import CountedMeter

STEPS = 2


Peaks = dict[Window, Reading]


class GpuMeter(CudaMeter):
    """Torch's peaks, and all of them until the end."""

    def __init__(self, where: torch.device) -> None:
        super().__init__(where)
        self.peaks: Peaks = {}

    def readings(self) -> Peaks:
        found = super().readings()
        for window, each in found.items():
            before = self.peaks.get(window)
            self.peaks[window] = each if before is None else before.joined(each)
        return found


class CpuMeter(CountedMeter):
    """The same of a count on the CPU."""

    @property
    def peaks(self) -> Peaks:
        return {window: Reading(0, peak.total, peak.total) for window, peak in self.all_windows.items()}


class EndOfStep(transformers.TrainerCallback):
    """Tells moments that a step is over, as the trainer's own callback does."""

    def __init__(self, moments: Moments) -> None:
        self.moments = moments

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.moments.step_ends(state.global_step, None)


def filled(model: Any, quantizer: Any, where: torch.device) -> None:
    """Random weights on the device, quantised one by one."""
    made: dict[int, Any] = {}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        owner, _, key = name.rpartition(".")
        if id(parameter) not in made:
            value = torch.empty(parameter.shape, dtype=parameter.dtype, device=where).normal_(0, 0.02)
            kind: Any = type(parameter)
            if quantizer is None or not quantizer.param_needs_quantization(model, name):
                made[id(parameter)] = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
            elif isinstance(module := model.get_submodule(owner), Fp8Linear):
                stored = quantizer.get_quantize_ops().convert({name: value})
                made[id(parameter)], module.scale = stored[name], stored[f"{owner}.scale"]
            else:
                settings = {each: old for each, old in vars(parameter).items() if each != "SCB"}
                made[id(parameter)] = kind(value, requires_grad=False, **settings)._quantize(where)
        model.get_submodule(owner)._parameters[key] = made[id(parameter)]
    for name, buffer in list(model.named_buffers()):
        owner, _, key = name.rpartition(".")
        if isinstance(model.get_submodule(owner), Fp8Linear):
            continue
        values = torch.full(buffer.shape, 0.5, dtype=buffer.dtype, device=where)
        model.get_submodule(owner)._buffers[key] = values
    if quantizer is not None:
        quantizer.postprocess_model(model)
        model.hf_quantizer = quantizer
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def sequences(recipe: Recipe, vocabulary: int) -> list[Sequence]:
    """Rows of the full length; every other half as long where they are to be padded; halves to be packed."""
    data, training = recipe.data, recipe.training
    count = STEPS * training.gradient_accumulation_steps * training.per_device_train_batch_size
    lengths = [data.max_length] * count
    if data.packing != "none":
        lengths = [data.max_length // 2] * (2 * count)
    elif training.per_device_train_batch_size > 1:
        lengths = [data.max_length // (1 + number % 2) for number in range(count)]
    return [
        Sequence(
            array("I", [(7 * at + row) % vocabulary for at in range(size)]), b"\1" * size, row, f"row {row}"
        )
        for row, size in enumerate(lengths)
    ]


def measure(case: Case, cpu: bool, folder: Path) -> dict[str, Any]:
    where = torch.device("cpu") if cpu else torch.device("cuda", 0)
    recipe, config = question(case, cpu)
    step = step_for(recipe, config, {})
    transformers.set_seed(1)
    model, quantizer = skeleton.build(config, recipe.model, step, None)
    meter: Any = CpuMeter() if cpu else GpuMeter(where)
    moments = Moments(meter, None, where)
    with meter if cpu else torch.no_grad():
        filled(model, quantizer, where)
    attention = choose_attention(recipe, model, where)
    use_attention(model, attention)
    model.config.use_cache = False
    if recipe.adapter is not None:
        model = attach_adapter(model, recipe.adapter)
    moments.loaded(model, adapted=recipe.adapter is not None)
    if cpu:
        meter.take(model)
    rows = sequences(recipe, config.get_text_config().vocab_size)
    run = RunDirectory(folder)
    trainer = SftTrainer(
        recipe=recipe,
        run=run,
        journal=None,
        moments=moments,
        pad_id=0,
        train=rows,
        evaluation=rows[:1] if recipe.data.packing == "none" else [],
        flat=attention.flat,
        model=model,
        args=training_arguments(
            recipe,
            checkpoint.staging(run),
            evaluates=False,
            resumes=False,
            autocast=autocast_dtype(recipe),
            use_cpu=cpu,
        ),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(EndOfStep(moments))
    with meter if cpu else torch.enable_grad():
        trainer.train()
        if trainer.eval_dataset is not None:
            trainer.evaluate()
    windows = {window: each for window, each in meter.peaks.items() if window[0] != "between"}
    layers = config.get_text_config().num_hidden_layers
    highest = by_moment(windows, layers)
    wanted = {moment: each.peak for moment, each in highest.items() if moment != "load"}
    reserved = max(each.reserved for moment, each in highest.items() if moment != "load")
    return {
        "moments": {moment: each.peak for moment, each in highest.items()},
        "peak_bytes": max(wanted.values()),
        "reserved_bytes": reserved,
        "attention": attention.kernel,
        "parameters": sum(each.numel() for each in model.parameters()),
    }


def question(case: Case, cpu: bool) -> tuple[Recipe, Any]:
    """The recipe of a case and its model's configuration, both small on the CPU."""
    config = MODELS[case.model]()
    return (recipe_of(replace(case, length=64)), tiny(config)) if cpu else (recipe_of(case), config)


def loading(folder: Path, cpu: bool) -> dict[str, Any]:
    """What `from_pretrained` takes at most, of a model that is written to disk first."""
    if cpu:
        return {}
    config = MODELS["llama-1b"]()
    with torch.device("cuda"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder / "model")
    del model
    found = {}
    for name, options in {
        "bfloat16": {},
        "nf4": {"load_in_4bit": True, "bnb_4bit_use_double_quant": True},
    }.items():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        settings: Any = {}
        if options:
            settings["quantization_config"] = transformers.BitsAndBytesConfig(
                **options, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
            )
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder / "model", dtype=torch.bfloat16, device_map={"": 0}, **settings
        )
        found[name] = {
            "peak_bytes": torch.cuda.max_memory_allocated(),
            "allocated_bytes": torch.cuda.memory_allocated(),
        }
        del model
    return found


def device(cpu: bool) -> dict[str, Any]:
    if cpu:
        return {"name": "cpu"}
    torch.zeros(1, device="cuda").add_(1)
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return {
        "name": torch.cuda.get_device_name(),
        "capability": list(torch.cuda.get_device_capability()),
        "total_bytes": total,
        # What the process takes beside what torch reserved: the context and loaded kernels.
        "context_bytes": total - free - torch.cuda.memory_reserved(),
        "allocator": os.environ["PYTORCH_CUDA_ALLOC_CONF"],
    }


def run_all(file: Path, cpu: bool, seconds: float, only: str) -> None:
    started = time.monotonic()
    libraries = ("torch", "transformers", "accelerate", "peft", "bitsandbytes")
    report: dict[str, Any] = {
        "versions": {name: installed_version(name) for name in libraries} | {"cuda": torch.version.cuda},
        "device": device(cpu),
        "steps": STEPS,
        "results": [],
    }
    for case in CASES:
        if only not in case.name:
            continue
        if time.monotonic() - started > seconds:
            report["left_out"] = [*report.get("left_out", []), case.name]
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = measure(case, cpu, Path(folder))
            except Exception as error:  # out of memory, or something that these versions do not have
                found = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"}
        gc.collect()
        if not cpu:
            torch.cuda.empty_cache()
        result = {"case": case.name, "seconds": round(time.monotonic() - began, 2), **found}
        report["results"].append(result)
        print(json.dumps(result), file=sys.stderr, flush=True)
        file.write_text(json.dumps(report, indent=1))
    if not only and time.monotonic() - started < seconds:
        with tempfile.TemporaryDirectory() as folder:
            report["loading"] = loading(Path(folder), cpu)
    report["device_at_end"] = device(cpu)
    report["seconds"] = round(time.monotonic() - started, 1)
    file.write_text(json.dumps(report, indent=1))


def predict(file: Path) -> None:
    """Put what the simulation says beside what was measured, and print how far off it is."""
    report = json.loads(file.read_text())
    capability = report["device"].get("capability")
    cases = {case.name: case for case in CASES}
    off = []
    for result in report["results"]:
        case = cases.get(result["case"])
        if case is None or "peak_bytes" not in result:
            continue
        recipe, config = question(case, report["device"]["name"] == "cpu")
        where = tuple(capability) if capability else None
        step = step_for(recipe, config, {"capability": where})
        estimate = simulate(config, step, recipe, workspaces=where is not None)
        most = max(estimate.at(moment) for moment in estimate.moments if moment not in ("load", "save"))
        result["simulated"] = {moment: estimate.at(moment) for moment in estimate.moments}
        difference = most / result["peak_bytes"] - 1
        off.append(abs(difference))
        print(
            f"{result['case']:44} {result['peak_bytes'] / 1e9:9.3f} {most / 1e9:9.3f} {difference:+8.2%}"
            f"  reserved {result['reserved_bytes'] / result['peak_bytes']:.2f}"
        )
    off.sort()
    if off:
        print(f"{len(off)} cases, median {off[len(off) // 2]:.2%}, worst {off[-1]:.2%}")
    file.write_text(json.dumps(report, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--cpu", action="store_true", help="tiny models on the CPU")
    parser.add_argument("--predict", action="store_true", help="compare a file with the simulation")
    parser.add_argument("--seconds", type=float, default=480, help="begin no case after so many")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if chosen.predict:
        predict(chosen.file)
    else:
        run_all(chosen.file, chosen.cpu, chosen.seconds, chosen.only)


if __name__ == "__main__":
    main()
