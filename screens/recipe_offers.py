"""Recipes to open: one made for a dataset, those that lie here, ready ones, those of runs, the demo's."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sftui.printable import printable

if TYPE_CHECKING:
    from .app import Workbench
    from .open_recipe import OpenRecipe
    from .recipe_new import Made

MOST_FILES, MOST_RUNS = 8, 8
MOST_BYTES = 100_000  # of a file that may be a recipe
NAME = 24

Kind = Literal["heading", "new", "file", "ready", "run", "demo"]


class Offer(NamedTuple):
    """A line: `value` is a file, a ready recipe's name, a run's folder or, of the demo, that of runs."""

    kind: Kind
    label: str
    note: str = ""
    value: str = ""


def offers(here: Path, runs: Path) -> list[Offer]:
    """All of them, under headings; for a thread. `here` is looked through for recipes, `runs` for runs."""
    from sftui.recipes_text import list_ready
    from sftui.runs.listing import list_runs

    found = [
        Offer("heading", "your data"),
        Offer("new", "new recipe", "for a dataset: model, method and lengths are chosen to fit this machine"),
    ]
    files = _files(here)
    if files:
        found += [Offer("heading", f"in {here.name or here}"), *files]
    found.append(Offer("heading", "ready recipes"))
    found += [
        Offer("ready", one.name, f"{one.gpu.partition(';')[0]}: {one.title}", one.name)
        for one in list_ready()
    ]
    past = [
        Offer("run", one.run.id, one.status.state, str(one.run.path))
        for one in islice(list_runs(runs), MOST_RUNS)
        if one.run.recipe_file.exists()
    ]
    if past:
        found += [Offer("heading", "of your last runs"), *past]
    return [
        *found,
        Offer("heading", "to see how it works"),
        Offer("demo", "demo", "small, nothing to download", str(runs)),
    ]


def _files(here: Path) -> list[Offer]:
    names = (file.name for file in sorted(here.glob("*.y*ml")) if _reads_like_one(file))
    return [Offer("file", name, "", name) for name in islice(names, MOST_FILES)]


def _reads_like_one(file: Path) -> bool:
    try:
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            return False
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "model" in text and "data" in text and "train" in text


def opened(offer: Offer) -> OpenRecipe:
    """The recipe of an offer; for a thread. Raises InputError where it cannot be read."""
    from .open_recipe import OpenRecipe

    if offer.kind == "run":
        from sftui.runs.directory import RunDirectory

        return OpenRecipe.of_run(RunDirectory(Path(offer.value)))
    if offer.kind == "demo":
        from sftui import demo
        from sftui.recipe_document import Document

        file = Path(demo.RECIPE)
        document = Document(file.read_text(encoding="utf-8"), "demo.yaml", file.parent)
        # Its model and rows lie within sftui; its runs must not.
        document = document.with_value("output_dir", offer.value)
        return OpenRecipe.of_text("demo.yaml", document.text, file.parent, is_copy=True)
    return OpenRecipe.of_file(offer.value)


def take(app: Workbench, offer: Offer) -> None:
    """Open what is offered, after a yes where something would be lost."""
    lost = app.opened.lost

    def go() -> None:
        if offer.kind == "new":
            from .recipe_new import NewRecipe

            app.push_screen(NewRecipe(Path.cwd(), app.folder), made_new)
            return
        found: list[OpenRecipe] = []
        app.attempt(lambda: found.append(opened(offer)), lambda: made(found[0]))

    def made(recipe: OpenRecipe | None) -> None:
        if recipe is not None:
            app.opened.open(recipe)

    def made_new(answer: Made | None) -> None:
        if answer is not None:
            app.memory_device = answer.named
            made(answer.recipe)
            if not answer.fits:
                app.notify("no way was found to make it fit: see its first lines", severity="warning")

    def answered(yes: bool | None) -> None:
        if yes:
            go()

    if lost:
        from .confirm import Confirm

        lines = "\n".join(f"  {change}" for change in lost)
        app.push_screen(Confirm(f"Open another recipe without saving?\n{lines}", "open", "stay"), answered)
    else:
        go()


def offer_line(offer: Offer, width: int) -> list[tuple[str, str]]:
    """A heading, or a name and what it is for."""
    if offer.kind == "heading":
        return [(f"{offer.label} ", "bold"), ("─" * max(0, width - len(offer.label) - 1), "faint")]
    return [(f"  {printable(offer.label):{NAME}} ", "accent"), (printable(offer.note), "muted")]
