"""What is found in a row made here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftui.data.conversation import Conversation
from sftui.data.findings.rows import RowFacts, inspect_row
from sftui.data.turns import Span

SHARED = Path(__file__).parents[2] / "shared" / "data"
SPECIAL = {"<s>": 1, "<|im_start|>": 2, "<|im_end|>": 3}
TOKEN = re.compile("|".join(map(re.escape, SPECIAL)) + r"|\w+|\W")


@dataclass(frozen=True)
class Region:
    index: int
    start: int
    end: int


def facts(
    *messages: Mapping[str, Any], end: str = "<|im_end|>", text: str | None = None, **more: Any
) -> RowFacts:
    """A conversation as ChatML, each word and each other character a token, every assistant turn trained."""
    rendered, spans, regions = "", [], []
    for index, each in enumerate(messages):
        start = len(rendered)
        rendered += f"<|im_start|>{each['role']}\n"
        content = str(each.get("content") or "")
        if each["role"] == "assistant":
            spans.append(Span(len(rendered), len(rendered) + len(content + end), index))
        rendered += f"{content}{end}\n"
        regions.append(Region(index, start, len(rendered)))
    rendered = more.pop("rendered", rendered) if text is None else text
    conversation = Conversation(
        tuple(messages),
        "train.jsonl:1",
        more.pop("tools", None),
        weights=more.pop("weights", None),
        text=text,
    )
    if text is not None:
        spans = [Span(0, len(text), -1)]
    offsets = [match.span() for match in TOKEN.finditer(rendered)]
    ids = [SPECIAL.get(rendered[start:end], 9) for start, end in offsets]
    spans = more.pop("spans", spans)
    trained = bytes(any(s.start <= start and end <= s.end for s in spans) for start, end in offsets)
    settings: dict[str, Any] = {
        "trained": trained,
        "kept": (0, len(ids)),
        "bos_token_id": 1,
        "adds_bos": False,
        "train_on": "assistant",
        "max_length": 100_000,
        "overlength": "drop",
        "regions": tuple(regions),
    }
    return RowFacts(
        conversation=conversation,
        text=rendered,
        spans=tuple(spans),
        ids=ids,
        offsets=offsets,
        special_strings=frozenset(SPECIAL),
        special_ids=frozenset(SPECIAL.values()),
        **settings | more,
    )


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def answer(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def found(*messages: Mapping[str, Any], **more: Any) -> dict[str, str]:
    return {each.code: each.detail for each in inspect_row(facts(*messages, **more))}


def found_in(content: str) -> dict[str, str]:
    return found(user("Tell me."), answer(content))
