"""Fables: exact likelihoods against closed forms and frequencies, agreement against corrupted
stories."""

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from multigen.errors import ConfigError, DataError
from multigen.text import fables
from multigen.text.fables import (
    continuations,
    first_offence,
    join,
    log_prob,
    prefix_log_prob,
    sample,
    words,
)

FIG = (
    "In the garden an owl named Rufa found a ripe fig. A brown crow begged her for half. Rufa kept the fruit for herself. "
    "Soon she lay ill in the garden. The moral: a greedy heart loses all."
)
RACE = (
    "A proud ram raced a hen named Ada to the mill for a golden bell. The ram slept in the grass. Ada walked on and won the "
    "bell. The moral: conceit comes last."
)
LAZY = (
    "All summer a lazy ox slept by the mill. A thin hen gladly stored hay. In winter the ox had no hay. The hen just laughed. "
    "The moral: sloth loses all."
)


@pytest.fixture(scope="module")
def stories() -> list[str]:
    return sample(2000)


# ---------------------------------------------------------------------------------------------------- texts


def test_stories_are_short_written_texts(stories: list[str]):
    lengths = [len(words(story)) for story in stories]
    assert min(lengths) >= 25
    assert max(lengths) <= 48
    assert 30 <= sum(lengths) / len(lengths) <= 41
    assert 150 <= len({word for story in stories for word in words(story)}) <= 300
    assert len(set(stories)) == len(stories)
    for story in stories:
        assert re.fullmatch(r"[A-Za-z.,: ]+", story)
        *sentences, moral, rest = story.split(".")
        assert len(sentences) in (3, 4)
        assert moral.startswith(" The moral: ")
        assert rest == ""
        assert all(sentence.strip()[0].isupper() for sentence in sentences)


def test_no_derivation_is_longer_than_48_words():
    def longest(name: str) -> int:
        row = fables._row(name)
        rows = [row] if isinstance(row, str) else [*row.cases.values(), row.otherwise]
        templates = [fables._pieces(template.strip(), "") for row in rows for template in fables.BAR.split(row)]
        return max(sum(map(length, pieces)) for pieces in templates)

    def length(piece: str) -> int:
        return longest(piece[1:-1].rpartition(".")[2]) if piece[0] == "{" else piece != fables.CAPITAL

    assert longest("find") == len(words("One day a fox named Rufa found a ripe fig by the well."))
    assert longest("story") == 48


def test_articles_and_pronouns_agree(stories: list[str]):
    text = " ".join(stories)
    after_a, after_an = (set(re.findall(rf"\b{article} (\w+)", text)) for article in ("[Aa]", "[Aa]n"))
    assert {"honest", "old", "owl", "onion"} <= after_an
    assert {word for word in after_an if word[0] not in "aeiou"} == {"honest"}
    assert {word for word in after_a if word[0] in "aeiou"} == set()
    kept = re.findall(r"(\w+) kept the \w+ for (\w+)\.", text)
    assert len(kept) > 50
    assert {self for name, self in kept if name in ("Rufa", "Mina", "hen", "cow")} == {"herself"}
    assert {self for name, self in kept if name in ("Bruno", "Tom", "fox", "ox")} == {"himself"}


def test_words_and_join_are_inverse(stories: list[str]):
    assert words("The moral: so, so.") == ["The", "moral", ":", "so", ",", "so", "."]
    for story in stories[:500]:
        assert words(story) == re.findall(r"[A-Za-z]+|[.,:]", story)
        assert join(words(story)) == story
    assert words("") == []
    assert join([]) == ""


def test_sample_depends_on_the_seed_alone(stories: list[str]):
    assert sample(7) == stories[:7] == sample(9)[:7]
    assert sample(7, seed=1) != stories[:7]
    assert sample(0) == []
    assert sample(1)[0] in " ".join((fables.__doc__ or "").replace("#", "").split())


# ---------------------------------------------------------------------------------------------------- likelihoods


def test_likelihood_of_a_story_by_hand():
    """Its words admit one derivation; the factors in their order."""
    scene = 1 / 14 * 1 / 2 * 1 / 2 * 1 / 8 * 1 / 22 * 1 / 4 * 1 / 13  # lazy, summer, unnamed, "lazy", ox, sleep, mill
    helper = 1 / 2 * 1 / 7 * 1 / 21 * 1 / 2 * 1 / 2 * 1 / 5  # unnamed, thin, hen, gladly, stored, hay
    end = 1 / 2 * 1 / 2 * 1 / 2 * 1 / 3 * 1 / 5  # had no, laughed, just, sloth (2/3 times 1/2), loses all
    assert log_prob(LAZY) == pytest.approx(math.log(scene * helper * end), rel=1e-12)


def test_likelihood_of_a_beginning_adds_up_over_derivations():
    """19 of 22 kinds, and 7 of 8 adjectives of a lazy animal, take "a"; a name and an adjective are
    equally likely."""
    result = prefix_log_prob(words("All summer a small"))
    adjective, kind = 1 / 2 * 7 / 8, 1 / 2 * 19 / 22
    expected = [1 / 14, 1 / 28, 1 / 28 * (adjective + kind), 1 / 28 * 1 / 2 * 1 / 8]
    assert result == pytest.approx([math.log(p) for p in expected], rel=1e-12)
    owl = 1 / 2 * 1 / 22  # only with a name, and a name tells he from she
    assert continuations(words("All summer an"))["owl"] == pytest.approx(owl / (1 / 2 * 1 / 8 + 3 * owl), rel=1e-12)
    assert continuations(words("All summer an owl named"))["Rufa"] == pytest.approx(1 / 28, rel=1e-12)


def test_the_second_animal_has_another_kind_and_name():
    beginning = (
        "One night a fox named Tom said that a snake was by the mill. A cow named Ada came, but Tom just laughed."
    )
    kinds = continuations(words(beginning.partition(" cow")[0]))
    assert "fox" not in kinds
    assert kinds["cow"] == pytest.approx(1 / 2 * 1 / 21 / (1 / 2 * 18 / 21 + 1 / 2 * 6 / 7), rel=1e-12)
    cat = beginning.partition(" cow")[0] + " cat named"
    names = continuations(words(cat))
    assert "Tom" not in names
    assert names["Otto"] == pytest.approx(1 / 2 / 13, rel=1e-12)
    assert names["Ada"] == pytest.approx(1 / 2 / 14, rel=1e-12)


@pytest.fixture
def ambiguous(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A grammar of three texts; "Go home now." has two derivations of four, which meet at their
    third word."""
    monkeypatch.setattr(fables, "PHRASES", {"story": "{how} {when}.", "how": "go | go home", "when": "home now | now"})
    for cached in (fables._states, fables._shares):
        cached.cache_clear()
    yield
    for cached in (fables._states, fables._shares):
        cached.cache_clear()


@pytest.mark.usefixtures("ambiguous")
def test_an_ambiguous_text_has_the_probability_of_all_its_derivations():
    texts = {"Go now.": 1 / 4, "Go home now.": 1 / 2, "Go home home now.": 1 / 4}
    assert [log_prob(text) for text in texts] == pytest.approx([math.log(p) for p in texts.values()], rel=1e-12)
    assert continuations(["Go", "home"]) == pytest.approx({"now": 2 / 3, "home": 1 / 3})
    assert set(sample(50)) == set(texts)


def test_continuations_add_up_to_one_and_multiply_to_the_likelihood(stories: list[str]):
    for story in [*stories[:15], FIG, RACE, LAZY]:
        read, product = words(story), 1.0
        for k, word in enumerate([*read, ""]):
            shares = continuations(read[:k])
            assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
            product *= shares[word]
            assert prefix_log_prob([*read, ""])[k] == pytest.approx(math.log(product), rel=1e-12)
        assert shares == {"": 1}
        assert log_prob(story) == pytest.approx(math.log(product), rel=1e-12)


def test_samples_follow_the_continuations(stories: list[str]):
    """Chi-square of the next word, after the beginnings that are common enough."""
    from scipy.special import chdtrc

    texts = [words(story) for story in stories]
    tested = 0
    for beginning in ("", "A", "An", "In the", "By the", "One day", "One day a", "All summer a", "Once an"):
        prefix = words(beginning)
        seen = Counter(text[len(prefix)] for text in texts if text[: len(prefix)] == prefix)
        total, shares = seen.total(), continuations(prefix)
        assert set(seen) <= set(shares)
        common = {word: share * total for word, share in shares.items() if share * total >= 5}
        rest = total - sum(common.values())
        cells = [(seen[word], expected) for word, expected in common.items()]
        if rest >= 5:
            cells.append((total - sum(seen[word] for word in common), rest))
        if len(cells) > 1:
            statistic = sum((count - expected) ** 2 / expected for count, expected in cells)
            assert chdtrc(len(cells) - 1, statistic) > 1e-4, beginning
            tested += 1
    assert tested >= 8


@pytest.mark.slow
def test_samples_follow_the_continuations_also_deep_inside(stories: list[str]):
    """A word's number of occurrences less the sum of its probabilities has mean 0, variance the sum
    of p (1 - p)."""
    gap, variance = defaultdict[str, float](float), defaultdict[str, float](float)
    for story in stories[:150]:
        read = words(story)
        for k, word in enumerate(read):
            gap[word] += 1
            for other, share in continuations(read[:k]).items():
                gap[other] -= share
                variance[other] += share * (1 - share)
    scores = {word: gap[word] / variance[word] ** 0.5 for word in gap if variance[word] > 5}
    assert len(scores) > 60
    assert {"the", "her", "small", "Bruno"} <= set(scores)
    assert max(map(abs, scores.values())) < 4.5
    assert 0.6 < sum(z * z for z in scores.values()) / len(scores) < 1.5


def test_likelihoods_are_fast():
    texts = sample(200, seed=5)
    fables._states.cache_clear()
    start = time.process_time()
    for text in texts:
        log_prob(text)
    assert time.process_time() - start < 1.5  # about 0.3


# ---------------------------------------------------------------------------------------------------- offences


def test_every_sampled_story_is_grammatical(stories: list[str]):
    assert all(first_offence(story) is None for story in [*stories[:100], FIG, RACE, LAZY])


@pytest.mark.parametrize(
    ("story", "right", "wrong"),
    [
        (FIG, "begged her", "begged him"),
        (FIG, "for herself", "for himself"),
        (FIG, "Soon she", "Soon he"),
        (FIG, "Rufa kept", "Nora"),
        (FIG, "Rufa kept", "The goose"),
        (FIG, "A brown crow", "A brown owl"),
        (FIG, "the fruit", "the food"),
        (FIG, "the fruit", "the pear"),
        (FIG, "lay ill in", "lay ill by"),
        (FIG, "ill in the garden", "ill in the field"),
        (FIG, "moral: a greedy", "moral: a kind"),
        (FIG, "moral: a greedy", "moral: patience"),
        (FIG, "loses", "bears"),
        (FIG, "an owl", "a owl"),
        (FIG, "a ripe", "an ripe"),
        (FIG, "found a ripe", "found ripe"),
        (FIG, "named Rufa", "named found"),
        (FIG, "a ripe fig", "a ripe ring"),
        (FIG, "Rufa kept", "rufa"),
        (FIG, "In the", "in"),
        (FIG, "the fruit", "the banana"),
        (FIG, "fig.", "fig!"),
        (FIG, "fig.", "fig,"),
        (FIG, "loses all.", "loses all. The"),
        (FIG, "A brown crow begged her for half. Rufa kept the fruit for herself.", "Rufa"),
        (FIG, "half. Rufa kept the fruit for herself. Soon", "half. Soon"),
        (RACE, "The ram slept", "The hen"),
        (RACE, "Ada walked", "The ram"),
        (RACE, "Ada walked", "Mina"),
        (RACE, "won the bell", "won the ring"),
        (RACE, "conceit", "patience"),
        (RACE, "named Ada", "named Tom"),
        (LAZY, "hay. In winter", "hay. At"),
        (LAZY, "no hay", "no corn"),
        (LAZY, "The hen just", "The ox"),
    ],
)
def test_a_corrupted_story_offends_at_the_first_wrong_word(story: str, right: str, wrong: str):
    """The last word of the wrong text is the first that cannot follow."""
    before, result, after = story.partition(right)
    assert result
    text = before + wrong + after
    read, k = words(text), len(words(before + wrong)) - 1
    assert first_offence(text) == (k, read[k])
    assert log_prob(text) == -math.inf
    log_probs = prefix_log_prob(read)
    assert all(map(math.isfinite, log_probs[:k]))
    assert log_probs[k:] == [-math.inf] * (len(read) - k)


def test_exchanged_sentences_offend():
    sentences = [sentence + "." for sentence in FIG.split(".")[:-1]]
    for i in range(4):
        changed = [*sentences[:i], sentences[i + 1], sentences[i], *sentences[i + 2 :]]
        text = "".join(changed).strip()
        offence = first_offence(text)
        assert offence is not None
        assert len(words("".join(changed[:i]))) <= offence[0] < len(words("".join(changed[: i + 1])))


def test_an_unfinished_story_offends_at_its_end():
    read = words(FIG)
    for k in (0, 1, 17, len(read) - 1):
        assert first_offence(join(read[:k])) == (k, "")
        assert log_prob(join(read[:k])) == -math.inf
    assert prefix_log_prob([]) == []
    assert prefix_log_prob(read[:3])[-1] > -math.inf


def test_spaces_do_not_count():
    assert log_prob("  " + FIG.replace(". ", " .\n")) == log_prob(FIG)


# ---------------------------------------------------------------------------------------------------- errors, imports


def test_errors():
    with pytest.raises(
        DataError, match=r"^word 2, 'fig', cannot follow 'An owl'; expected a story's beginning; cut it there$"
    ):
        continuations(["An", "owl", "fig", "."])
    with pytest.raises(DataError, match=r"^word 0, 'an', cannot follow '';"):
        continuations(["an"])
    with pytest.raises(ConfigError, match=r"^-1 stories: expected at least 0; ask for more$"):
        sample(-1)


@pytest.mark.slow
def test_alternatives_are_drawn_by_their_weights() -> None:
    """One of the fourteen shares of character is lazy; so is one of ten characters."""
    n = 4_000
    lazy = sum(re.search("gathered|stored", story) is not None for story in fables.sample(n, seed=5)) / n
    assert abs(lazy - 1 / 14) < 4 * math.sqrt(1 / 14 * 13 / 14 / n) < 1 / 10 - 1 / 14
