"""One run from its recipe to its result, in the order in which things happen."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers

from sftui import words
from sftui.data.dataset import EncodedData, encode_dataset
from sftui.data.packing.summary import summarise
from sftui.data.sequences import prompt_of
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from sftui.errors import InputError
from sftui.memory.step import autocast_dtype
from sftui.recipe import Recipe
from sftui.runs.directory import RunDirectory
from sftui.runs.events import read_events
from sftui.training import checkpoint
from sftui.training.arguments import training_arguments
from sftui.training.attention import Attention, choose_attention, remedy
from sftui.training.bins import BinDataset
from sftui.training.callback import StepCallback
from sftui.training.card import model_card
from sftui.training.journal import Journal
from sftui.training.leak_test import NOT_FINITE, leak_test
from sftui.training.model import check_device, count_parameters, device, load_model
from sftui.training.run_memory import RunMemory, device_before
from sftui.training.samples import Question, Sampling
from sftui.training.tokenizer_check import check_tokenizer
from sftui.training.tokenizer_files import standalone
from sftui.training.trainer import SftTrainer

log = logging.getLogger("sftui")


class StopAskedError(Exception):
    """The run shall end before it has begun."""


def train(run: RunDirectory, recipe: Recipe, journal: Journal | None) -> bool:
    """Train until the end or until asked to stop; returns whether it was stopped.

    `journal` is None in all but the first process. Goes on from the last checkpoint where there is one.
    """
    before = device_before(recipe)
    where = device()
    check_device(recipe, where)
    try:
        data, tokenizer = _encode(run, recipe, journal)
    except StopAskedError:
        return True
    longest, held_out = (max(map(len, side), default=None) for side in (data.train, data.eval))
    memory = RunMemory(run, recipe, journal, where, before, longest, held_out)
    with memory.followed():
        return _train(run, recipe, journal, where, data, tokenizer, memory)


def _train(
    run: RunDirectory,
    recipe: Recipe,
    journal: Journal | None,
    where: torch.device,
    data: EncodedData,
    tokenizer: ChatTokenizer,
    memory: RunMemory,
) -> bool:
    """The run from where its data is known."""
    checkpoint_folder = run.last_checkpoint()
    if journal:
        checkpoint.clear_staging(run)
        journal.phase("loading the model")
    transformers.set_seed(recipe.training.seed)
    model = load_model(recipe, where)
    if _stop_asked(journal):
        return True
    _align_special_tokens(model, tokenizer)
    memory.moments.loaded(model, adapted=recipe.adapter is not None)
    attention = choose_attention(recipe, model, where)
    trainer = SftTrainer(
        recipe=recipe,
        run=run,
        journal=journal,
        moments=memory.moments,
        pad_id=tokenizer.pad_token_id,
        train=data.train,
        evaluation=data.eval,
        flat=attention.flat,
        model=model,
        args=training_arguments(
            recipe,
            checkpoint.staging(run),
            evaluates=bool(data.eval),
            resumes=checkpoint_folder is not None,
            autocast=autocast_dtype(recipe),
            use_cpu=where.type == "cpu",
        ),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    sampling = _sampling(recipe, model, tokenizer, data, journal)
    callback = StepCallback(trainer, journal, sampling)
    trainer.add_callback(callback)
    if journal:
        _report_start(journal, recipe, data, trainer, attention, where, sampling, checkpoint_folder, memory)
    if recipe.data.packing != "none":
        _require_no_leak(trainer, recipe, attention, data, tokenizer, journal)
    if checkpoint_folder is not None:
        callback.restore(*_counted(run, int(checkpoint_folder.name.rpartition("-")[2])))
    elif sampling:
        sampling.answer(0)
    if checkpoint_folder is None or not trainer.restore_if_complete(checkpoint_folder):
        trainer.train(resume_from_checkpoint=str(checkpoint_folder) if checkpoint_folder else None)
    if journal:
        journal.phase("saving the result")
    if recipe.adapter is not None or not trainer.stopped:
        target = run.adapter if recipe.adapter else run.model
        card = model_card(
            recipe,
            trainer.state.global_step,
            journal.status.eval_loss if journal else None,
            own_template=bool(tokenizer.templates.by_name),
        )
        chosen = tokenizer.templates.chosen_template
        template = None if chosen is None else standalone(chosen, tokenizer.special_tokens)
        trainer.save_result(target, tokenizer.directory, template, card)
        if trainer.failed_save is not None:
            trainer.failed_save.add_note(f"{target.name} is saved: {target}")
    if trainer.failed_save is not None:
        raise trainer.failed_save
    if sampling and not trainer.stopped:
        sampling.answer(trainer.state.global_step)
    if journal:
        checkpoint.clear_staging(run)
    return trainer.stopped


def _encode(run: RunDirectory, recipe: Recipe, journal: Journal | None) -> tuple[EncodedData, ChatTokenizer]:
    """The tokenised rows; refuses to resume a run whose data has changed."""

    def progress(done: int, total: int) -> None:
        if journal:
            journal.update(detail=f"tokenising {done:,} of {total:,} rows")
            if journal.stop_asked:
                raise StopAskedError

    if journal:
        journal.phase("reading the data")
    section = recipe.model
    # Templates that print the date are told that of the run, so that a resumed run trains on the same text.
    tokenizer = load_tokenizer(
        section.name_or_path, section.revision, now=_began(run), chat_template=recipe.data.chat_template
    )
    data = encode_dataset(recipe.data, tokenizer, seed=recipe.training.seed, progress=progress)
    if journal:
        for notice in data.notices:
            journal.warn(notice)
        began_with = next((e for e in read_events(run.events_file) if e.get("type") == "start"), None)
        if began_with is not None and began_with.get("fingerprint") != data.fingerprint:
            raise InputError(
                "the data is not what this run began with: rows, tokenizer or chat template have changed",
                file=run.id,
                hint="start a new run; or put the old files back and resume",
            )
        journal.phase("comparing the tokenizer with transformers'")
        check_tokenizer(recipe, tokenizer, data.train, data.train_corpus, journal)
    return data, tokenizer


def _stop_asked(journal: Journal | None) -> bool:
    return journal is not None and journal.stop_asked


def _align_special_tokens(model: Any, tokenizer: ChatTokenizer) -> None:
    """Let the model's configuration name the tokens that the tokenizer and the template use."""
    for config in (model.config, getattr(model, "generation_config", None)):
        if config is not None and getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = tokenizer.pad_token_id


def _began(run: RunDirectory) -> datetime:
    """When the run was started for the first time."""
    try:
        return datetime.fromisoformat(json.loads(run.environment_file.read_bytes())["time"])
    except (OSError, ValueError, KeyError, TypeError):
        return datetime.now()


def _sampling(
    recipe: Recipe, model: Any, tokenizer: ChatTokenizer, data: EncodedData, journal: Journal | None
) -> Sampling | None:
    """The held-out questions that the model answers, where the recipe asks for any and there are some."""
    count = recipe.training.sample_rows
    if journal is None or not count:
        return None
    questions = tuple(islice(_questions(tokenizer, data), count))
    if not questions:
        return None
    return Sampling(
        model=model,
        tokenizer=tokenizer,
        questions=questions,
        max_new_tokens=recipe.training.sample_max_new_tokens,
        stop_ids=_stop_ids(tokenizer, data),
        pad_id=tokenizer.pad_token_id,
        journal=journal,
    )


def _questions(tokenizer: ChatTokenizer, data: EncodedData) -> Iterator[Question]:
    """The held-out rows that have an answer, each once: a row may have a sequence for each of its turns."""
    seen: set[int] = set()
    for sequence in data.eval:
        if sequence.row in seen:
            continue
        seen.add(sequence.row)
        conversation = data.eval_corpus[sequence.row]
        try:
            ids, expected = prompt_of(conversation, tokenizer)
        except InputError:  # nothing in it is asked: a plain text, say
            continue
        turn = conversation.assistant_turns()[-1]
        asked = (m for m in reversed(conversation.messages[:turn]) if isinstance(m.get("content"), str))
        prompt = str(next((message["content"] for message in asked), ""))
        yield Question(sequence.row, sequence.where, tuple(ids), prompt, expected)


def _stop_ids(tokenizer: ChatTokenizer, data: EncodedData) -> tuple[int, ...]:
    """The end-of-text token, and the special tokens that end the turns of these rows."""
    stops = {tokenizer.eos_token_id} - {None}
    for sequence in data.train[:100]:
        last = sequence.trained.rfind(1)
        if sequence.input_ids[last] in tokenizer.special_ids:
            stops.add(sequence.input_ids[last])
    return tuple(sorted(stop for stop in stops if stop is not None))


def _report_start(
    journal: Journal,
    recipe: Recipe,
    data: EncodedData,
    trainer: SftTrainer,
    attention: Attention,
    where: torch.device,
    sampling: Sampling | None,
    checkpoint_folder: Path | None,
    memory: RunMemory,
) -> None:
    """Say what is about to be trained: in the log and as a `start` or `resume` event."""
    total, trainable = count_parameters(trainer.model)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU"
    values = {
        "device": name,
        "parameters": {"total": total, "trainable": trainable},
        "rows": data.train_counts.rows,
        "sequences": len(data.train),
        "eval_sequences": len(data.eval),
        "sample_rows": len(sampling.questions) if sampling else 0,
        "tokens": data.train_counts.tokens,
        "trained_tokens": data.train_counts.trained_tokens,
        "fingerprint": data.fingerprint,
        "attention": attention.name,
    }
    if memory.outlook is not None:
        values["memory"] = memory.outlook.as_event()
    log.info("model: %s on %s", recipe.model.name_or_path, name)
    log.info("parameters: %s, %s of them trained", f"{total:,}", f"{trainable:,}")
    log.info(
        "data: %s sequences, %s tokens, %s of them trained; %s held out",
        f"{len(data.train):,}",
        f"{data.train_counts.tokens:,}",
        f"{data.train_counts.trained_tokens:,}",
        f"{len(data.eval):,}",
    )
    if isinstance(trainer.train_dataset, BinDataset):
        lost = trainer.train_dataset.lost_tokens()
        values["trained_tokens"] = data.train_counts.trained_tokens - lost
        values["packing"] = _report_packing(journal, recipe, data, attention, lost)
    if checkpoint_folder is None:
        journal.event("start", **values)
    else:
        step = int(checkpoint_folder.name.rpartition("-")[2])
        log.info("resuming after step %d", step)
        journal.event("resume", step=step, **values)
    memory.report()


def _report_packing(
    journal: Journal, recipe: Recipe, data: EncodedData, attention: Attention, lost: int
) -> dict[str, Any]:
    """Say what packing makes of the data, and with what attention bins are trained."""
    section = recipe.data
    packed = summarise([len(each) for each in data.train], section.packing, section.max_length)
    bins = f"{packed.bins:,} bins of {packed.max_length:,} tokens, {words.share(packed.fill)} full"
    if section.packing == "wrapped":
        rest = f"{packed.cut:,} of {packed.sequences:,} sequences are cut, {lost:,} tokens untrained for it"
    else:
        rest = f"no packing takes fewer than {packed.lower_bound:,}"
    log.info("packing: %s, %s; %s", section.packing, bins, rest)
    log.info("attention: %s (%s)", attention.name, attention.kernel)
    if attention.note:
        journal.warn(attention.note)
    return {
        "strategy": packed.strategy,
        "max_length": packed.max_length,
        "bins": packed.bins,
        "lower_bound": packed.lower_bound,
        "fill": packed.fill,
        "cut": packed.cut,
        "lost_tokens": lost,
        "kernel": attention.kernel,
    }


def _require_no_leak(
    trainer: SftTrainer,
    recipe: Recipe,
    attention: Attention,
    data: EncodedData,
    tokenizer: ChatTokenizer,
    journal: Journal | None,
) -> None:
    """Try the model on a bin; where its sequences see each other on any process, all raise InputError."""
    if journal:
        journal.phase("testing that packed sequences stay apart")
    tested = leak_test(trainer.model, recipe, attention, data.train, tokenizer.pad_token_id)
    passed = torch.tensor(float(tested.passed), device=trainer.args.device)
    if trainer.accelerator.num_processes > 1:
        passed = trainer.accelerator.reduce(passed, reduction="mean")
    if journal:
        journal.event("leak_test", **tested.as_event())
        log.info(tested.sentence())
        journal.phase("")
    if tested.reason == NOT_FINITE:
        raise InputError(
            NOT_FINITE,
            key="model.name_or_path",
            hint="expected weights without NaN; where model.dtype is float16, bfloat16 or float32 may do",
        )
    if float(passed) < 1:
        raise InputError(
            tested.reason or "sequences of a bin see each other on another process",
            key="data.packing",
            hint=remedy(attention, trainer.model),
        )


def _counted(run: RunDirectory, step: int) -> tuple[int, int]:
    """(tokens, trained tokens) seen up to `step`, from the run's own events."""
    tokens = trained = 0
    for event in read_events(run.events_file):
        if event.get("type") == "step" and event.get("step") == step:
            tokens, trained = int(event["tokens"]), int(event["trained_tokens"])
    return tokens, trained
