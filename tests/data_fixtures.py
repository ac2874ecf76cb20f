"""A tiny tokenizer and chat templates of the kinds that models have, for the tests of the data room."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from sftui.data.conversation import Conversation, Message
from sftui.data.template import ChatTemplate

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}"
    "{% endgeneration %}{{ '\n' }}{% else %}{{ message['content'] + '<|im_end|>' + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' "
    "+ m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = """\
{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}
{%- set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}
{%- for m in rest %}
    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}{% endif %}
    {{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}
    {{- (first if loop.first else '') + m.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}
"""
LLAMA2 = """\
{%- if messages[0].role == 'system' %}
    {%- set rest = messages[1:] %}{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}
{%- else %}{% set rest = messages %}{% set system = '' %}{% endif %}
{%- for m in rest %}
    {%- if m.role == 'user' %}
        {{- bos_token + '[INST] ' + (system if loop.first else '') + m.content.strip() + ' [/INST]' }}
    {%- else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}
{%- endfor %}
"""
# The system message goes into the last user message, and is gone once that is answered; tools likewise.
NEMO = """\
{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set rest = messages[1:] %}
{%- else %}{% set rest = messages %}{% endif %}
{%- set users = rest | selectattr('role', 'equalto', 'user') | list %}{{ bos_token }}
{%- for m in rest %}
    {%- if m.role == 'user' %}
        {%- if tools and m == users[-1] %}{{ '[TOOLS]' + tools | tojson + '[/TOOLS]' }}{% endif %}
        {{- '[INST]' + (system + '\n\n' if loop.last and system is defined else '') + m.content + '[/INST]' }}
    {%- elif m.tool_calls %}{{ '[CALLS]' + m.tool_calls | tojson + eos_token }}
    {%- elif m.role == 'tool' %}{{ '[RESULTS]{"content": ' + m.content + '}[/RESULTS]' }}
    {%- else %}{{ m.content + eos_token }}{% endif %}
{%- endfor %}
"""
PHI3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# Earlier reasoning is dropped, and the last turn gets an empty block if it has none.
QWEN3 = """\
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
    {%- if m.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response>' }}
    {%- elif m.role != 'assistant' %}{{ '<|im_start|>' + m.role + '\n' + m.content }}
    {%- else %}
        {%- set content = m.content %}{% set reasoning = m.reasoning_content or '' %}
        {%- if not reasoning and '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.index0 > ns.last and (loop.last or reasoning) %}
            {{- '<think>\n' + reasoning + '\n</think>\n\n' }}
        {%- endif %}
        {{- content }}
        {%- for call in m.tool_calls or [] %}
            {{- ('\n' if content else '') + '<tool_call>\n' + call | tojson + '\n</tool_call>' }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""
# The generation prompt opens the reasoning; history has none.
FORCED_THINK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|assistant|>' + m.content.split('</think>')[-1] + eos_token }}"
    "{% else %}{{ '<|user|>' + m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}"
)
# Several special tokens within a turn; another one ends the last.
HARMONY = """\
{%- for m in messages %}
    {%- if m.role != 'assistant' %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}
    {%- elif m.tool_calls %}
        {{- '<|start|>assistant to=f<|channel|>commentary<|message|>' + m.tool_calls | tojson + '<|call|>' }}
    {%- elif loop.last %}
        {%- if m.thinking %}
            {{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}
        {%- endif %}
        {{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}
    {%- else %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}
"""
PLAIN = (
    "{% for m in messages %}{{ ('### Answer:\n' if m.role == 'assistant' else '### Question:\n') "
    "+ m.content + '\n\n' }}{% endfor %}{% if add_generation_prompt %}{{ '### Answer:\n' }}{% endif %}"
)

SPECIAL = (
    *(
        "<s>",
        "</s>",
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
    ),
    *("<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    *("<|start|>", "<|message|>", "<|channel|>", "<|call|>", "<|return|>", "[INST]", "[/INST]", "[CALLS]"),
)
NOT_SPECIAL = ("<think>", "</think>", "<tool_call>", "</tool_call>")

_TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "user assistant system model tool",
    "Answer: 12 + 34 = 46\n",
]


@cache
def tokenizer_json() -> str:
    """A byte-level BPE tokenizer whose post-processor adds <s> and trims offsets, as Llama 3's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_TEXTS * 5, trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens(list(NOT_SPECIAL))
    start = ("<s>", tokenizer.token_to_id("<s>"))
    template = processors.TemplateProcessing(single="<s> $A", special_tokens=[start])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), template])
    return tokenizer.to_str()


def model_directory(directory: Path, template: str | None = CHATML, **config: object) -> Path:
    """Write a tokenizer into `directory`; `config` goes into its tokenizer_config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(tokenizer_json())
    plain: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(plain | config))
    if template is not None:
        (directory / "chat_template.jinja").write_text(template)
    return directory


def chat_template(text: str, special: Iterable[str] = SPECIAL) -> ChatTemplate:
    """`text` as a ChatTemplate."""
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    return ChatTemplate(text, tokens, frozenset(special), datetime(2025, 11, 20))


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str | None, **more: object) -> Message:
    return {"role": "assistant", "content": content, **more}


def conversation(*messages: Message, tools: tuple[Message, ...] | None = None) -> Conversation:
    return Conversation(messages, "train.jsonl:1", tools)
