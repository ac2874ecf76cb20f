"""The registry of findings, and what is found in tokens of a row."""

from __future__ import annotations

import re

import pytest

from sftui.data.findings.registry import BITS, CHECKS, flags_of, message
from sftui.data.findings.rows import failure_finding, inspect_row
from sftui.data.template import ChatTemplate
from sftui.data.turns import Span, trained_text
from sftui.errors import InputError
from sftui.recipe import TrainOn
from tests.data_fixtures import CHATML, chat_template, conversation
from tests.findings_fixtures import answer, facts, found, found_in, user


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
