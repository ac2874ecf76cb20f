"""Conversations of several sources: numbered once and for all, drawn as their weights say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.corpus import Corpus
from sftui.data.sources import line_index
from sftui.errors import InputError
from sftui.recipe import Source


def write(path: Path, numbers: range, **more: Any) -> Source:
    lines = (json.dumps({"question": str(n), "answer": "a"}) + "\n" for n in numbers)
    path.write_text("".join(lines))
    return Source.model_validate({"path": str(path), **more})


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    return [
        write(tmp_path / "a.jsonl", range(100)),
        write(tmp_path / "b.jsonl", range(100, 150), weight=2.5),
        write(tmp_path / "c.jsonl", range(150, 160), weight=0.5),
    ]


def question(corpus: Corpus, index: int) -> str:
    return str(corpus[index].messages[0]["content"])


def test_rows_are_numbered_one_source_after_the_other(sources: list[Source]) -> None:
    corpus = Corpus(sources)
    assert (len(corpus), corpus.complete, corpus.share) == (160, True, 1.0)
    assert [question(corpus, i) for i in (0, 99, 100, 159)] == ["0", "99", "100", "159"]
    assert [corpus.source(i) for i in (0, 99, 100, 149, 150)] == [0, 0, 1, 1, 2]
    assert corpus.where(100) == f"{sources[1].path}:1"
    assert corpus[100].where == corpus.where(100)
    assert corpus.row(150) == {"question": "150", "answer": "a"}
    assert json.loads(corpus.raw(150)) == corpus.row(150)
    for read in (corpus.__getitem__, corpus.raw, corpus.source, corpus.where):
        for index in (-1, 160):
            with pytest.raises(IndexError):
                read(index)


def test_each_source_is_read_in_its_own_way(tmp_path: Path, sources: list[Source]) -> None:
    (tmp_path / "d.csv").write_text("q,a\none,two\n")
    mapped = Source.model_validate(
        {"path": str(tmp_path / "d.csv"), "columns": {"prompt": "q", "completion": "a"}}
    )
    corpus = Corpus([sources[0], mapped])
    assert [message["content"] for message in corpus[100].messages] == ["one", "two"]
    (tmp_path / "e.jsonl").write_text('{"x": 1}\n')
    bad = Corpus([sources[0], Source.model_validate({"path": str(tmp_path / "e.jsonl")})])
    with pytest.raises(InputError, match=r"e\.jsonl:1"):
        bad[100]
    assert bad.raw(100) == '{"x": 1}'


def test_no_sources_are_no_rows() -> None:
    corpus = Corpus([])
    assert (len(corpus), corpus.complete, corpus.share, corpus.drawn([], 1)) == (0, True, 1.0, [])


def test_a_row_keeps_its_number_while_more_become_known(
    sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_index, "_BLOCK_BYTES", 200)
    corpus = Corpus(sources, wait=False)
    assert 0 < len(corpus) < 100
    shares, known = [corpus.share], len(corpus)
    while not corpus.complete:
        corpus.read_on(0)
        assert question(corpus, known - 1) == str(known - 1)
        assert len(corpus) >= known
        known = len(corpus)
        shares.append(corpus.share)
    assert [question(corpus, i) for i in range(160)] == [str(i) for i in range(160)]
    assert shares == sorted(shares)
    assert (shares[0] < 0.3, shares[-1]) == (True, 1.0)


def test_a_source_that_is_not_there_is_an_error_at_once(tmp_path: Path, sources: list[Source]) -> None:
    gone = Source.model_validate({"path": str(tmp_path / "gone.jsonl")})
    with pytest.raises(InputError, match=r"gone\.jsonl: no such file"):
        Corpus([*sources, gone], wait=False)


def test_the_identity_is_that_of_the_conversations(sources: list[Source]) -> None:
    identity = Corpus(sources).identity
    assert Corpus(sources).identity == identity
    assert Corpus(sources, wait=False).identity == identity
    heavier = [sources[0].model_copy(update={"weight": 3.0}), *sources[1:]]
    assert Corpus(heavier).identity == identity, "its rows are the same"
    for change in ({"limit": 5}, {"format": "question_answer"}, {"columns": {"prompt": "question"}}):
        assert Corpus([sources[0].model_copy(update=change), *sources[1:]]).identity != identity
    assert Corpus(sources[::-1]).identity != identity


def test_rows_are_drawn_as_often_as_their_weights_say(sources: list[Source]) -> None:
    corpus = Corpus(sources)
    drawn = corpus.drawn(range(160), seed=42)
    assert drawn == sorted(drawn)
    counts = [drawn.count(row) for row in range(160)]
    assert counts[:100] == [1] * 100
    assert sorted(counts[100:150]) == [2] * 25 + [3] * 25
    assert sorted(counts[150:]) == [0] * 5 + [1] * 5
    assert corpus.drawn(range(160), seed=42) == drawn
    assert corpus.drawn(range(160), seed=43) != drawn


def test_the_draw_is_the_same_in_every_version(sources: list[Source]) -> None:
    assert Corpus(sources).drawn(range(150, 160), seed=7) == [150, 151, 152, 153, 158]


@given(rows=st.sets(st.integers(0, 159)), seed=st.integers(0, 2**32 - 1))
def test_only_the_given_rows_are_drawn(
    tmp_path_factory: pytest.TempPathFactory, rows: set[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    corpus = Corpus([write(folder / "a.jsonl", range(100)), write(folder / "b.jsonl", range(60), weight=0.3)])
    drawn = corpus.drawn(sorted(rows), seed)
    assert set(drawn) <= rows
    assert len(drawn) == len([r for r in rows if r < 100]) + round(len([r for r in rows if r >= 100]) * 0.3)
