"""The commands: parse, call the engine, print or open the workbench."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sftui.command_line import DEFAULTS, first_word, parsers
from sftui.errors import InputError
from sftui.output import OutputError, ReaderGoneError, silence, told_output
from sftui.runs import FOLDER

if TYPE_CHECKING:
    from sftui.recipe import Recipe
    from sftui.runs.directory import RunDirectory

Command: TypeAlias = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed or 'no', 2 unusable input."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for what it lacks
    try:
        with told_output():
            return _run(list(sys.argv[1:] if argv is None else argv))
    except InputError as error:
        print(f"sftui: {error}", file=sys.stderr)
        return 2
    except ReaderGoneError:
        # The reader of our output has gone (`sftui log | head`): nothing more to say, at exit neither.
        silence()
        return 0
    except OutputError as error:
        print(f"sftui: cannot write: {error}", file=sys.stderr)
        silence()
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    parser, commands = parsers()
    if "_ARGCOMPLETE" in os.environ:
        from sftui.completion import complete

        complete(parser)
    named = first_word(arguments)
    if named is not None and named not in commands:
        # `sftui RECIPE [key=value ..]` opens the workbench on a recipe.
        arguments = ["open", *arguments]
    options, more = parser.parse_known_args(arguments, argparse.Namespace(commands=commands, **DEFAULTS))
    if hasattr(options, "overrides") and not any(word.startswith("-") for word in more):
        # argparse does not take them after an option: `sftui train RECIPE --detach key=value`.
        options.overrides = [*options.overrides, *more]
    elif more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    return _COMMANDS[getattr(options, "command", "open")](options)


def _command_line() -> list[str]:
    return ["sftui", *sys.argv[1:]]


def _folder(options: argparse.Namespace) -> Path:
    """Where the runs are."""
    return Path(options.output_dir or FOLDER).absolute()


def _recipe(options: argparse.Namespace) -> Recipe:
    """The recipe that a command names, with its overrides; `--output-dir` wins over what it says."""
    from sftui.recipe_file import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    if getattr(options, "output_dir", None) is not None:
        recipe.output_dir = str(_folder(options))
    return recipe


def _open(options: argparse.Namespace) -> int:
    """Open the workbench, on a recipe where one is given."""
    recipe, name = None, ""
    if getattr(options, "recipe", None) is not None:
        try:
            recipe, name = _recipe(options), options.recipe
        except InputError as error:
            near = difflib.get_close_matches(options.recipe, options.commands, n=1, cutoff=0.7)
            if near and error.problem.startswith("no such recipe"):
                raise InputError(
                    error.problem, file=error.file, hint=f"did you mean: sftui {near[0]}"
                ) from None
            raise
    folder = Path(recipe.output_dir) if recipe else _folder(options)
    return _workbench(options, folder, recipe=recipe, recipe_name=name)


def _why_no_workbench() -> str | None:
    """What is missing for the workbench to be shown."""
    from sftui.terminal import is_dumb

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "the workbench needs a terminal; see sftui --help for commands that do not"
    if is_dumb():
        term = f"TERM={os.environ['TERM']}" if os.environ.get("TERM") else "TERM is not set"
        return f"the terminal is dumb ({term}): expected one that can be drawn on, e.g. TERM=xterm-256color"
    return None


def _workbench(options: argparse.Namespace, folder: Path, **start: Any) -> int:
    if problem := _why_no_workbench():
        raise InputError(problem)
    from sftui.screens.app import Workbench

    app = Workbench(
        folder, refresh=options.refresh, glyphs=options.glyphs, command_line=_command_line(), **start
    )
    app.run()
    with contextlib.suppress(OSError):  # the terminal may be gone
        for words in filter(None, (app.parting_words, app.rescue())):
            print(words, flush=True)
    return app.return_code or 0


def _demo(options: argparse.Namespace) -> int:
    from sftui import demo
    from sftui.recipe_file import load_recipe
    from sftui.runs import launch

    recipe = load_recipe(demo.RECIPE)
    recipe.output_dir = str(_folder(options))
    run = launch.start(recipe, _command_line())
    if options.headless or _why_no_workbench():
        return _follow(run)
    return _workbench(options, _folder(options), run=run)


def _train(options: argparse.Namespace) -> int:
    from sftui import preflight
    from sftui.runs import launch

    recipe = _recipe(options)
    for finding in preflight.check(recipe):
        print(f"sftui: {finding}", file=sys.stderr)
    run = launch.start(recipe, _command_line())
    return _detach(run) if options.detach else _follow(run)


def _follow(run: RunDirectory) -> int:
    from sftui.progress import follow

    return follow(run)


def _detach(run: RunDirectory) -> int:
    """Print the run's id, and on stderr what else there is to know before leaving it alone."""
    from sftui.machine import survives_logout
    from sftui.runs.listing import name_for_commands

    survives, advice = survives_logout()
    if not survives:
        print(f"sftui: {advice}", file=sys.stderr)
    name = name_for_commands(run)
    if name != run.id:
        print(f"watch it with: sftui attach {name}", file=sys.stderr)
    print(run.id)
    return 0


def _preview(options: argparse.Namespace) -> int:
    from sftui import preview_text

    if options.row is not None and options.rows is not None:
        raise InputError("--row and --rows are both given: expected one of them")
    if options.json and options.svg:
        raise InputError("--json and --svg are both given: expected one of them")
    one = options.row if options.row is not None or options.rows is not None else "0"
    if one is not None and ":" in one:
        raise InputError(f"found {one}: expected one row number, or --rows A:B", key="--row")
    views = preview_text.views(
        _recipe(options),
        options.rows if one is None else one,
        options.sequence,
        held_out=options.eval,
        key="--rows" if one is None else "--row",
    )
    if options.json:
        for view in views:
            print(preview_text.dump(view))
    elif options.svg:
        preview_text.save_picture(views, options.svg)
    else:
        preview_text.print_views(views)
    return 0


def _check(options: argparse.Namespace) -> int:
    from sftui import check_text

    overviews = check_text.look(_recipe(options))
    check_text.print_answer(overviews, as_json=options.json)
    return check_text.verdict(check_text.findings_of(overviews))


def _pack(options: argparse.Namespace) -> int:
    from sftui import pack_text

    answer = pack_text.look(_recipe(options), options.strategy)
    pack_text.print_answer(answer, as_json=options.json, with_layout=options.layout)
    return pack_text.verdict(answer)


def _estimate(options: argparse.Namespace) -> int:
    from sftui import estimate_text

    found = estimate_text.look(_recipe(options), options.gpu)
    estimate_text.print_answer(found, as_json=options.json, compares=options.compare, explains=options.why)
    return estimate_text.verdict(found)


def _recipes(options: argparse.Namespace) -> int:
    from sftui import recipes_text

    words = list(options.show)
    if not words:
        ready = recipes_text.list_ready()
        print(recipes_text.as_json(ready) if options.json else recipes_text.as_text(ready))
        return 0
    if words == ["show"]:
        raise InputError("no name is given: expected sftui recipes show NAME", hint=recipes_text.names())
    if words[0] != "show" or len(words) != 2:
        raise InputError(f"found {' '.join(words)}: expected sftui recipes, or sftui recipes show NAME")
    if options.json:
        raise InputError("a recipe is shown as it is, in YAML: expected show NAME or --json", key="--json")
    print(recipes_text.ready_text(words[1]), end="")
    return 0


def _new(options: argparse.Namespace) -> int:
    from sftui import new_text

    made = new_text.make(
        options.data,
        model=options.model,
        gpu=options.gpu,
        method=options.method,
        overrides=options.overrides,
        file=options.output,
        force=options.force,
    )
    new_text.print_answer(made, options.output)
    return 0 if made.fits else 1


def _find(options: argparse.Namespace) -> RunDirectory:
    from sftui.runs.listing import find_run

    return find_run(options.run, _folder(options))


def _runs(options: argparse.Namespace) -> int:
    from sftui.runs.listing import list_runs
    from sftui.table import runs_as_json, runs_as_text

    listed = list_runs(_folder(options))
    if options.json:
        print(runs_as_json(listed))
    elif listed:
        print(runs_as_text(listed))
    else:
        print(
            f"no runs in {options.output_dir or FOLDER}; start one: sftui train RECIPE, or sftui demo",
            file=sys.stderr,
        )
    return 0


def _attach(options: argparse.Namespace) -> int:
    run = _find(options)
    return _workbench(options, run.path.parent, run=run)


def _log(options: argparse.Namespace) -> int:
    from sftui.progress import print_log

    print_log(_find(options), lines=options.lines, follow=options.follow)
    return 0


def _stop(options: argparse.Namespace) -> int:
    from sftui.progress import wait_for_end
    from sftui.runs import launch

    run = _find(options)
    if options.kill:
        if not launch.kill(run):
            raise InputError("is not running on this machine", file=run.id)
        print(f"{run.id}: killed")
        return 0
    launch.stop(run)
    print(f"{run.id}: will finish its step, save and end")
    return wait_for_end(run) if options.wait else 0


def _resume(options: argparse.Namespace) -> int:
    from sftui.runs import launch

    run = _find(options)
    launch.resume(run)
    checkpoint = run.last_checkpoint()
    after = f"after {checkpoint.name}" if checkpoint else "from the start: there is no checkpoint"
    print(f"{run.id}: goes on {after}", file=sys.stderr)
    return _detach(run) if options.detach else _follow(run)


def _doctor(options: argparse.Namespace) -> int:
    import json

    from sftui import doctor

    checks = doctor.diagnose()
    print(json.dumps(doctor.as_json(checks), indent=2) if options.json else doctor.render(checks))
    return doctor.exit_code(checks)


def _completion(options: argparse.Namespace) -> int:
    from sftui.completion import shell_code

    print(shell_code(options.shell), end="")
    return 0


_COMMANDS: dict[str, Command] = {
    "open": _open,
    "demo": _demo,
    "new": _new,
    "recipes": _recipes,
    "train": _train,
    "preview": _preview,
    "check": _check,
    "pack": _pack,
    "estimate": _estimate,
    "runs": _runs,
    "attach": _attach,
    "log": _log,
    "stop": _stop,
    "resume": _resume,
    "doctor": _doctor,
    "completion": _completion,
}
