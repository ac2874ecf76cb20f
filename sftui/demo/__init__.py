"""What `sftui demo` trains: a small chat model of our own making and a dataset with one thing to learn."""

from pathlib import Path

RECIPE = Path(__file__).parent / "recipe.yaml"
