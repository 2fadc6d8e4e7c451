"""Question analysis, reranking and extractive answers. Plain functions, no tracing, no I/O."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple, TypedDict

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about an and any are as at be been but by can could did do does for from had has have "
        "how i in is it its many me much not of on or should so some than that the their them then "
        "there these they this to was were what when where which while who whom whose why will "
        "with would you your s",
    )
)

# The first pattern that matches a question says what kind of answer it wants.
QUESTION_KINDS: list[tuple[str, str]] = [
    ("person", r"\b(who|whom|whose)\b"),
    ("time", r"\b(when|what year|which year|how old)\b"),
    ("quantity", r"\bhow (many|much|long|far|tall|deep|wide|high|fast|large|big|heavy|often)\b"),
    ("place", r"\bwhere\b"),
    ("reason", r"\bwhy\b"),
    ("method", r"\bhow\b"),
]

# What a sentence that holds an answer of the kind usually contains.
ANSWER_MARKS = {
    "person": r"(?<!^)(?<![.!?] )\b[A-Z]\w+ (?:[a-z]{1,3} )?[A-Z]\w+|^[A-Z]\w+ [A-Z]\w+",
    "time": r"\b1\d{3}\b|\b20\d\d\b|\byears?\b|\bcentury\b",
    "quantity": r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|hundred|thousand)\b",
    "place": r"\b(?:in|at|near|between|from|on) (?:the )?[A-Z]\w+",
    "reason": r"\b(?:because|so that|causes?d?|due to|comes? from|therefore|reason|helps?)\b",
    "method": r"\b(?:by|with|using|keeps?|makes?|turns?|uses?)\b",
}

BACK_REFERENCE = re.compile(r"(?:It|Its|They|Their|He|She|His|Her|That|This|These|Some|Each)\b")

RERANK_LIMIT = 4
SENTENCE_LIMIT = 3
# A further sentence must answer at least this share of the question.
MINIMUM_GAIN = 0.15
# Passages this much weaker than the best one are not quoted.
MINIMUM_STRENGTH = 0.85


class Analysis(TypedDict):
    """What the question asks: its content words in order, and the kind of answer it wants."""

    keywords: list[str]
    kind: str


class Passage(TypedDict):
    """A passage as the retrieval service returns it."""

    id: str
    title: str
    text: str
    score: float


class Source(TypedDict):
    id: str
    title: str


class Answer(TypedDict):
    """Sentences of the collection, word for word, and where they stand. No match: no sources."""

    answer: str
    sources: list[Source]


def stem(word: str) -> str:
    """Drop a plural ending; the retrieval service stems in the same way."""
    if len(word) < 4:
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("us", "ss", "is")):
        return word[:-1]
    return word


def words(text: str) -> list[str]:
    """Lower-cased words without stop words."""
    found = re.findall(r"[^\W_]+", text.lower())
    return [word for word in found if word not in STOP_WORDS]


def tokens(text: str) -> list[str]:
    return [stem(word) for word in words(text)]


def analyse(question: str) -> Analysis:
    lowered = question.lower()
    kind = next((k for k, pattern in QUESTION_KINDS if re.search(pattern, lowered)), "definition")
    return {"keywords": list(dict.fromkeys(words(question))), "kind": kind}


def rarity(keywords: list[str], passages: list[Passage]) -> dict[str, float]:
    """Share of the question that each keyword stands for; words found in fewer passages weigh more."""
    texts = [set(tokens(f"{p['title']} {p['text']}")) for p in passages]
    weights = {k: 1.0 / (1 + sum(k in text for text in texts)) for k in keywords}
    total = sum(weights.values())
    return {k: weight / total for k, weight in weights.items()}


def neighbours(keywords: list[str], found: list[str]) -> float:
    """Share of the question's adjacent keyword pairs that stand next to each other in a text."""
    asked = set(pairwise(keywords))
    return len(asked.intersection(pairwise(found))) / max(1, len(asked))


def has_mark(kind: str, text: str) -> bool:
    return kind in ANSWER_MARKS and re.search(ANSWER_MARKS[kind], text) is not None


def rerank(analysis: Analysis, passages: list[Passage]) -> list[Passage]:
    """Order passages by how well they cover the whole question, best first, and cut the tail."""
    if not passages:
        return []
    keywords = tokens(" ".join(analysis["keywords"]))
    weights = rarity(keywords, passages)
    strongest = max(p["score"] for p in passages)

    def strength(passage: Passage) -> float:
        found = tokens(f"{passage['title']} {passage['text']}")
        covered = sum(weights[k] for k in set(keywords).intersection(found))
        return (
            passage["score"] / strongest
            + covered
            + neighbours(keywords, found)
            + 0.25 * has_mark(analysis["kind"], passage["text"])
        )

    rescored: list[Passage] = [{**p, "score": round(strength(p), 4)} for p in passages]
    return sorted(rescored, key=lambda p: -p["score"])[:RERANK_LIMIT]


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?]) (?=[A-Z0-9])", text)


class Candidate(NamedTuple):
    rank: int
    position: int
    sentence: str
    words: list[str]


def compose(analysis: Analysis, passages: list[Passage]) -> Answer:
    """Pick the sentences that together cover most of the question, in the order of the passages."""
    if not passages:
        return {"answer": "The collection says nothing about that.", "sources": []}
    keywords = tokens(" ".join(analysis["keywords"]))
    weights = rarity(keywords, passages)
    strengths = [p["score"] / passages[0]["score"] for p in passages]
    candidates = [
        Candidate(rank, position, sentence, tokens(sentence))
        for rank, passage in enumerate(passages)
        if strengths[rank] >= MINIMUM_STRENGTH
        for position, sentence in enumerate(sentences(passage["text"]))
    ]
    unanswered = set(keywords)

    def covers(candidate: Candidate) -> float:
        return sum(weights[k] for k in unanswered.intersection(candidate.words))

    def gain(candidate: Candidate) -> float:
        answers = 0.5 * neighbours(keywords, candidate.words)
        answers += 0.1 * has_mark(analysis["kind"], candidate.sentence)
        return (covers(candidate) + answers) * strengths[candidate.rank]

    chosen: set[tuple[int, int]] = set()
    while len(chosen) < SENTENCE_LIMIT:
        left = [c for c in candidates if (c.rank, c.position) not in chosen]
        best = max(left, key=gain, default=None)
        if best is None or (chosen and covers(best) < MINIMUM_GAIN):
            break
        chosen.add((best.rank, best.position))
        if best.position > 0 and BACK_REFERENCE.match(best.sentence):
            chosen.add((best.rank, best.position - 1))
        unanswered.difference_update(best.words)
    quoted = [c for c in candidates if (c.rank, c.position) in chosen]
    return {
        "answer": " ".join(c.sentence for c in quoted),
        "sources": [
            {"id": passages[rank]["id"], "title": passages[rank]["title"]}
            for rank in dict.fromkeys(c.rank for c in quoted)
        ],
    }
