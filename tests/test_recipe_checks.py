"""Each finding in a recipe appears exactly where it should, beside the field that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sftui.checks import device as device_checks
from sftui.checks.finding import SEVERITIES
from sftui.devices import Machine
from sftui.errors import InputError
from sftui.known_models import known_model
from sftui.memory.answer import answer
from sftui.memory.config_file import shape_of
from sftui.memory.levers import changed
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe
from sftui.recipe_checks import Finding, check, mended
from sftui.recipe_file import load_recipe, parse_recipe, ready_recipes
from tests.check_fixtures import GEMMA_2, GIB, LLAMA_8B, MAMBA, MIXTRAL, TINY, gpu, machine, model

FULL = ("adapter=null", "model.quantization=none")
LORA = ("model.quantization=none",)


@dataclass(frozen=True)
class Case:
    """A recipe, given by its overrides, with exactly these findings beside `key`; `mends`: values help."""

    code: str
    key: str
    overrides: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=lambda: LLAMA_8B)
    gpus: tuple[str, ...] = ("H100",)
    disk: int = 1000 * GIB
    packages: tuple[str, ...] = ("bitsandbytes", "flash_attn", "flash_attn_interface")
    mends: bool = True
    steps: int | None = None


CPU: tuple[str, ...] = ()
NOTHING: tuple[str, ...] = ()
T4, FLASH = ("T4",), "model.attn_implementation=flash_attention_2"
ATTENTION = "model.attn_implementation"
STORED_NF4 = LLAMA_8B | {
    "quantization_config": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": "bfloat16",
    }
}
STORED_FP8 = LLAMA_8B | {"quantization_config": {"quant_method": "fp8"}}
RATE = "training.learning_rate=2e-5"

MIXED = ("model.dtype=float32", "adapter.dtype=bfloat16")
CASES = [
    Case("model-missing", "model.name_or_path", ("model.name_or_path={folder}/modle",)),
    Case("model-missing", "model.name_or_path", ("model.name_or_path=no/such/model",), mends=False),
    Case("model-not-here", "model.name_or_path", ("model.name_or_path=owner/other",), mends=False),
    Case("remote-code", "model.trust_remote_code", ("model.trust_remote_code=true",), mends=False),
    Case("data-missing", "data.train.0.path", ("data.train.0.path={folder}/row.jsonl",)),
    Case("data-missing", "data.eval.1.path", ("data.eval=[{rows}, {folder}/rows.jsnl]",)),
    Case("template-missing", "data.chat_template", ("data.chat_template=chatlm",), mends=False),
    Case("template-missing", "data.chat_template", ("data.chat_template={folder}/my.jinja",), mends=False),
    Case("output-not-writable", "output_dir", ("output_dir={rows}/runs",), mends=False),
    Case("result-too-large", "output_dir", (*FULL, RATE), disk=GIB, mends=False),
    Case("checkpoints-too-large", "training.save_total_limit", (*FULL, RATE), disk=120 * GIB),
    Case("checkpoints-too-large", "training.save_total_limit", (*FULL, RATE), disk=60 * GIB),
    Case("bfloat16-unsupported", "model.dtype", gpus=T4),
    Case("float16-on-cpu", "model.dtype", ("model.dtype=float16",), gpus=CPU),
    Case("attention-needs-gpu", ATTENTION, (FLASH,), gpus=CPU),
    Case("attention-needs-gpu", ATTENTION, (f"{ATTENTION}=flex_attention",), gpus=CPU),
    Case("attention-needs-ampere", ATTENTION, (FLASH, "model.dtype=float16"), gpus=T4),
    Case("attention-not-installed", ATTENTION, (FLASH,), packages=("bitsandbytes",)),
    Case("attention-float32", ATTENTION, (FLASH, "model.dtype=float32")),
    Case("attention-capped", ATTENTION, (f"{ATTENTION}=varlen", "data.packing=best_fit"), GEMMA_2),
    Case("packing-refused", "data.packing", ("data.packing=best_fit",), MAMBA),
    Case("stored-quantised", "model.quantization", LORA, STORED_NF4),
    Case("stored-quantised", "model.name_or_path", config=STORED_FP8, mends=False),
    Case("packing-masked", ATTENTION, (f"{ATTENTION}=sdpa", "data.packing=best_fit")),
    Case("bitsandbytes-missing", "model.quantization", packages=NOTHING),
    Case("bitsandbytes-missing", "training.optim", (*LORA, "training.optim=lion_8bit"), packages=NOTHING),
    Case(
        "too-many-processes", "training.num_processes", ("training.num_processes=3",), gpus=("H100", "H100")
    ),
    Case("targets-unknown", "adapter.target_modules", ("adapter.target_modules=[query, q_prj]",)),
    Case("targets-unknown", "adapter.target_modules", ("adapter.target_modules=model[.]foo",)),
    Case("target-unknown", "adapter.target_modules", ("adapter.target_modules=[q_proj, v_prj]",)),
    Case("saved-unknown", "adapter.modules_to_save", ("adapter.modules_to_save=[lm_hed]",)),
    Case("expert-dropout", "adapter.lora_dropout", ("adapter.lora_dropout=0.1",), MIXTRAL),
    Case("expert-dora", "adapter.use_dora", ("adapter.use_dora=true",), MIXTRAL),
    Case("saved-mixed", "adapter.dtype", (*MIXED, "adapter.modules_to_save=[lm_head]")),
    Case("scale-unusual", "adapter.lora_alpha", ("adapter.r=16", "adapter.lora_alpha=256")),
    Case(
        "scale-unusual",
        "adapter.lora_alpha",
        ("adapter.use_rslora=true", "adapter.r=64", "adapter.lora_alpha=128"),
    ),
    Case("learning-rate-high", "training.learning_rate", ("training.learning_rate=2e-3",)),
    Case("learning-rate-high", "training.learning_rate", FULL),
    Case("learning-rate-low", "training.learning_rate", ("training.learning_rate=1e-6",)),
    Case("warmup-too-long", "training.warmup_steps", ("training.warmup_steps=100", "training.max_steps=100")),
    Case("warmup-too-long", "training.warmup_steps", ("training.warmup_steps=100",), steps=60),
    Case("warmup-too-long", "training.warmup_steps", ("training.warmup_steps=0.6",)),
    Case(
        "warmup-unused",
        "training.warmup_steps",
        ("training.warmup_steps=0.1", "training.lr_scheduler_type=constant"),
    ),
    Case("no-checkpoint", "training.save_steps", ("training.save_steps=500", "training.max_steps=100")),
    Case("no-checkpoint", "training.save_steps", ("training.save_steps=500",), steps=499),
    Case("evaluation-without-data", "training.eval_strategy", ("training.eval_strategy=epoch",)),
    Case("evaluation-without-data", "training.eval_steps", ("training.eval_steps=10",)),
    Case("no-samples", "training.sample_rows", ("training.sample_rows=3",)),
    Case(
        "evaluation-at-ends", "training.eval_steps", ("data.eval={rows}", "training.eval_steps=50"), steps=20
    ),
    Case("held-out-unused", "data.eval_fraction", ("data.eval_fraction=0.1", "training.eval_strategy='no'")),
    Case("held-out-unused", "data.eval", ("data.eval={rows}", "training.eval_strategy='no'")),
    Case("beyond-positions", "data.max_length", ("data.max_length=16384",)),
]

FINE = [
    Case("", "", ("training.optim=sgd", "training.learning_rate=1")),
    Case("", "", ("training.learning_rate=2e-3",), TINY),
    Case("", "", ("adapter.lora_dropout=0.1", "adapter.use_dora=true")),
    Case("", "", ("adapter.lora_dropout=0.1", "adapter.target_modules=[q_proj, v_proj]"), MIXTRAL),
    Case("", "", ("data.packing=none", "data.max_length=8192", f"{ATTENTION}=sdpa")),
    Case("", "", ("data.packing=best_fit", "adapter.modules_to_save=[lm_head, embed_tokens]")),
    Case(
        "", "", ("data.max_length=16384",), LLAMA_8B | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}
    ),
    Case("", "", (*MIXED, "adapter.modules_to_save=[embed_tokens]")),
    Case("", "", ("model.dtype=float16",), gpus=T4),
    Case("", "", ("training.num_processes=2",), gpus=CPU),
    Case("", "", ("data.train.0.path={folder}/*.jsonl", "data.chat_template=chatml")),
    Case("", "", ("data.train.0.path=owner/dataset",)),
    Case("", "", (FLASH,), packages=("bitsandbytes", "kernels")),
    Case("", "", ("training.eval_strategy='no'", "training.eval_steps=10")),
    Case("", "", ("training.save_steps=100", "training.warmup_steps=99"), steps=100),
    Case("", "", (*FULL, RATE), packages=NOTHING),
    Case("", "", (*FULL, RATE), disk=160 * GIB),
    Case("", "", gpus=CPU),
]


@dataclass(frozen=True)
class Made:
    """A recipe on a machine."""

    recipe: Recipe
    machine: Machine
    steps: int | None

    def findings(self, recipe: Recipe | None = None) -> tuple[Finding, ...]:
        return check(recipe or self.recipe, self.machine, steps=self.steps)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], Made]:
    def made(case: Case) -> Made:
        rows = tmp_path / "rows.jsonl"
        rows.write_text("{}\n")
        monkeypatch.setattr(device_checks, "_installed", case.packages.__contains__)
        monkeypatch.setattr(device_checks, "_AMD", tmp_path / "no-such-driver")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        there = model(tmp_path, case.config)
        text = f"{{model: {{name_or_path: {there}}}, data: {{train: {rows}}}, output_dir: {tmp_path}/runs}}"
        filled = (
            each.replace("{folder}", str(tmp_path)).replace("{rows}", str(rows)) for each in case.overrides
        )
        recipe = parse_recipe(text, filled, base=tmp_path)
        devices = map(gpu, case.gpus)
        return Made(recipe, machine(*devices, folder=tmp_path, disk=case.disk), case.steps)

    return made


def places(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(one.code, one.key) for one in findings]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.overrides[-1:]}")
def test_a_finding_is_the_only_one_where_it_should_be_and_its_values_mend_it(
    make: Callable[[Case], Made], case: Case
) -> None:
    made = make(case)
    findings = made.findings()
    assert places(findings) == [(case.code, case.key)]
    (one,) = findings
    assert one.severity == SEVERITIES[case.code]
    assert bool(one.values) == case.mends
    if case.mends:
        recipe = changed_by(made.recipe, one)
        assert made.findings(recipe) == ()


def changed_by(recipe: Recipe, finding: Finding) -> Recipe:
    tree = recipe.model_dump(exclude_unset=True)
    for key, value in finding.values.items():
        *parts, last = key.split(".")
        node: Any = tree
        for part in parts:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        node[last] = value
    return Recipe.model_validate(tree)


@pytest.mark.parametrize("case", FINE, ids=lambda case: str(case.overrides))
def test_what_is_as_it_should_be_has_no_finding(make: Callable[[Case], Made], case: Case) -> None:
    assert make(case).findings() == ()


def test_every_code_has_a_case() -> None:
    of_estimates, of_rows = {"out-of-memory", "memory-tight"}, {"model-not-read", "format-not-recognised"}
    assert {case.code for case in CASES} | of_estimates | of_rows == set(SEVERITIES)


@pytest.mark.parametrize("file", sorted(ready_recipes().glob("*.yaml")), ids=lambda file: file.stem)
def test_ready_recipes_have_no_finding_on_a_large_gpu(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_checks, "_installed", lambda module: module == "bitsandbytes")
    (tmp_path / "train.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(file)
    known = known_model(recipe.model.name_or_path)
    assert known is not None, "its shape is looked at too"
    here = machine(gpu("B300"), folder=tmp_path)
    found = check(recipe, here, answer=answer(recipe, known.shape, here.devices[0]))
    assert places(found) == [("model-not-here", "model.name_or_path")]


# Memory


def llama(*overrides: str) -> tuple[Recipe, ModelShape]:
    shape = shape_of(LLAMA_8B)
    assert isinstance(shape, ModelShape)
    text = "{model: {name_or_path: owner/llama}, data: {train: owner/rows}}"
    return parse_recipe(text, overrides, base=Path("/tmp")), shape


@pytest.mark.parametrize(
    ("gpu_name", "overrides", "code"),
    [
        ("H100", (), None),
        ("4060", ("data.max_length=1024",), "memory-tight"),
        ("4090", (*FULL, RATE), "out-of-memory"),
    ],
)
def test_what_does_not_fit_is_found_and_mended_by_the_cheapest_change(
    tmp_path: Path, gpu_name: str, overrides: tuple[str, ...], code: str | None
) -> None:
    recipe, shape = llama(*overrides)
    here = machine(gpu(gpu_name), folder=tmp_path)
    asked = answer(recipe, shape, here.devices[0])
    found = check(recipe, here, answer=asked)
    memory = [one for one in found if one.code in ("out-of-memory", "memory-tight")]
    assert [one.code for one in memory] == ([] if code is None else [code])
    assert not any(one.values for one in memory), "what would help takes longer than a look"
    after = mended(found, asked)
    assert [one.code for one in after] == [one.code for one in found]
    for one in after:
        if one.code == code:
            assert one.key in one.values
            fitting = changed(recipe, one.values)
            assert fitting is not None
            assert answer(fitting, shape, here.devices[0]).verdict == "fits"


# Findings as a command says them


def test_errors_come_first_and_are_what_a_command_refuses(make: Callable[[Case], Made]) -> None:
    overrides = ("adapter.lora_alpha=512", "model.trust_remote_code=true", "adapter.target_modules=[nothing]")
    findings = make(Case("", "", overrides)).findings()
    assert [one.severity for one in findings] == ["error", "warning", "info"]
    error = findings[0].as_error()
    assert isinstance(error, InputError)
    assert str(error) == str(findings[0])
    assert str(error).startswith("adapter.target_modules: found ['nothing']")


def test_a_model_in_the_hub_cache_is_found_by_branch_and_commit(tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "models--owner--small"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc123")
    (cached / "snapshots").mkdir()
    model(cached / "snapshots", LLAMA_8B, "abc123")
    here = machine(gpu("H100"), folder=tmp_path)
    text = "{model: {name_or_path: owner/small}, data: {train: owner/rows, max_length: 16384}}"
    for revision, codes in (
        ("null", "beyond-positions"),
        ("abc123", "beyond-positions"),
        ("v2", "model-not-here"),
    ):
        recipe = parse_recipe(text, [f"model.revision={revision}"], base=tmp_path)
        assert [one.code for one in check(recipe, here)] == [codes]


def test_that_downloads_are_forbidden_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recipe, _ = llama()
    (one,) = check(recipe, machine(gpu("H100"), folder=tmp_path))
    assert one.code == "model-not-here"
    assert "HF_HUB_OFFLINE" in one.message


def test_gpus_that_cannot_be_asked_are_not_taken_for_a_cpu(
    make: Callable[[Case], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(Case("", "", ("model.dtype=float16",), gpus=CPU))
    assert [one.code for one in made.findings()] == ["float16-on-cpu"]
    monkeypatch.setattr(device_checks, "_AMD", tmp_path)
    assert made.findings() == ()
