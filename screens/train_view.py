"""What the Train screen says, as text: pure functions of a run's status and history."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.content import Content

from sftui.printable import printable, printable_lines
from sftui.runs.directory import RunDirectory
from sftui.runs.history import Answer, History
from sftui.runs.memory_history import MemoryHistory
from sftui.runs.status import Status
from sftui.words import apart, count, duration, number, rate, size

from .widgets.bars import meter, progress
from .widgets.state import state_text

DELTA_STEPS = 100
# A measured peak further from the predicted one than this is out of the ordinary.
EXPECTED = 0.03
LABEL = 11

Part = Content | str | tuple[str, str]


def subject(status: Status, history: History, now: float, width: int, *, frozen: bool) -> Content:
    """State, step, end, pace and epoch of a run in one line; the last give way where it is narrow."""
    parts: list[Part] = [state_text(status.state), "  "]
    if status.max_steps:
        parts += ["step ", (f"{status.step:,}", "bold"), f"/{status.max_steps:,}"]
    pace = history.seconds_per_step()
    left = history.seconds_left(status.max_steps)
    if status.state == "running" and pace is not None and left is not None:
        clock = time.strftime(" (%H:%M)", time.localtime(now + left)) if width >= 98 else ""
        parts.append(f"  ends in {duration(left)}{clock}")
        parts.append(f"  {duration(pace)}/step" if width >= 70 else "")
    elif status.started and not status.alive:
        parts.append(f"  took {duration(status.seconds(now))}")
    if status.num_train_epochs and width >= 70:
        parts.append(f"  epoch {status.epoch:.2f}/{status.num_train_epochs:g}")
    if status.detail and status.alive:
        parts += ["  ", (printable(status.detail), "$text-accent")]
    if status.alive and status.heartbeat and now - status.heartbeat > 60:
        parts += ["  ", (f"no sign of life for {duration(now - status.heartbeat)}", "bold $text-warning")]
    if frozen:
        parts += ["  ", (" frozen (Space) ", "reverse")]
    return Content.assemble(*parts)


def progress_line(status: Status, width: int) -> Content:
    """A thin bar with the share of steps done."""
    fraction = status.step / status.max_steps if status.max_steps else 0.0
    done, rest = progress(fraction, max(1, width - 6))
    return Content.assemble((done, "$accent"), (rest, "$foreground-muted"), f"{fraction:>5.0%}")


def notice(status: Status, run: RunDirectory) -> Content | None:
    """What a person must know about how the run ended and what they can do; None while it is alive."""
    if status.state == "failed" and status.error:
        cause, advice = printable_lines(status.error.cause), printable(status.error.advice)
        then = (
            "r resumes"
            if status.error.resumable
            else f"Anew: sftui train {_from_here(run.recipe_file)} key=value"
        )
        return Content.assemble((f"failed: {cause}\n", "bold $text-error"), f"{advice}. {then}")
    if status.state == "lost":
        steps = run.checkpoint_steps()
        after = (
            f"r resumes after step {steps[-1]:,}" if steps else "r starts it again: no checkpoint was written"
        )
        text = "lost: the trainer ended without a word (killed, out of host memory, or the machine restarted)"
        return Content.assemble((f"{text}\n", "bold $text-warning"), after)
    if status.state == "stopped":
        return Content(f"stopped and saved after step {status.step:,}. r resumes")
    if status.state == "finished" and run.result is not None:
        return Content.assemble(
            ("finished. ", "bold $text-success"), f"{run.result.name}: {_from_here(run.result)}"
        )
    return None


def _from_here(path: Path) -> str:
    """A path as short as it can be typed where the workbench was started."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def now_panel(status: Status, history: History) -> Content:
    """The last values, a line each."""
    event: Mapping[str, Any] = history.step or {}
    best = history.best_eval()
    last_eval = history.eval_loss.last
    tokens, trained = event.get("tokens"), event.get("trained_tokens")
    speed = event.get("tokens_per_second")
    lines = [
        _line("loss", number(event.get("loss")), _delta(history)),
        _line("eval loss", *((number(last_eval.value), f"at {last_eval.step:,}") if last_eval else ("", ""))),
        _line("best", *((number(best[1]), f"at {best[0]:,}") if best else ("", ""))),
        _line("lr", rate(event.get("learning_rate")), ""),
        _line("grad norm", number(event.get("grad_norm"), 3), ""),
        _line("speed", count(speed) if speed else "", "tok/s"),
        _line("tokens", count(tokens) if tokens else "", "seen"),
        _line(
            "trained",
            count(trained) if trained else "",
            f"{trained / tokens:.0%}" if trained and tokens else "",
        ),
        _line("checkpoint", f"{history.checkpoints[-1]:,}" if history.checkpoints else "", ""),
    ]
    return Content("\n").join(lines)


def machine_panel(history: History, width: int) -> Content:
    """GPU memory with what was predicted, load, power and heat; CPU and RAM."""
    memory = history.memory
    if memory is None:
        return Content.styled("no sample yet", "$foreground-muted")
    lines: list[Content] = []
    total = next((gpu["total_bytes"] for gpu in _own(memory) if gpu.get("total_bytes")), None)
    on_gpu = bool(total) and _counts(memory)
    predicted = history.taken.predicted
    if total and on_gpu:
        values = {label: memory.get(f"{label}_bytes") for label in ("allocated", "reserved")}
        values["peak"] = history.taken.highest
        values["predicted"] = None if predicted is None else predicted.peak_bytes
        lines += [_meter(label, used, total, width) for label, used in values.items() if used is not None]
    for gpu in _own(memory):
        used, all_of_it = gpu.get("used_bytes"), gpu.get("total_bytes")
        if used is not None and all_of_it:
            lines.append(_meter(_gpu_label(gpu), used, all_of_it, width))
        facts = _gpu_facts(gpu)
        if facts:
            lines.append(Content(f"{'':{LABEL}}{facts}"))
    if on_gpu:
        pairs = [*_cpu_and_ram(memory), ("trainer", size(memory.get("rss_bytes")))]
        return Content("\n").join([*lines, _pairs(pairs, width)])
    cpu = memory.get("cpu_percent")
    lines.append(_line("CPU", f"{cpu:.0f}%" if cpu is not None else "", "of one core"))
    if memory.get("rss_bytes"):
        lines.append(_line("trainer", size(memory["rss_bytes"]), "of RAM"))
    if memory.get("ram_total_bytes") and memory.get("ram_used_bytes") is not None:
        lines.append(_meter("RAM", memory["ram_used_bytes"], memory["ram_total_bytes"], width))
    if predicted is not None and _on_cpu(history):
        lines.append(_line("on a GPU", size(predicted.peak_bytes), "predicted"))
    return Content("\n").join(lines)


def compared(taken: MemoryHistory) -> Content:
    """How far the measured peak is from the predicted one, in words; nothing before a step was measured."""
    difference = taken.difference
    if difference is None:
        return Content("")
    style = "$text-warning" if abs(difference) > EXPECTED else ""
    return Content.styled(f"peak {apart(difference)} predicted", style)


def early_warning(status: Status, history: History) -> Content | None:
    """The newest warning before the first step is done: that the largest batch may not fit, say."""
    if status.step or not status.alive or not history.warnings:
        return None
    return Content.assemble(("! ", "bold $text-warning"), printable(history.warnings[-1]))


def machine_title(memory: Mapping[str, Any] | None, status: Status) -> str:
    """The border title of the machine panel."""
    names = [str(gpu.get("name")) for gpu in _own(memory or {})]
    title = "machine" if not names else names[0] if len(names) == 1 else f"{len(names)} × {names[0]}"
    return title if status.alive or memory is None else f"{title}, at the end"


def can_be_asked(history: History, request: str) -> bool:
    """Whether the run can do what is asked for: there is nothing to evaluate without held-out rows."""
    start: Mapping[str, Any] = history.start or {}
    needed = {"evaluate": "eval_sequences", "sample": "sample_rows"}.get(request)
    return needed is None or bool(start.get(needed))


def numbers(status: Status, history: History, width: int) -> Content:
    """The same values in three or four lines, for a narrow terminal; where it is low, two have room."""
    event: Mapping[str, Any] = history.step or {}
    memory: Mapping[str, Any] = history.memory or {}
    last_eval = history.eval_loss.last
    speed, tokens, trained = (event.get(key) for key in ("tokens_per_second", "tokens", "trained_tokens"))
    first = [
        ("loss", number(event.get("loss"))),
        ("eval", number(last_eval.value) if last_eval else ""),
        ("lr", rate(event.get("learning_rate"))),
        ("norm", number(event.get("grad_norm"), 3)),
        ("tok/s", count(speed) if speed else ""),
    ]
    second: list[tuple[str, str]] = []
    for gpu in _own(memory):
        used, total = gpu.get("used_bytes"), gpu.get("total_bytes")
        if used is not None and total:
            second.append((_gpu_label(gpu), f"{used / 2**30:.1f}/{total / 2**30:.0f} GiB"))
        second.append(("", _gpu_facts(gpu)))
    second += _cpu_and_ram(memory)
    third = [("tokens", count(tokens) if tokens else ""), ("trained", count(trained) if trained else "")]
    for label, key in (
        ("allocated", "allocated_bytes"),
        ("reserved", "reserved_bytes"),
        ("trainer", "rss_bytes"),
    ):
        third.append((label, size(memory.get(key))))
    lines = [first, second, third]
    if (predicted := history.taken.predicted) is not None and _on_cpu(history):
        second.append(("on a GPU", f"{size(predicted.peak_bytes)} predicted"))
    elif predicted is not None or _counts(memory):
        difference = history.taken.difference
        fourth = [
            ("peak", size(history.taken.highest)),
            ("predicted", "" if predicted is None else size(predicted.peak_bytes)),
            ("measured", "" if difference is None else apart(difference)),
        ]
        lines.append(fourth)
    if status.error:
        # What went wrong needs the room of lines that have nothing to say.
        lines = [line for line in lines if any(value for _, value in line)]
    return Content("\n").join([_pairs(line, width) for line in lines])


def answers(pairs: Sequence[tuple[Answer, Answer]], single: Sequence[Answer]) -> Content:
    """Held-out questions with the model's answers before and after; only before where there is no after."""
    parts: list[Part] = []
    for first, latest in pairs:
        parts += [*_question(first), *_answer(first, ""), *_answer(latest, "bold $text-accent")]
    if not pairs:
        for answer in single:
            parts += [*_question(answer), *_answer(answer, "")]
    if not parts:
        return Content.styled(
            "no answers yet: training.sample_rows says how many held-out rows are answered",
            "$foreground-muted",
        )
    return Content.assemble(*parts).rstrip()


def warnings(messages: Sequence[str]) -> Content:
    """All warnings, the newest last."""
    if not messages:
        return Content.styled("no warnings", "$foreground-muted")
    return Content("\n").join(
        [Content.assemble(("! ", "bold $text-warning"), printable(m)) for m in messages]
    )


def log(lines: Sequence[str]) -> Content:
    """The end of the trainer's log."""
    if not lines:
        return Content.styled("the log is empty", "$foreground-muted")
    return Content("\n".join(printable(line) for line in lines))


def _question(answer: Answer) -> list[Part]:
    return [
        (printable(answer.prompt), "bold"),
        (f"  {printable(answer.where).rpartition('/')[2]}\n", "$foreground-muted"),
        (f"  {'expected':<12}{printable(answer.expected)}\n", "$foreground-muted"),
    ]


def _answer(answer: Answer, style: str) -> list[Part]:
    return [
        (f"  {f'step {answer.step:,}':<12}", "$foreground-muted"),
        (f"{printable(answer.text)}\n", style),
    ]


def _own(memory: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The GPUs that the trainer can see."""
    return [gpu for gpu in memory.get("gpus", ()) if gpu.get("visible", True)]


def _counts(memory: Mapping[str, Any]) -> bool:
    """Whether the trainer says what it has allocated: it does so on a GPU."""
    return any(memory.get(name) is not None for name in ("allocated_bytes", "reserved_bytes", "peak_bytes"))


def _on_cpu(history: History) -> bool:
    return history.start is not None and history.start.get("device") == "CPU"


def _cpu_and_ram(memory: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    if memory.get("cpu_percent") is not None:
        pairs.append(("CPU", f"{memory['cpu_percent']:.0f}%"))
    if memory.get("ram_total_bytes") and memory.get("ram_used_bytes") is not None:
        used, total = memory["ram_used_bytes"], memory["ram_total_bytes"]
        pairs.append(("RAM", f"{used / 2**30:.1f}/{total / 2**30:.0f} GiB"))
    return pairs


def _gpu_label(gpu: Mapping[str, Any]) -> str:
    return "GPU" if gpu.get("index") is None else f"GPU {gpu['index']:.0f}"


def _gpu_facts(gpu: Mapping[str, Any]) -> str:
    facts = []
    for key, unit in (("utilization_percent", "%"), ("power_watts", " W"), ("temperature_celsius", " °C")):
        if gpu.get(key) is not None:
            facts.append(f"{gpu[key]:.0f}{unit}")
    return "  ".join(facts)


def _delta(history: History) -> str:
    """Change of the smoothed loss over the last hundred steps."""
    last = history.loss.last
    if last is None or last.step <= DELTA_STEPS:
        return ""
    before = history.loss.nearest(last.step - DELTA_STEPS)
    if before is None or before.smooth != before.smooth or last.smooth != last.smooth:
        return ""
    change = last.smooth - before.smooth
    return f"{'+' if change > 0 else '-'}{number(abs(change), 2)} in {DELTA_STEPS} steps"


def _line(label: str, value: str, note: str) -> Content:
    return Content.assemble(
        (f"{label:<{LABEL}}", "$foreground-muted"),
        (f"{value or '–':>10}", "bold"),
        (f"  {note}" if note else "", "$foreground-muted"),
    )


def _meter(label: str, used: float, total: float, width: int) -> Content:
    """`reserved   12.1/139.8 GiB ██▎`, amber above 90% and red above 97%."""
    fraction = used / total
    figures = f"{used / 2**30:.1f}/{total / 2**30:.1f} GiB"
    room = max(0, width - LABEL - 18)
    style = "$text-error" if fraction > 0.97 else "$text-warning" if fraction > 0.9 else "$accent"
    return Content.assemble(
        (f"{label:<{LABEL}}", "$foreground-muted"),
        (f"{figures:>16}", "bold"),
        "  ",
        (meter(fraction, room), style),
    )


def _pairs(pairs: Sequence[tuple[str, str]], width: int) -> Content:
    """`label value` pairs side by side, as many as there is room for."""
    parts: list[Part] = []
    used = 0
    for label, value in pairs:
        if not value:
            continue
        length = len(label) + len(value) + 1 + (2 if parts else 0)
        if used + length > width:
            break
        used += length
        parts += ["  " if parts else "", (f"{label} " if label else "", "$foreground-muted"), (value, "bold")]
    return Content.assemble(*parts)
