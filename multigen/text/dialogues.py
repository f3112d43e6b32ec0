"""Dialogues: short conversations, made by rules, whose right answers are known.

    print(dialogues.sample(1)[0])
    # user: Ada has five pears and Tom has two rings. How many rings does Tom have?
    # assistant: Tom has two rings.
    # user: And who has the pears?
    # assistant: Ada has the pears.

Each begins with what two people have, and asks once to three times about it. `right_answer` reads
the conversation and gives the one right answer, so that a model of dialogue can be evaluated by the
share of its right answers. The rules and words are those of this file; nothing is drawn from a
corpus.
"""

import json
import random
import re
from collections.abc import Sequence

from multigen.errors import ConfigError
from multigen.text.conversations import ASSISTANT, USER, Message

__all__ = ["right_answer", "sample"]

NAMES = ["Ada", "Ben", "Clara", "Emil", "Ida", "Karl", "Lena", "Max", "Nora", "Otto", "Rosa", "Tom"]
THINGS = ["apples", "bells", "cakes", "coins", "figs", "nuts", "pears", "plums", "rings", "roses", "shells", "stones"]
NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine"]
FACTS = "{A} has {m} {s} and {B} has {n} {t}."
FACT = re.compile(r"(\w+) has (\w+) (\w+)")
KINDS = {
    "number": ("How many {thing} does {name} have?", "{name} has {number} {thing}."),
    "owner": ("Who has the {thing}?", "{name} has the {thing}."),
    "things": ("What does {name} have?", "{name} has {number} {thing}."),
}
"""Question and right answer."""


def sample(n: int, seed: int = 0) -> list[str]:
    """n dialogues as texts of a corpus, drawn independently; the first k are the same for every n.
    Raises ConfigError if n is below 0."""
    if n < 0:
        raise ConfigError(f"{n} dialogues: expected at least 0; ask for more")
    return [_write(random.Random(f"{seed}/{i}")) for i in range(n)]


def _write(rng: random.Random) -> str:
    """Draws a dialogue."""
    (A, B), (s, t), (m, n) = rng.sample(NAMES, 2), rng.sample(THINGS, 2), rng.sample(NUMBERS, 2)
    facts = [dict(name=A, number=m, thing=s), dict(name=B, number=n, thing=t)]
    asked = rng.sample([(kind, fact) for kind in KINDS for fact in facts], rng.randint(1, 3))
    messages: list[Message] = []
    for kind, fact in asked:
        question, answer = (text.format(**fact) for text in KINDS[kind])
        follows = f"And {question[0].lower()}{question[1:]}"
        said = follows if messages else f"{FACTS.format(A=A, B=B, m=m, n=n, s=s, t=t)} {question}"
        messages += [{"role": USER, "content": said}, {"role": ASSISTANT, "content": answer}]
    return json.dumps(messages)


def right_answer(messages: Sequence[Message]) -> str:
    """The right answer to the last message. Raises ConfigError for a conversation of another
    kind."""
    facts = [
        dict(zip(("name", "number", "thing"), found, strict=True)) for found in FACT.findall(messages[0]["content"])
    ]
    asked = messages[-1]["content"].lower()
    for question, answer in KINDS.values():
        for fact in facts:
            if asked.endswith(question.format(**fact).lower()):
                return answer.format(**fact)
    raise ConfigError(f"{messages[-1]['content']!r:.60}: no question of the dialogues; ask as they do")
