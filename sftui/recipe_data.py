"""The recipe's section `data`: which rows, how they become sequences, and what of them is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sftui.recipe_section import About, Section
from sftui.recipe_step import Decades, Multiples

RowFormat = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "question_answer", "text"]
TrainOn = Literal["assistant", "last_assistant", "completion", "everything"]
Overlength = Literal["drop", "truncate", "error"]
TruncationSide = Literal["right", "left"]
SequencePer = Literal["conversation", "turn"]
BadRows = Literal["error", "drop"]
Packing = Literal["none", "next_fit", "best_fit", "wrapped"]


class Source(Section):
    """Where rows come from: a file, several, or a dataset of the Hub."""

    path: Annotated[
        str,
        About(
            when="A pattern or a folder takes several files as one. In a recipe file it is relative to that "
            "file.",
            usual="a .jsonl or .parquet file",
            meaning="path",
        ),
    ] = Field(
        min_length=1, description="a file, a pattern (data/*.jsonl), a folder, or a Hub dataset (owner/name)"
    )
    name: Annotated[
        str | None,
        About(when="Set it when the dataset has several configurations.", usual="null"),
    ] = Field(None, description="configuration of a Hub dataset; null: its only one")
    split: Annotated[
        str | None,
        About(
            when="Set it for rows of another split, such as test in data.eval.",
            usual="null for training, test or validation for evaluation",
        ),
    ] = Field(None, description="split of a Hub or saved dataset; null: train, or its only one")
    revision: Annotated[
        str | None,
        About(
            when="Set it to a commit so that the same rows are read next year.",
            usual="null; a commit for work that must be repeatable",
        ),
    ] = Field(None, description="branch, tag or commit of a Hub dataset")
    format: Annotated[
        RowFormat,
        About(when="Name it when rows are recognised as something else than they are.", usual="auto"),
    ] = Field("auto", description="how a row is read; auto: recognised from its columns")
    columns: Annotated[
        dict[str, str],
        About(
            when="Set it when your columns have other names than the format expects: prompt: question.",
            usual="none",
        ),
    ] = Field(default_factory=dict, description="our column name -> the file's, e.g. {prompt: question}")
    limit: Annotated[
        int | None,
        About(
            when="Set it low for a first try, and take it away for the real run.",
            usual="null: all rows",
            unit="rows",
            step=Decades(),
            most=10**12,
        ),
    ] = Field(None, ge=1, description="use only the first rows")
    weight: Annotated[
        float,
        About(
            when="Up for a small source that is to count more, down for a large one that drowns the others.",
            usual="1; 0.1 to 3 in a mixture",
            step=Decades(),
        ),
    ] = Field(
        1.0, gt=0, le=1000, description="how often its rows count: 0.5 a random half of them, 2 each twice"
    )


def source_list(value: Any) -> Any:
    """Accept `train: file.jsonl` and `train: [file.jsonl]` for the full form."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        return [{"path": item} if isinstance(item, str) else item for item in value]
    return value


Sources = Annotated[list[Source], BeforeValidator(source_list)]


class DataSection(Section):
    """What is trained on."""

    train: Annotated[
        Sources,
        About(
            when="Several sources are one dataset; limit and weight of each say how much of it.",
            usual="one source; hundreds to a hundred thousand rows",
        ),
    ] = Field(min_length=1, description="the training rows")
    eval: Annotated[
        Sources,
        About(
            when="Give rows that the model must not learn from. Without such a file use eval_fraction.",
            usual="a test or validation split of 100 to 1000 rows",
        ),
    ] = Field(default_factory=list, description="held-out rows")
    eval_fraction: Annotated[
        float,
        About(
            when="Set it when there is no evaluation file. Less of a large dataset will do.",
            usual="0.01 to 0.1",
            step=Multiples(0.01),
        ),
    ] = Field(0.0, ge=0, lt=1, description="share of the training rows held out for evaluation")
    train_on: Annotated[
        TrainOn,
        About(
            when="last_assistant when only the final answer is good; completion for prompt and completion; "
            "everything to go on with pretraining on plain text.",
            usual="assistant",
        ),
    ] = Field("assistant", description="which turns are trained")
    sequence_per: Annotated[
        SequencePer,
        About(
            when="turn for templates that rewrite earlier turns, as those that drop reasoning: each turn is "
            "then trained as it is answered. It makes more tokens.",
            usual="conversation",
        ),
    ] = Field(
        "conversation", description="one sequence a conversation, or one a trained turn, as the model sees it"
    )
    chat_template: Annotated[
        str | None,
        About(
            when="Set it for a base model that has none. An instruct model learns best in its own.",
            usual="null; chatml for a base model",
        ),
    ] = Field(
        None,
        description="null: the model's own; else one of its names, chatml, llama2, gemma, mistral, plain, "
        "or a .jinja file",
    )
    max_length: Annotated[
        int,
        About(
            when="Up when many rows are longer; down when memory is short. With packing it is also the size "
            "of a bin.",
            usual="1024 to 8192: what 95 to 100 % of the rows fit in",
            unit="tokens",
            step=Multiples(64),
            most=10**8,
        ),
    ] = Field(2048, ge=2, description="longest sequence, in tokens")
    overlength: Annotated[
        Overlength,
        About(
            when="truncate when a part of a long row is worth training; error when no row may be lost.",
            usual="drop",
        ),
    ] = Field("drop", description="what happens to a longer sequence")
    truncation_side: Annotated[
        TruncationSide,
        About(
            when="left when the last answer matters more than what leads to it.",
            usual="right",
        ),
    ] = Field("right", description="which end of a truncated sequence is cut; left keeps the last answer")
    bad_rows: Annotated[
        BadRows,
        About(when="drop for collected data in which a few broken rows do not matter.", usual="error"),
    ] = Field("error", description="unreadable rows: refuse to start, or leave them out")
    packing: Annotated[
        Packing,
        About(
            when="best_fit when rows are much shorter than max_length: fewer and fuller passes, less time. "
            "next_fit keeps the order of rows; wrapped cuts rows, for plain text.",
            usual="none for a few rows, best_fit for many short ones",
        ),
    ] = Field(
        "none",
        description="how sequences share bins of max_length: in order, best fit, or cut and filled (wrapped)",
    )
    repack_each_epoch: Annotated[
        bool,
        About(when="On for several epochs, so that not the same rows meet in each.", usual="false"),
    ] = Field(False, description="best_fit: in each epoch other sequences of the same lengths share bins")

    @model_validator(mode="after")
    def _one_held_out_source(self) -> DataSection:
        if self.eval and self.eval_fraction:
            raise ValueError("eval and eval_fraction are both set: expected one of them")
        return self

    @model_validator(mode="after")
    def _repacks_best_fit_only(self) -> DataSection:
        if self.repack_each_epoch and self.packing != "best_fit":
            raise ValueError(
                f"repack_each_epoch is true and packing is {self.packing}: only best_fit can share bins "
                "differently in each epoch; expected packing: best_fit, or repack_each_epoch: false"
            )
        return self
