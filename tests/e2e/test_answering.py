"""The agent's own logic, on passages small enough to check by eye."""

from __future__ import annotations

import pytest
from answering import Passage, analyse, compose, rerank, sentences, stem, tokens

BAIKAL: Passage = {
    "id": "b",
    "title": "Lake Baikal",
    "text": "Lake Baikal in Siberia is the deepest lake of the world, about 1640 metres. "
    "It holds about a fifth of the fresh water.",
    "score": 6.0,
}
TITICACA: Passage = {
    "id": "t",
    "title": "Lake Titicaca",
    "text": "Lake Titicaca lies on the border of Peru and Bolivia.",
    "score": 3.0,
}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("rivers", "river"),
        ("galaxies", "galaxy"),
        ("glass", "glass"),
        ("virus", "virus"),
        ("gas", "gas"),
    ],
)
def test_stem_drops_plural_endings_only(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_tokens_skip_stop_words_and_keep_letters_of_other_languages() -> None:
    assert tokens("What is a béchamel-sauce of the Alps?") == ["béchamel", "sauce", "alp"]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who wrote it?", "person"),
        ("When did it start?", "time"),
        ("How deep is it?", "quantity"),
        ("Where is it?", "place"),
        ("Why is it cold?", "reason"),
        ("How does it stay cold?", "method"),
        ("Name the longest river", "definition"),
    ],
)
def test_the_kind_of_a_question(question: str, kind: str) -> None:
    assert analyse(question)["kind"] == kind


def test_keywords_keep_their_order_and_occur_once() -> None:
    analysis = analyse("Which lakes are deeper lakes than others?")
    assert analysis["keywords"] == ["lakes", "deeper", "others"]


def test_rerank_prefers_the_passage_that_covers_the_question() -> None:
    analysis = analyse("How much fresh water does Lake Baikal hold?")
    weaker: Passage = {**BAIKAL, "score": 5.9}
    stronger: Passage = {**TITICACA, "score": 6.0}
    assert [p["id"] for p in rerank(analysis, [stronger, weaker])] == ["b", "t"]


def test_rerank_cuts_the_tail() -> None:
    many: list[Passage] = [{**BAIKAL, "id": str(n), "score": 6.0 - n} for n in range(6)]
    assert [p["id"] for p in rerank(analyse("Lake Baikal"), many)] == ["0", "1", "2", "3"]


def test_sentences_are_not_cut_inside_numbers() -> None:
    text = "Pi is about 3.14 in short. It never ends."
    assert sentences(text) == ["Pi is about 3.14 in short.", "It never ends."]


def test_an_answer_quotes_the_sentence_that_answers() -> None:
    analysis = analyse("How deep is Lake Baikal?")
    answer = compose(analysis, rerank(analysis, [BAIKAL, TITICACA]))
    assert answer["answer"] == sentences(BAIKAL["text"])[0]
    assert answer["sources"] == [{"id": "b", "title": "Lake Baikal"}]


def test_a_sentence_that_refers_back_brings_the_one_before_it() -> None:
    analysis = analyse("What share of the fresh water?")
    assert compose(analysis, rerank(analysis, [BAIKAL]))["answer"] == BAIKAL["text"]


def test_no_passages_give_no_sources() -> None:
    answer = compose(analyse("Who?"), [])
    assert answer["answer"] == "The collection says nothing about that."
    assert answer["sources"] == []
