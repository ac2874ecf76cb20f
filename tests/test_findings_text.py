"""What is found in the text of messages: answers, placeholders, characters, secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.findings_fixtures import SHARED, answer, found, found_in, user


@pytest.mark.parametrize("content", ["", " \n", "<think>so</think>\n"])
def test_empty_answers_are_found(content: str) -> None:
    assert "empty-answer" in found_in(content)


def test_a_tool_call_is_no_empty_answer() -> None:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {}}}
    assert "empty-answer" not in found(user("Hi"), answer("", tool_calls=[call]))


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


# None of these has ever opened anything.
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
