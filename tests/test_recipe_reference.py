"""The recipe reference is what the typed model says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sftui.recipe_fields import FIELDS, source_fields
from sftui.recipe_reference import main, reference
from tests.run_fixtures import ROOT


def test_the_page_in_docs_is_the_one_that_is_generated() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert page == reference(), "out of date: python -m sftui.recipe_reference docs/recipe.md"


def test_every_field_has_its_entry() -> None:
    page = reference()
    for field in (*FIELDS, *source_fields()):
        assert f"### `{field.name}`\n" in page
        assert field.what in page
        assert field.when in page


def test_the_page_is_printed_or_written(tmp_path: Path) -> None:
    main([str(tmp_path / "recipe.md")])
    assert (tmp_path / "recipe.md").read_text(encoding="utf-8") == reference()
    command = [sys.executable, "-m", "sftui.recipe_reference"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True, cwd=ROOT)
    assert done.stdout == reference()
