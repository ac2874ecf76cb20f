"""The checks of single rows: what each finds, and what it leaves alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sftui.data.conversation import Conversation
from sftui.data.findings.registry import BITS, CHECKS, flags_of, message
from sftui.data.findings.rows import RowFacts, failure_finding, inspect_row
from sftui.data.mask import trained_mask
from sftui.data.template import ChatTemplate
from sftui.data.tokenizer import load_tokenizer
from sftui.data.turns import Span, trained_text
from sftui.errors import InputError
from sftui.recipe import DataSection, TrainOn
from tests.data_fixtures import CHATML, LLAMA3, chat_template, conversation, model_directory

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


# The registry


def test_every_finding_of_a_row_has_a_bit_of_its_own() -> None:
    assert set(BITS) == set(CHECKS) - {"trained-share"}
    assert len(set(BITS.values())) == len(BITS)
    assert all(0 <= bit < 64 for bit in BITS.values())


def test_checks_are_ordered_by_severity_and_say_what_to_do() -> None:
    ranks = [("error", "warning", "info").index(check.severity) for check in CHECKS.values()]
    assert ranks == sorted(ranks)
    for code, check in CHECKS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert check.why.endswith(".") and check.remedy.endswith(".")


def test_flags_hold_codes() -> None:
    assert flags_of(["secret", "truncated"]) == 1 << BITS["secret"] | 1 << BITS["truncated"]
    assert flags_of([]) == 0


@pytest.mark.parametrize(
    ("code", "count", "said"),
    [
        ("no-trained-tokens", 3, "3 rows have no trained tokens"),
        ("no-trained-tokens", 1, "1 row has no trained tokens"),
        ("no-trained-tokens", 91, "all 91 rows have no trained tokens"),
        ("truncated", 1, "1 row is cut at max_length"),
        ("exact-duplicate", 1, "1 row repeats an earlier row"),
        ("eval-leak", 12345, "12,345 rows are held out, yet also trained on"),
    ],
)
def test_messages_count_in_plain_english(code: str, count: int, said: str) -> None:
    assert message(code, count, 91) == said


def test_no_message_about_one_row_has_a_verb_in_the_plural() -> None:
    for code in CHECKS:
        verb = message(code, 1, 9).split()[2]
        assert verb in ("has", "is") or verb.endswith("s"), code


# Trained turns


def test_an_ordinary_row_has_no_findings() -> None:
    assert found(user("What is 2 + 2?"), answer("It is 4.")) == {}


def test_no_trained_tokens_says_why() -> None:
    assert "no assistant turn" in found(user("Hi"))["no-trained-tokens"]
    zero = found(user("Hi"), answer("Ho."), spans=[], weights=(None, 0.0))
    assert "weight of 0" in zero["no-trained-tokens"]
    completion = found(user("Hi"), answer("Ho."), spans=[], train_on="completion")
    assert "train_on: completion" in completion["no-trained-tokens"]


def test_a_turn_that_no_special_token_ends_is_found() -> None:
    assert list(found(user("Hi"), answer("Ho."), end="")) == ["end-of-turn-not-special"]


def test_an_end_of_turn_outside_the_span_is_untrained() -> None:
    row = facts(user("Hi"), answer("Ho."))
    start = row.text.index("Ho.")
    assert list(found(user("Hi"), answer("Ho."), spans=[Span(start, start + 3, 1)])) == [
        "end-of-turn-untrained"
    ]


def test_an_end_of_turn_that_the_mask_leaves_out_is_untrained() -> None:
    row = facts(user("Hi"), answer("Ho."))
    last = bytes(row.trained).rindex(1)
    mask = row.trained[:last] + b"\0" + row.trained[last + 1 :]
    assert list(found(user("Hi"), answer("Ho."), trained=mask)) == ["end-of-turn-untrained"]


def test_the_next_message_does_not_end_a_turn() -> None:
    assert list(found(user("Hi"), answer("Ho."), user("Hi again"), end="")) == ["end-of-turn-not-special"]


def test_a_plain_text_need_not_end_with_a_special_token() -> None:
    assert found(text="Once upon a time.") == {}


def test_rewritten_turns_are_named() -> None:
    assert found(user("Hi"), answer("Ho."), rewritten=(1,)) == {"template-rewrites-history": "message 1"}
    many = found(user("Hi"), answer("Ho."), rewritten=(1, 3, 5, 7, 9, 11))
    assert many == {"template-rewrites-history": "messages 1, 3, 5, 7, 9, .."}


@pytest.mark.parametrize("content", ["<think>so 4", "so</think>4", "<think>a</think><think>b"])
def test_think_tags_that_do_not_match_are_found(content: str) -> None:
    assert "unbalanced-think" in found_in(content)


def test_think_tags_that_match_are_left_alone() -> None:
    assert found_in("<think>so</think>4") == {}
    # The template has written the tag that opens.
    rendered = "<s><think>so</think>4<|im_end|>"
    assert found(answer("so</think>4"), rendered=rendered, spans=[Span(3, 31, 0)], regions=()) == {}


# Special tokens


def test_a_text_begins_with_one_beginning() -> None:
    assert found(text="<s>Hello there") == {}
    assert list(found(text="<s><s>Hello there")) == ["double-bos"]
    assert list(found(text="Hello there", adds_bos=True)) == ["missing-bos"]
    assert found(text="Hello there") == {}


def test_a_special_token_in_content_is_found_where_it_stands() -> None:
    row = facts(user("What does <|im_end|> mean?"), answer("The end."))
    (only,) = inspect_row(row)
    assert (only.code, only.detail) == ("literal-special-token", "<|im_end|> in message 0")
    assert only.start == row.text.index("does <|im_end|>") + 5
    assert only.end == only.start + len("<|im_end|>")


def test_angles_that_are_no_special_token_are_left_alone() -> None:
    assert found_in("<<12/60=0.2>> and <|im_ and <s >.") == {}


# Lengths


def test_what_max_length_costs_depends_on_the_recipe() -> None:
    messages = user("Hi"), answer("one two three four.")
    length = len(facts(*messages).ids)
    assert list(found(*messages, max_length=length)) == []
    assert list(found(*messages, max_length=9)) == ["dropped-overlength"]
    assert list(found(*messages, max_length=9, overlength="error")) == ["overlength-refused"]
    cut = found(*messages, max_length=length - 1, overlength="truncate", kept=(0, length - 1))
    assert cut == {"truncated": f"{length} tokens, 0 of 9 trained ones are cut"}
    some = found(*messages, max_length=length - 3, overlength="truncate", kept=(0, length - 3))
    assert some == {"truncated": f"{length} tokens, 2 of 9 trained ones are cut"}
    nothing = found(*messages, max_length=5, overlength="truncate", kept=(0, 5))
    assert nothing == {"truncated-to-nothing": f"{length} tokens, all 9 trained ones are cut"}


# What the template leaves out


CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tell what the weather is like"},
}


def test_tool_calls_that_the_template_drops_are_found() -> None:
    messages = (
        user("Weather?"),
        answer("", tool_calls=[CALL]),
        {"role": "tool", "content": "rainy, 12 degrees"},
    )
    rendered = "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
    details = found(*messages, tools=(TOOL,), rendered=rendered, spans=[], regions=())
    assert details["tool-calls-dropped"] == "get_weather in message 1"
    assert details["tool-definitions-dropped"] == "get_weather"


def test_tool_calls_that_the_template_quotes_are_left_alone() -> None:
    result = 'rainy, "12" degrees'
    messages = user("Weather?"), answer("", tool_calls=[CALL]), {"role": "tool", "content": result}
    rendered = f"{json.dumps(TOOL)}<s>Weather?\n{json.dumps(CALL)}<|im_end|>{json.dumps(result)}\n"
    codes = found(*messages, tools=(TOOL,), rendered=rendered, spans=[], regions=())
    assert not {"tool-calls-dropped", "tool-definitions-dropped"} & set(codes)


def test_a_name_that_only_the_definitions_have_is_not_a_call() -> None:
    rendered = f"{json.dumps(TOOL)}<s>Weather?<|im_end|>\n"
    at = rendered.index("<s>")
    messages = user("Weather?"), answer("", tool_calls=[CALL])
    regions = (Region(0, at, len(rendered) - 11), Region(1, len(rendered) - 11, len(rendered)))
    codes = found(*messages, tools=(TOOL,), rendered=rendered, spans=[], regions=regions)
    assert "tool-calls-dropped" in codes and "tool-definitions-dropped" not in codes


def test_messages_and_reasoning_that_the_template_drops_are_found() -> None:
    system = {"role": "system", "content": "Always answer in rhyming couplets."}
    messages = system, user("Hi"), answer("Ho.", reasoning_content="They greet me, hence greeting back.")
    rendered = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo.<|im_end|>\n"
    spans = [Span(rendered.index("Ho."), len(rendered) - 1, 2)]
    codes = found(*messages, rendered=rendered, spans=spans, regions=())
    assert codes["message-dropped"].startswith("system, message 0")
    assert codes["reasoning-dropped"] == "message 2: They greet me, hence greeting back."


def thinking(number: int, *, within: bool) -> dict[str, Any]:
    if within:
        return answer(f"<think>\nThey say {number}.\n</think>\n\nHo {number}.")
    return answer(f"Ho {number}.", reasoning_content=f"They say {number}.")


@pytest.mark.parametrize("within", [False, True])
def test_reasoning_of_any_trained_turn_may_be_dropped(within: bool) -> None:
    messages = user("Hi"), thinking(1, within=within), user("Hi"), thinking(2, within=within), user("Bye")
    rendered = "<s>HiHo 1.<|im_end|>Hi<think>They  say\n2.</think>Ho 2.<|im_end|>Bye"
    first, second = Span(5, 20, 1), Span(22, rendered.index("Bye"), 3)
    row: dict[str, Any] = {"rendered": rendered, "regions": ()}
    assert found(*messages, **row, spans=[first, second]) == {"reasoning-dropped": "message 1: They say 1."}
    assert found(*messages, **row, spans=[second]) == {}
    everything = found(*messages, **row, spans=[Span(0, len(rendered), -1)], train_on="everything")
    assert everything == {"reasoning-dropped": "message 1: They say 1."}
    # One cause is told once.
    rewritten = found(*messages, **row, spans=[first, second], rewritten=(1, 3))
    assert rewritten == {"template-rewrites-history": "messages 1, 3; reasoning is left out of 1"}


def test_the_last_answers_reasoning_is_not_dropped_for_being_history() -> None:
    messages = user("Hi"), thinking(1, within=False)
    codes = found(*messages, rewritten=(1,))
    assert codes["reasoning-dropped"] == "message 1: They say 1."


def test_an_answer_may_be_dropped_with_its_reasoning_or_without() -> None:
    content = "<think>Consider the question first.</think>Some quite different words come next."
    kept, lost = "Consider the question first.", "Some quite different words come next."
    for written, codes in ((content, []), (lost, ["reasoning-dropped"]), (kept, ["message-dropped"])):
        rendered = f"<s>Hi{written}<|im_end|>"
        spans = [Span(5, len(rendered), 1)]
        assert list(found(user("Hi"), answer(content), rendered=rendered, spans=spans, regions=())) == codes


def test_tools_that_the_template_never_writes_are_dropped_whatever_the_messages_say() -> None:
    described = "get_weather can tell what the weather is like."
    talk = user(described), answer("Ho.")
    assert found(*talk, tools=(TOOL,), writes_tools=True) == {}
    assert found(*talk, tools=(TOOL,), writes_tools=False) == {"tool-definitions-dropped": "get_weather"}
    assert found(*talk, writes_tools=False) == {}
    system = {"role": "system", "content": described}
    assert found(system, *talk, tools=(TOOL,), writes_tools=False) == {}
    other = {"name": "get_time", "description": "Tell what the clock says"}
    assert found(system, *talk, tools=(TOOL, other), writes_tools=False) == {
        "tool-definitions-dropped": "get_time"
    }


SAYS = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "writes"),
    [
        (SAYS, False),
        ("{# never the tools #}" + SAYS, False),
        ("{% if tools %}You have tools.{% endif %}" + SAYS, False),
        ("{% for t in tools %}{{ t.function.name }}{% endfor %}" + SAYS, False),
        ("{% for t in tools %}{{ t.function.description }}{{ t.function.name }}{% endfor %}" + SAYS, True),
        ("{{ raise_exception('no') if messages[0].role == 'system' }}{{ tools | tojson }}" + SAYS, True),
        ("{{ raise_exception('no') if messages[0].role != 'system' }}{{ tools | tojson }}" + SAYS, True),
        ("{{ raise_exception('no') if messages[-1].role != 'assistant' }}{{ tools | tojson }}", True),
        ("{% if messages[0].role == 'system' %}{{ tools | tojson }}{% endif %}" + SAYS, True),
        ("{% if tools %}{{ raise_exception('no') }}{% endif %}" + SAYS, True),
    ],
)
def test_whether_a_template_writes_tools_is_seen_from_what_it_writes(template: str, writes: bool) -> None:
    assert chat_template(template).writes_tools is writes


def test_tools_that_a_models_template_leaves_out_are_found(tmp_path: Path) -> None:
    described = "Use get_weather to tell what the weather is like."
    talk = conversation(user(described), answer("Ho."), tools=(TOOL,))
    for template, codes in (
        (LLAMA3, ["tool-definitions-dropped"]),
        (LLAMA3.replace("{% for", "{{ tools | tojson if tools }}{% for", 1), []),
    ):
        tokenizer = load_tokenizer(str(model_directory(tmp_path / str(len(codes)), template)))
        marked = tokenizer.trained_text(talk, "assistant")
        ids, offsets = tokenizer.tokenize([marked.text])[0]
        trained = trained_mask(ids, offsets, marked.text, marked.spans, tokenizer.special_ids)
        data = DataSection.model_validate({"train": "train.jsonl"})
        row = RowFacts.of(talk, marked, ids, offsets, trained, (), (), tokenizer, data)
        assert [each.code for each in inspect_row(row)] == codes


def test_a_trimmed_message_is_not_dropped() -> None:
    assert (
        found(user("  Hi there \n"), answer("Ho."), rendered="<s>Hi there<|im_end|>", spans=[Span(3, 21, 1)])
        == {}
    )


# Answers


@pytest.mark.parametrize("content", ["", " \n", "<think>so</think>\n"])
def test_empty_answers_are_found(content: str) -> None:
    assert "empty-answer" in found_in(content)


def test_a_tool_call_is_no_empty_answer() -> None:
    assert "empty-answer" not in found(user("Hi"), answer("", tool_calls=[CALL]))


PROSE = "The first thing to know is that this is long. It goes on for quite a while, and then the"


@pytest.mark.parametrize("content", [PROSE, PROSE + " next,", "See:\n```python\nprint(1)\n", PROSE + " café"])
def test_answers_that_stop_in_mid_sentence_are_found(content: str) -> None:
    assert list(found_in(content)) == ["answer-cut-off"]


@pytest.mark.parametrize(
    "content",
    [
        PROSE + " end.",
        PROSE + " end!”",
        PROSE + " end…",
        PROSE + " end 🙂",
        PROSE + " (end)",
        PROSE + " #end",
        PROSE + "\n#### 72",
        PROSE + ".\n- a point of a list without a full stop at the end of it all",
        PROSE + ".\n3. a point of a list without a full stop at the end of it all",
        PROSE + ".\nSincerely, Anna",
        PROSE + ".\nhttps://example.org/a/b see it there for the whole of the long story",
        PROSE + ".\n| a | table | of | many | cells | and | more | cells",
        PROSE + ".\nx = a + b where a and b are the two numbers we know",
        "a short answer",
        "これは長い文章です。" * 8,
        "هذا نص طويل جدا؟ " * 10,
        "यह एक लंबा वाक्य है।" * 8,
        "a title without any full stop but with very many words in it and so no sentence that ends here",
    ],
)
def test_answers_that_end_as_they_should_are_left_alone(content: str) -> None:
    assert found_in(content) == {}


# Placeholders


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("I am {{name}}, made by {{ author }}.", "{{name}}, {{ author }}"),
        ("I am{{name}}.", "{{name}}"),
        ("Hello {first_name}, how are you?", "{first_name}"),
        ("Call ${CUSTOMER_NAME} today.", "${CUSTOMER_NAME}"),
        ("Sincerely,\n[Your Name]", "[Your Name]"),
        ("On [insert date] at [Insert Time].", "[insert date], [Insert Time]"),
        ("Dear <INSERT NAME>, hello.", "<INSERT NAME>"),
    ],
)
def test_unfilled_placeholders_are_found(content: str, said: str) -> None:
    assert found_in(content) == {"unfilled-placeholder": f"{said} in message 1"}


@pytest.mark.parametrize(
    "content",
    [
        "In Jinja you write {{ name }} for a variable.",
        "Loop: {% for x in xs %}{{ x }}{% endfor %}",
        "Write `{{ name }}` there.",
        "```html\n<p>{{ name }}</p>\n```",
        r"The result is \frac{{a}}{{b}} and x^{{n}}.",
        "A JSX style={{color}} attribute.",
        "A dictionary {{'a': 1}} and a set {a, b}.",
        'print(f"Hello {name}")',
        "GET /users/{username}/posts",
        r"The text \text{name} is set.",
        "export PATH=${HOME_DIR}/bin",
        "See [your account](https://example.org).",
        "A list [name, date] of [1] things.",
        "List<INTEGER> and <YOU>.",
    ],
)
def test_braces_that_the_row_is_about_are_left_alone(content: str) -> None:
    assert found_in(content) == {}


# Characters


@pytest.mark.parametrize("content", ["CafÃ© au lait", "Itâ€™s fine", "20Â°C", "ðŸ˜€ hi", "a \ufffd b"])
def test_broken_characters_are_found(content: str) -> None:
    assert list(found_in(content)) == ["mojibake"]


@pytest.mark.parametrize(
    "text", ["naïve café — “so” it’s 20°C", "NÃO, AÇÃO", "Ângela e Âmbar", "😀 日本語", "« Â »"]
)
def test_characters_that_are_meant_are_left_alone(text: str) -> None:
    assert found_in(text) == {}


def test_text_is_found_broken_as_it_would_be_by_the_wrong_encoding() -> None:
    for text in ("é", "ü", "ñ", "’", "“", "—", "…", "😀", "£"):
        assert "mojibake" in found_in(f"so {text.encode().decode('cp1252', 'replace')} it is"), text
        assert "mojibake" in found_in(f"so {text.encode().decode('latin-1')} it is"), text


# Secrets: none of these has ever opened anything.

KEYS = {
    "an API key": "sk-" + "proj-" + "q7Rk2mZp9XvB4nLw8TsYd3HfJc6GaEe1Ku5",
    "a GitHub token": "ghp_" + "q7Rk2mZp9XvB4nLw8TsYd3HfJc6GaEe1Ku5o",
    "a Hugging Face token": "hf_" + "qRkmZpXvBnLwTsYdHfJcGaEeKuoPiMbNs7",
    "an AWS key": "AKIA" + "Q7RK2MZP9XVB4NLW",
    "a Google API key": "AIza" + "q7Rk2mZp9XvB4nLw8TsYd3HfJc6GaEe1Ku5",
    "a Slack token": "xoxb-" + "7391846250-q7Rk2mZp9XvB4nLw8TsY",
    "a private key": "-----BEGIN RSA "
    + "PRIVATE KEY-----\n"
    + "MIIEpAIBAAKCAQEAq7Rk2mZp9XvB4nLw8TsYd3HfJc6GaEe1",
}


@pytest.mark.parametrize("kind", KEYS)
def test_secrets_are_found_and_not_repeated(kind: str) -> None:
    detail = found_in(f"Use {KEYS[kind]} there.")["secret"]
    assert detail == f"{kind} ({KEYS[kind][:4]}…) in message 1"


@pytest.mark.parametrize(
    "content",
    [
        "sk-learn and task-oriented-risk-assessment-of-many-different-things",
        "sk-" + "x" * 40,
        "Set sk-your-api-key-goes-here-0123456789abcdef-and-more",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "hf_hub_download and ghp_token",
        "-----BEGIN PRIVATE KEY----- your key goes here",
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(content: str) -> None:
    assert "secret" not in found_in(content)


def test_details_cannot_drive_the_terminal() -> None:
    shown = found_in("CafÃ©\x1b]0;title\x07 {{na\u202eme}} " + PROSE)
    assert shown
    assert not any("\x1b" in detail or "\x07" in detail or "\u202e" in detail for detail in shown.values())


# Rows that cannot be used


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (
            "the chat template refuses this conversation: roles must alternate (line 3 of the template)",
            "role-order-refused",
        ),
        ("the chat template fails on this conversation: 'x' is undefined (line 3)", "template-failure"),
        (
            "cannot tell where message 3, an assistant turn, stands in the chat template's text",
            "turn-not-located",
        ),
        ("the chat template takes longer than 10 s on this conversation", "template-failure"),
        ("took longer than 10 s", "template-failure"),
        ("not tried: rendering took too long for the rows before it", "template-failure"),
        ("the model has no chat template: looked in x, found none", "template-failure"),
        (
            "the row does not tell prompt from completion, as train_on: completion needs",
            "completion-unknown",
        ),
        ("found a number 3: expected text", "unreadable-row"),
    ],
)
def test_errors_become_findings_with_their_own_words(problem: str, code: str) -> None:
    finding = failure_finding(InputError(problem, file="train.jsonl", line=3, key="messages[0]"))
    assert finding.code == code
    assert finding.detail == f"messages[0]: {problem}"


def test_errors_that_hint_become_findings_that_do() -> None:
    error = InputError(
        "found text 'usr': expected a role", key="messages[0].role", hint="did you mean\n user?"
    )
    assert failure_finding(error).detail == (
        "messages[0].role: found text 'usr': expected a role (did you mean user?)"
    )
    long = failure_finding(InputError("x" * 500, hint="y" * 500)).detail
    assert len(long) == 200
    assert re.fullmatch("x{10,}… \\(y{10,}…\\)", long)


def test_errors_of_rows_become_findings_of_the_same_name() -> None:
    """The words by which errors are told apart are those that they have."""
    talk = conversation(user("Hi"), answer("Ho."))
    refusing = chat_template("{{ raise_exception('Tool call IDs should have length 9!') }}")
    failing = chat_template("{{ messages[0].nothing.more }}")
    cases: tuple[tuple[ChatTemplate, TrainOn, str], ...] = (
        (refusing, "assistant", "role-order-refused"),
        (failing, "assistant", "template-failure"),
        (chat_template(CHATML), "completion", "completion-unknown"),
        (chat_template("x"), "assistant", "turn-not-located"),
    )
    for template, train_on, code in cases:
        with pytest.raises(InputError) as caught:
            trained_text(template, talk, train_on)
        finding = failure_finding(caught.value)
        assert finding.code == code
        if template is refusing:
            assert "Tool call IDs should have length 9!" in finding.detail


# Real data


def rows_of(name: str) -> list[dict[str, Any]]:
    file = SHARED / name
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    text = file.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


@pytest.mark.parametrize("name", ["gsm8k_train.jsonl", "gsm8k_test.jsonl"])
def test_nothing_is_found_in_school_mathematics(name: str) -> None:
    wrong = [row for row in rows_of(name) if found(user(row["question"]), answer(row["answer"]))]
    assert wrong == []


def test_every_placeholder_of_the_identity_rows_is_found_and_no_other() -> None:
    for row in rows_of("identity.json"):
        has = "{{" in row["output"]
        assert ("unfilled-placeholder" in found(user(row["instruction"]), answer(row["output"]))) is has


def test_few_of_the_alpaca_answers_are_cut_off_and_none_is_broken() -> None:
    codes = [found(user(row["instruction"]), answer(row["output"])) for row in rows_of("alpaca_en_demo.json")]
    cut = [detail["answer-cut-off"] for detail in codes if "answer-cut-off" in detail]
    assert any(detail.endswith("as a reminder of the importance of") for detail in cut)
    assert len(cut) <= 6
    assert not any({"mojibake", "secret", "literal-special-token"} & set(detail) for detail in codes)
