"""Every field of the recipe decides something: some code of the engine reads it from its section."""

from __future__ import annotations

import ast

import pytest

from sftui.recipe_fields import FIELDS, FieldInfo, source_fields
from tests.recipe_reading import fields_read
from tests.run_fixtures import ROOT

# Where a run is made. What only checks, forecasts, estimates or advises on a field does not use it.
ROOMS = ("data", "runs", "training")
ADVICE = ("card.py", "failure.py", "leak_check.py", "leak_test.py")

READ = {
    read
    for room in ROOMS
    for file in (ROOT / "sftui" / room).rglob("*.py")
    if file.name not in ADVICE and "simulation" not in file.parts
    for read in fields_read(ast.parse(file.read_text()))
}

WANTED = [(field.section or "recipe", field.name) for field in FIELDS] + [
    ("source", field.name) for field in source_fields()
]


@pytest.mark.parametrize("wanted", WANTED, ids=".".join)
def test_every_field_is_read_by_the_engine(wanted: tuple[str, str]) -> None:
    assert wanted in READ, f"nothing that a run is made of reads {'.'.join(wanted)}"


@pytest.mark.parametrize("field", [field for field in FIELDS if field.kind == "choice"], ids=lambda f: f.key)
def test_a_choice_leaves_something_to_choose(field: FieldInfo) -> None:
    assert len(field.choices) > 1


def reads(text: str) -> set[tuple[str, str]]:
    return fields_read(ast.parse(text))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("recipe.training.seed", ("training", "seed")),
        ("self.recipe.model.dtype", ("model", "dtype")),
        ("t, m = recipe.training, recipe.model\nt.seed", ("training", "seed")),
        ("def f(data: DataSection): return data.max_length", ("data", "max_length")),
        ("def f(a: AdapterSection | None): return a.r", ("adapter", "r")),
        ("def f(r: Recipe):\n  a = r.adapter or None\n  return a.r", ("adapter", "r")),
        ("class A:\n  spec: DataSection\n  def f(self): return self.spec.packing", ("data", "packing")),
        ("[s.limit for s in recipe.data.train]", ("source", "limit")),
        ("for i, s in enumerate(recipe.data.eval): s.weight", ("source", "weight")),
        ("def f(many: Sequence[Source]): return many[0].split", ("source", "split")),
        ("N = ('seed',)\n{n: getattr(recipe.training, n) for n in N}", ("training", "seed")),
        ("getattr(recipe.training, 'seed')", ("training", "seed")),
    ],
)
def test_a_field_that_is_read_is_found(text: str, field: tuple[str, str]) -> None:
    assert field in reads(text)


@pytest.mark.parametrize(
    "text",
    [
        "status.seed",
        "recipe.training.seed = 3",
        "recipe.training.seed()",
        "training.seed",
        "def f(training: Arguments): return training.seed",
        "def f(t: TrainingSection): return 0\ndef g(t: Other): return t.seed",
        "{'training': 'seed'}",
        "N = ('seed',)\n{n: getattr(other, n) for n in N}",
    ],
)
def test_an_attribute_of_something_else_is_no_field_read(text: str) -> None:
    assert not [name for section, name in reads(text) if name == "seed"]


def test_two_sections_with_a_field_of_one_name_are_told_apart() -> None:
    assert reads("def f(a: AdapterSection, m: ModelSection): return a.dtype") == {("adapter", "dtype")}
