"""What a person types to find rows does what it says, and nonsense is refused with what was expected."""

from __future__ import annotations

import pickle
import re
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.query import Query, parse_query
from sftui.errors import InputError

CODES = ("no-trained-tokens", "truncated", "truncated-to-nothing", "near-duplicate", "no-rows")
BITS = {"no-trained-tokens": 0, "truncated": 1, "truncated-to-nothing": 2, "near-duplicate": 3}


def parse(text: str) -> Query:
    return parse_query(text, CODES, BITS)


def matches(query: str, text: str, *roles: str) -> bool:
    return parse(query).matches_text(text, roles)


def counts(query: str, length: int = 0, trained: int = 0, flags: int = 0) -> bool:
    return parse(query).matches_counts(length, trained, flags)


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("weng", "Weng earns $12", True),
        ("Weng", "Weng earns $12", True),
        ("Weng", "weng earns $12", False),
        ("weng earns", "earns more than Weng", True),
        ('"weng earns"', "earns more than Weng", False),
        ('"weng earns"', "WENG EARNS", True),
        ("straße", "STRASSE", True),
        ("-weng", "Weng earns $12", False),
        ("-weng $12", "Betty has $12", True),
        ('-"has a" betty', "Betty has $12", True),
        ("--x", "a -x", False),
        ('"-x"', "a -x", True),
        ("-", "a - b", True),
        ("10:30 a/b Answer:", "answer: 10:30 A/B Answer:", True),
        (r'"say \"hi\""', 'they say "hi"', True),
        ('say"hi', 'they say"hi', True),
        ("re:^b", "a\nB", True),
        ("re:^B", "a\nb", False),
        (r"re:\S\d", "x 7", False),
        (r"re:\Wq", "x Q", True),
        ("re:(?P<Name>w)eng", "WENG", True),
        ("re:(?:W)eng", "weng", False),
        ('re:"a b"', "A B", True),
        ("/a b/", "A B", True),
        ("/a/b/", "A/B", True),
        (r"/a\/b/ c", "A/B c", True),
        ("/a/ /b/", "b a", True),
        ("-/^$/", "a", True),
        ("-/^$/", "a\n\nb", False),
    ],
)
def test_words_phrases_and_patterns(query: str, text: str, found: bool) -> None:
    assert matches(query, text) is found
    assert parse(query).needs_text
    assert not parse(query).needs_counts


def test_roles_are_those_of_the_rows_messages() -> None:
    assert matches("role:tool", "", "user", "tool")
    assert not matches("role:tool", "", "user")
    assert matches("-role:tool ROLE:User", "", "user")
    assert parse("role:tool").needs_roles
    assert not parse("role:tool").needs_text


@pytest.mark.parametrize(
    ("term", "inside", "outside"),
    [
        (">2,000", (2001, 10**9), (0, 2000)),
        (">=2000", (2000,), (1999,)),
        ("<50", (0, 49), (50,)),
        ("<=50", (50,), (51,)),
        ("100-200", (100, 200), (99, 201)),
        ("7", (7,), (6, 8)),
        ("=0", (0,), (1,)),
    ],
)
def test_ranges_hold_what_they_name(term: str, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    for number in inside:
        assert counts(f"tokens:{term}", length=number)
        assert counts(f"trained:{term}", trained=number)
        assert not counts(f"-tokens:{term}", length=number)
    for number in outside:
        assert not counts(f"tokens:{term}", length=number)
        assert not counts(f"trained:{term}", trained=number)
        assert counts(f"-trained:{term}", trained=number)


@pytest.mark.parametrize(
    ("query", "flags"),
    [
        ("finding:truncated", {0b0010, 0b1111}),
        ("finding:trunc", {0b0010, 0b0100, 0b1111}),
        ("finding:Near", {0b1000, 0b1111}),
        ("finding:any", {0b0001, 0b0010, 0b0100, 0b1000, 0b1111}),
        ("-finding:any", {0}),
        ("finding:trunc -finding:no-t", {0b0010, 0b0100}),
    ],
)
def test_findings_by_the_beginning_of_their_code(query: str, flags: set[int]) -> None:
    assert {bits for bits in (0, 1, 2, 4, 8, 15) if counts(query, flags=bits)} == flags


def test_all_terms_must_hold() -> None:
    query = parse("weng -role:tool tokens:>10 trained:0 finding:near")
    assert query.matches_text("weng", ["user"]) and query.matches_counts(11, 0, 8)
    assert not query.matches_counts(11, 1, 8)
    assert not query.matches_counts(10, 0, 8)
    assert not query.matches_counts(11, 0, 1)
    assert not query.matches_text("weng", ["tool"])


@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
def test_nothing_typed_finds_every_row(blank: str) -> None:
    query = parse(blank)
    assert query == Query()
    assert query.matches_text("", ()) and query.matches_counts(0, 0, 0)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("re:(a", r"found '\(a': expected a regular expression, but missing \), .* at character 1"),
        ("/a[/", r"expected a regular expression, but unterminated character set at character 2"),
        ("re:a{99999999999999}", "expected a simpler regular expression"),
        ("re:", "nothing after re: expected a regular expression"),
        ("/usr/bin x", r"no closing / after '/usr/bin x': expected /PATTERN/\n.*quotes"),
        ('"abc', r"no closing quote after '\"abc'"),
        ('""', "expected words between the quotes"),
        (
            "finding:trunkated",
            r"unknown finding 'trunkated': expected near-dup.*\n.*did you mean finding:truncated",
        ),
        ("finding:no-rows", "no-rows is a finding about the whole dataset"),
        ('finding:""', "nothing after finding: expected the code"),
        ("tokns:5", r"unknown key 'tokns': expected finding:, tokens:.*\n.*did you mean tokens:"),
        ("http://x", r'unknown key .http.*\n.*in quotes: "http:\.\."'),
        ("tokens:abc", "found 'abc' after tokens: expected a number or a range: >2000, <50, 100-200"),
        ("tokens:200-100", "found tokens:200-100, which no row can be"),
        ("trained:<0", "found trained:<0, which no row can be"),
        ("tokens:²", "expected a number"),
        ("tokens:", "nothing after tokens"),
        ("role:human", "unknown role 'human': expected one of system, user, assistant, tool, developer"),
        ("role:assistent", "did you mean role:assistant"),
        ("x" * 2001, "found 2,001 characters: expected at most 2,000"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(query: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(query)
    assert re.search(message, str(error.value))


@given(st.text(max_size=60) | st.from_regex(r'(-?(finding|tokens|role|re|x):?["/]?[^ ]{0,5}["/]? ?){1,4}'))
def test_any_text_is_a_query_or_an_input_error(text: str) -> None:
    try:
        query = parse(text)
    except InputError:
        return
    assert (query == Query()) == (not text.strip())
    assert isinstance(query.matches_text("some text", {"user"}), bool)
    assert isinstance(query.matches_counts(3, 1, 1), bool)
    assert parse(text.strip()) == query


def test_a_query_reaches_a_worker_process_as_it_is() -> None:
    query = parse('weng -"a b" /c.d/ role:tool tokens:>5 finding:any')
    assert pickle.loads(pickle.dumps(query)) == query


def test_a_pattern_that_python_warns_of_warns_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matches("re:[[x]", "a [ b")


def test_a_hundred_thousand_rows_are_filtered_by_counts_in_a_moment() -> None:
    query = parse("tokens:>10 trained:<5 -finding:trunc")
    start = time.perf_counter()
    found = sum(query.matches_counts(length % 20, length % 7, length % 4) for length in range(100_000))
    assert 0 < found < 100_000
    assert time.perf_counter() - start < 5
