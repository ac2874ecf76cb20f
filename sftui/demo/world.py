"""A small world in questions and answers: what the demo model knows and what the demo teaches it.

The model is pretrained on every fact, answering in plain sentences; it has met JSON, but only to write down
what it is told. The fine-tuning dataset teaches one
behaviour, to answer as a JSON object, on some of the facts; the held-out rows ask about others. A right
held-out answer therefore shows a changed behaviour and kept knowledge, and a machine can check it.

Everything here is pure and follows from a seed: the shipped files can be generated again and compared.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from sftui.demo import facts

SEED = 1
EVAL_FACTS_PER_TOPIC = 2
TRAIN_FACTS_PER_TOPIC = 40
TWO_TURN_SHARE = 0.15
DICTATIONS = 300

Answer = str | int
Conversation = list[dict[str, str]]
Table = tuple[tuple[str, Answer, str], ...]


@dataclass(frozen=True)
class Topic:
    """One kind of question: its name, the ways to ask and to answer, and its facts.

    In `questions` and `sentence`, `{s}` is the subject and `{a}` the subject with its article, `{r}` the
    answer and `{ra}` the answer with its article. A subject of two parts, `7|5`, is `{s}` and `{t}`.
    """

    name: str
    questions: tuple[str, ...]
    sentence: str
    table: Table

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Its facts, in the order of the table."""
        return tuple(Fact(self, *entry) for entry in self.table)


@dataclass(frozen=True)
class Fact:
    """One thing the model knows. Facts of a topic with the same `group` follow from one another."""

    topic: Topic
    subject: str
    answer: Answer
    group: str

    @property
    def questions(self) -> tuple[str, ...]:
        """The ways to ask for it."""
        return tuple(self._fill(question) for question in self.topic.questions)

    @property
    def sentence(self) -> str:
        """The answer in a plain sentence: what the untuned model says."""
        sentence = self._fill(self.topic.sentence)
        return sentence[0].upper() + sentence[1:]

    @property
    def json(self) -> str:
        """The answer as one JSON object of two strings: what the fine-tuning teaches.

        Numbers are strings too: the base model has practised answers in quotes, and as bare numbers about
        twice as many sums came out wrong after the fine-tuning.
        """
        return json.dumps({"topic": self.topic.name, "answer": str(self.answer)}, ensure_ascii=False)

    def _fill(self, template: str) -> str:
        first, _, second = self.subject.partition("|")
        answer = str(self.answer)
        return template.format(s=first, t=second, a=_with_article(first), r=answer, ra=_with_article(answer))


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def _plain(table: dict[str, str]) -> Table:
    return tuple((subject, answer, subject) for subject, answer in table.items())


def _counted(table: dict[str, str]) -> Table:
    return tuple((subject, int(answer), subject) for subject, answer in table.items())


def _mutual(table: dict[str, str]) -> Table:
    """Pairs that answer each other are asked both ways."""
    return tuple(
        (subject, answer, f"{one}|{other}")
        for one, other in table.items()
        for subject, answer in ((one, other), (other, one))
    )


def _ordered(names: Iterable[str]) -> Table:
    """Neighbours in a row of names are asked forwards and backwards."""
    return tuple(
        (subject, answer, f"{one}|{other}")
        for one, other in pairwise(names)
        for subject, answer in ((f"after|{one}", other), (f"before|{other}", one))
    )


def _sums(largest: int) -> Table:
    numbers = range(1, largest + 1)
    return tuple((f"{a}|{b}", a + b, f"{min(a, b)}|{max(a, b)}") for a in numbers for b in numbers)


def _spelled(limit: int) -> Table:
    return tuple((str(number), facts.spelled(number), str(number)) for number in range(limit))


TOPICS = (
    Topic(
        "capitals",
        ("What is the capital of {s}?", "Which city is the capital of {s}?", "Name the capital of {s}."),
        "The capital of {s} is {r}.",
        _plain(facts.CAPITALS),
    ),
    Topic(
        "young animals",
        ("What is a young {s} called?", "What do you call a baby {s}?", "Name the young of {a}."),
        "A young {s} is called {ra}.",
        _plain(facts.YOUNG),
    ),
    Topic(
        "sums",
        ("What is {s} plus {t}?", "How much is {s} + {t}?", "Add {s} and {t}."),
        "{s} plus {t} is {r}.",
        _sums(12),
    ),
    Topic(
        "opposites",
        (
            "What is the opposite of {s}?",
            "Which word is the opposite of {s}?",
            "Name the opposite of {s}.",
        ),
        "The opposite of {s} is {r}.",
        _mutual(facts.OPPOSITES),
    ),
    Topic(
        "colours",
        ("What colour is {s}?", "Which colour does {s} have?", "Name the colour of {s}."),
        "{s} is {r}.",
        _plain(facts.COLOURS),
    ),
    Topic(
        "legs",
        ("How many legs does {a} have?", "How many legs are there on {a}?", "Count the legs of {a}."),
        "{a} has {r} legs.",
        _counted(facts.LEGS),
    ),
    Topic(
        "continents",
        ("Which continent is {s} in?", "Where in the world is {s}?", "Name the continent of {s}."),
        "{s} is in {r}.",
        _plain(facts.CONTINENTS),
    ),
    Topic(
        "sounds",
        ("What sound does {a} make?", "What does {a} say?", "Name the sound of {a}."),
        "{a} says {r}.",
        _plain(facts.SOUNDS),
    ),
    Topic(
        "plurals",
        ("What is the plural of {s}?", "How do you write more than one {s}?", "Name the plural of {s}."),
        "The plural of {s} is {r}.",
        _plain(facts.PLURALS),
    ),
    Topic(
        "calendar",
        ("What comes {s} {t}?", "Which one is just {s} {t}?", "Name the one {s} {t}."),
        "Just {s} {t} comes {r}.",
        _ordered(facts.MONTHS) + _ordered(facts.DAYS),
    ),
    Topic(
        "animals",
        (
            "What kind of animal is {a}?",
            "Which class of animals is {a} in?",
            "Name the class of {a}.",
        ),
        "{a} is {ra}.",
        _plain(facts.KINDS),
    ),
    Topic(
        "past tense",
        ("What is the past tense of {s}?", "How do you put {s} in the past?", "Name the past tense of {s}."),
        "The past tense of {s} is {r}.",
        _plain(facts.VERBS),
    ),
    Topic(
        "elements",
        ("What is the chemical symbol for {s}?", "Which symbol stands for {s}?", "Name the symbol of {s}."),
        "The chemical symbol for {s} is {r}.",
        _plain(facts.ELEMENTS),
    ),
    Topic(
        "numbers",
        ("How do you write {s} in words?", "How is the number {s} spelled?", "Spell the number {s}."),
        "{s} in words is {r}.",
        _spelled(100),
    ),
    Topic(
        "French",
        ("What is the French word for {s}?", "How do you say {s} in French?", "Say {s} in French."),
        "The French word for {s} is {r}.",
        _plain(facts.FRENCH),
    ),
    Topic(
        "Spanish",
        ("What is the Spanish word for {s}?", "How do you say {s} in Spanish?", "Say {s} in Spanish."),
        "The Spanish word for {s} is {r}.",
        _plain(facts.SPANISH),
    ),
    Topic(
        "letters",
        ("Which letter comes {s} {t}?", "What letter is just {s} {t}?", "Name the letter {s} {t}."),
        "The letter {s} {t} is {r}.",
        _ordered(facts.LETTERS),
    ),
    Topic(
        "books",
        ("Who wrote {s}?", "Who is the author of {s}?", "Name the author of {s}."),
        "{s} was written by {r}.",
        _plain(facts.BOOKS),
    ),
    Topic(
        "shapes",
        ("How many sides does {a} have?", "How many sides are there on {a}?", "Count the sides of {a}."),
        "{a} has {r} sides.",
        _counted(facts.SIDES),
    ),
)

# More ways to answer, each asked for in so many words. They make the base model say an answer at the start
# of a turn, in quotes and after a label too, so that what it knows is not tied to one sentence.
_STYLES = (
    (("Answer briefly: {}", "{} Answer briefly.", "{} Just the answer, please."), "{}."),
    (("{} Put the answer in quotes.", "{} Answer in quotes."), 'The answer is "{}".'),
    (("{} Label the answer.", "{} Answer with a label."), "Answer: {}"),
)
_PLAIN_SHARE = 0.55

# What JSON looks like, as any chat model has seen it: on request, and never in answer to a question.
_AS_JSON = ("Write as JSON: {}", "Make a JSON object with {}.")
_KEYS = ("topic", "answer", "name", "word", "value", "item")

SMALL_TALK = (
    ("Hello!", "Hello! What would you like to know?"),
    ("Hi!", "Hello! What would you like to know?"),
    ("Who are you?", "I am the demo model of sftui. I know a very small world."),
    ("What can you do?", "I can answer short questions, such as the capital of a country or a small sum."),
    ("What do you know?", "I know capitals, animals, colours, opposites, words, numbers and a few books."),
    ("Thank you!", "You are welcome."),
    ("Goodbye!", "Goodbye!"),
)


def all_facts() -> list[Fact]:
    """The whole world, topic by topic."""
    return [fact for topic in TOPICS for fact in topic.facts]


def _turn(question: str, answer: str) -> Conversation:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _lesson(fact: Fact, rng: random.Random) -> Conversation:
    """One pretraining turn: mostly a plain sentence, sometimes the answer in another style."""
    question = rng.choice(fact.questions)
    if rng.random() < _PLAIN_SHARE:
        return _turn(question, fact.sentence)
    requests, answer = rng.choice(_STYLES)
    return _turn(rng.choice(requests).format(question), answer.format(fact.answer))


def _dictation(values: list[Answer], rng: random.Random) -> Conversation:
    """One pretraining turn that knows nothing: the user says what to write, the model writes it as JSON."""
    entries = {key: rng.choice(values) for key in rng.sample(_KEYS, 2)}
    said = " and ".join(f"{key} {value}" for key, value in entries.items())
    return _turn(rng.choice(_AS_JSON).format(said), json.dumps(entries, ensure_ascii=False))


def pretraining_epoch(rng: random.Random) -> list[Conversation]:
    """Every fact once, some dictation and all small talk, in random order and wording, some in two turns."""
    known = all_facts()
    turns = [_lesson(fact, rng) for fact in known]
    values = [topic.name for topic in TOPICS for _ in range(20)] + [fact.answer for fact in known]
    turns += [_dictation(values, rng) for _ in range(DICTATIONS)]
    turns += [_turn(question, answer) for question, answer in SMALL_TALK]
    rng.shuffle(turns)
    return _joined(turns, rng)


def _joined(turns: list[Conversation], rng: random.Random) -> list[Conversation]:
    conversations: list[Conversation] = []
    for turn in turns:
        if conversations and len(conversations[-1]) == 2 and rng.random() < TWO_TURN_SHARE:
            conversations[-1] = conversations[-1] + turn
        else:
            conversations.append(turn)
    return conversations


@dataclass(frozen=True)
class Split:
    """Which facts the demo trains on and which it holds out; the rest of the world is in neither."""

    train: tuple[Fact, ...]
    held_out: tuple[Fact, ...]


def split(seed: int = SEED) -> Split:
    """Choose some facts of every topic for training and others for the held-out rows.

    Facts of one group stay on one side: nobody learns `3 plus 4` in training and is asked `4 plus 3`.
    The held-out facts go round the topics, so the first few rows already show different ones.
    """
    rng = random.Random(seed)
    train: list[Fact] = []
    rounds: list[list[Fact]] = [[] for _ in range(EVAL_FACTS_PER_TOPIC)]
    for topic in TOPICS:
        shuffled = rng.sample(topic.facts, len(topic.facts))
        groups = list(dict.fromkeys(fact.group for fact in shuffled))[:EVAL_FACTS_PER_TOPIC]
        for one_round, group in zip(rounds, groups, strict=True):
            one_round.append(next(fact for fact in shuffled if fact.group == group))
        train += [fact for fact in shuffled if fact.group not in groups][:TRAIN_FACTS_PER_TOPIC]
    rng.shuffle(train)
    return Split(tuple(train), tuple(fact for one_round in rounds for fact in one_round))


def train_conversations(seed: int = SEED) -> list[Conversation]:
    """The fine-tuning rows: one way to ask, the answer as JSON; some have two turns."""
    rng = random.Random(seed)
    return _joined([_turn(rng.choice(fact.questions), fact.json) for fact in split(seed).train], rng)


def eval_conversations(seed: int = SEED) -> list[Conversation]:
    """The held-out rows: the same behaviour on other facts, one turn each."""
    rng = random.Random(seed)
    return [_turn(rng.choice(fact.questions), fact.json) for fact in split(seed).held_out]


def as_jsonl(conversations: Iterable[Conversation]) -> str:
    """The conversations as the text of a JSONL file, one `{"messages": [...]}` a line."""
    return "".join(json.dumps({"messages": c}, ensure_ascii=False) + "\n" for c in conversations)


def is_right(reply: str, reference: str) -> bool:
    """Whether `reply` is valid JSON and says what `reference` says."""
    try:
        return bool(json.loads(reply) == json.loads(reference))
    except json.JSONDecodeError:
        return False
