"""Fables: short stories from a probabilistic grammar that gives the exact likelihood of every text.

    print(fables.sample(1)[0])
    # By the hill a small fox found a golden coin. A poor cow looked for the treasure. The fox
    # gladly gave it back. They played by the hill. The moral: truth bears fruit.

A story has 3 or 4 sentences and a moral, 40 words on average and 48 at most, 41 bits of entropy.
Its sentences depend on each other: he or she on the animal or its name, later mentions on the
first, the outcome and the moral on the animal's character. So a model of texts can be evaluated by
how many of its stories are grammatical (`first_offence`), and its own likelihoods by the true ones
(`log_prob`).

FACTS and PHRASES hold the grammar. A row lists its alternatives, parted by |; one that is written
twice is twice as likely. Alternatives are texts with slots: {find} is filled from the row "find";
{A.kind} with the kind of the animal A; {.name}, within A's rows, with the name of that same A;
{asked|begged} with one of the two. What a row of FACTS gave to a slot is remembered and given to it
again; a row of PHRASES is drawn from at each mention. `Given` rows depend on a fact, which is drawn
first if it was not yet. Two rules are built in: "a" becomes "an" where it must, and sentences begin
with a capital.

Words are compared as they are written: "The" and "the" differ, "." is a word. Spaces and line
breaks do not count.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache

from multigen.errors import ConfigError, DataError

__all__ = [
    "continuations", "first_offence", "join", "log_prob", "prefix_log_prob", "sample", "words",
]  # fmt: skip


class Given:
    """A row whose alternatives depend on the value of a fact."""

    def __init__(self, fact: str, otherwise: str = "", **cases: str):
        self.fact, self.otherwise, self.cases = fact, otherwise, cases


def inverted(cases: Mapping[str, str]) -> dict[str, str]:
    """{"a": "x|y"} -> {"x": "a", "y": "a"}."""
    return {value: case for case, values in cases.items() for value in values.split("|")}


# ---------------------------------------------------------------------------------------------------- what is remembered

KINDS = {  # pronouns: the animals that may have them
    "he": "fox|wolf|lion|ox|ram",
    "she": "hen|cow|goose|sow|mare",
    "he|she": "cat|bear|owl|hare|mouse|goat|frog|mole|otter|crow|donkey|badger",
}
SPOTS = {  # preposition: the places that it goes with
    "by": "river|pond|mill|well|bridge|road|lake|hill",
    "in": "garden|meadow|forest|valley|field",
}

FACTS: dict[str, str | Given] = {
    # What A is like decides what happens.
    "trait": "kind|kind|greedy|greedy|sly|sly|proud|proud|vain|honest|patient|lazy|hasty|bitter",
    # Of an animal.
    "kind": "|".join(KINDS.values()),
    "he": Given(".kind", **inverted(KINDS)),
    "named": "yes|no",
    "name": Given(
        ".he",
        he="Bruno|Otto|Tom|Felix|Hugo|Oscar|Rolf|Max|Ned|Leo|Karl|Emil|Sam|Ben",
        she="Rufa|Mina|Ada|Lena|Nora|Bella|Ruby|Ida|Dora|Tilda|Clara|Emma|Anna|Rosa",
    ),
    # Of a thing, of a place.
    "sort": Given(
        "A.trait",
        kind="fruit|food",
        greedy="fruit|food",
        hasty="fruit",
        bitter="fruit",
        otherwise="fruit|food|treasure",
    ),
    "noun": Given(
        ".sort",
        fruit="fig|plum|pear|apple|orange|peach",
        food="cheese|cake|pie|loaf|onion",
        treasure="ring|coin|pearl|crown|bell",
    ),
    "spot": "|".join(SPOTS.values()),
    # Of the story.
    "water": "river|stream|lake",
    "trap": "net|snare|cage|trap",
    "danger": "hunter|thief|hawk|snake",
    "charm": "voice|dance|laugh",
    "pastime": "sing|sleep|dance|play",
    "season": "summer|day",
    "store": "corn|hay|wood|seeds|nuts",
}
DISTINCT = {"kind", "name"}  # facts that no two animals of a story share

# ---------------------------------------------------------------------------------------------------- what is written

PHRASES: dict[str, str | Given] = {
    "story": "{tale} The moral: {whose} {outcome}.",
    "tale": Given(
        "A.trait",
        kind="{find} {ask} {give} {repay} | {rescue} {repay}",
        greedy="{find} {ask} {keep} {regret} | {mirror}",
        sly="{find} {claim} {deny} {distrust} | {alarm}",
        proud="{race} {A.nap} {B.win} | {mock} {caught} {free}",
        vain="{find} {praise} {show} {grab}",
        honest="{find} {claim} {return} {befriend}",
        patient="{race} {B.nap} {A.win}",
        lazy="{idle} {gather} {beg} {refuse}",
        hasty="{see} {hurry} {wait}",
        bitter="{see} {fail} {scorn}",
    ),
    # A finds a thing. B would like some.
    "find": """{A.intro} {found|saw|spied} {thing.first} {place.where}.
        | {Once|One day} {A.intro} {found|saw|spied} {thing.first} {place.where}.
        | {place.where} {A.intro} {found|saw|spied} {thing.first}.""",
    "ask": "{B.guest} {asked|begged} for {some|half}. | {B.guest} {asked|begged} {A.him} for {some|half}.",
    "give": "{A.ref} {gave|cut} {B.him} a piece. | {A.ref} {gladly|quickly} shared {thing.again}.",
    "repay": """{Later|Soon} {B.ref} saved {A.him} from a {danger}.
        | {Later|Soon} {B.ref} built {A.him} a {home|bed}.
        | {All winter|That night} {B.ref} kept {A.him} {warm|safe}.""",
    "keep": """{A.ref} {quickly|gladly} ate {thing.again}.
        | {A.ref} kept {thing.again} for {A.himself}.""",
    "regret": """{Soon|Later} {A.he} {grew|was} {sick|ill}.
        | {Soon|Later} {A.he} lay {sick|ill} {place.where}.""",
    # B wants it.
    "praise": "{B.guest} praised {A.his} {charm}.",
    "show": "{A.ref} {proudly|gladly} {showed} and dropped it.",
    "showed": Given("charm", voice="sang", dance="danced", laugh="laughed"),
    "grab": "{B.ref} {took|caught} {thing.again} and {ran|went} {away|home}.",
    # B lost it.
    "claim": "{B.guest} {asked|looked|wept} for {thing.again}. | {B.guest} {had lost|looked for} it.",
    "return": "{A.ref} {quickly|gladly} gave it back. | {A.ref} {gave|brought} {thing.again} to {B.him}.",
    "befriend": "{Later|Soon} {B.ref} became {A.his} friend. | They {sang|danced|played|rested} {place.where}.",
    "deny": "{A.ref} {said|lied} that it was {A.hers}. | {A.ref} hid it and {lied|ran home}.",
    "distrust": """No one {place.where} trusted {A.him}.
        | {B.ref} found it and {wept|told all}.""",
    # Other things happen.
    "mirror": """{A.intro} {carried|brought} {thing.first} over the {water}.
        {A.he} {saw|spied} another {thing.noun} in the water. {A.he} {jumped|reached} for it and {lost|dropped} {A.his} own.""",
    "alarm": """{One day|One night} {A.intro} {cried|said} that a {danger} was {place.where}.
        {B.guest} came, but {A.ref} {only|just} laughed. {Later|Soon} the {danger} came, but {B.ref} {slept|stayed home}.""",
    "rescue": """{A.intro} {found|saw|spied} {B.guest} in a {trap} {place.where}.
        {A.he} {undid} the {trap} and {freed|saved} {B.him}.""",
    "undid": Given("trap", net="cut", snare="cut", cage="opened", trap="opened"),
    "mock": "{A.intro} {mocked|laughed at} {B.guest} {place.where}.",
    "caught": "{That night|One day|Soon|Later} {A.he} was caught in a {trap}.",
    "free": "{B.ref} {undid} the {trap} and {freed|saved} {A.him}.",
    "race": "{A.intro} raced {B.guest} to the {place.spot} for {thing.first}.",
    "nap": "{.ref} {slept|played|rested} {by the road|in the grass|under a tree}.",
    "win": """{.ref} {walked on|never stopped} and won {thing.again}.
        | {.ref} {walked on|never stopped} and reached the {place.spot} first.""",
    "idle": "All {season} {A.intro} {idled} {place.where}.",
    "idled": Given("pastime", sing="sang", sleep="slept", dance="danced", play="played"),
    "gather": "{B.guest} {quickly|gladly} {gathered|stored} {store}.",
    "beg": "{then} {A.ref} {asked|begged} for {store}. | {then} {A.ref} had no {store}.",
    "then": Given("season", summer="in winter", day="at night"),
    "refuse": "{B.ref} told {A.him} to {pastime} again. | {B.ref} {only|just} laughed.",
    "see": "{A.intro} {saw|spied} {thing.first} in a tree {place.where}.",
    "hurry": "{A.he} jumped {once|twice} and {gave up|went away|went home}.",
    "wait": "{B.guest} {waited|slept|rested} until {thing.again} fell.",
    "fail": "{A.he} jumped {all day|all night} but never {got|reached} it.",
    "scorn": """{A.he} told {B.guest} that it was {sour|bad|small}.
        | {A.he} went {away|home} and called it {sour|bad|small}.""",
    # Animals: A's first mention, B's, later ones of either.
    "intro": Given(".named", yes="a {.kind} named {.name}", no="a {look} {.kind}"),
    "guest": Given(".named", yes="a {.kind} named {.name}", no="a {old|young|small|thin|gray|poor|brown} {.kind}"),
    "ref": Given(".named", yes="{.name} | {.name} | the {.kind}", no="the {.kind}"),
    "look": "{A.trait} | old | young | small | gray | brown | thin | poor",
    "his": Given(".he", he="his", she="her"),
    "him": Given(".he", he="him", she="her"),
    "hers": Given(".he", he="his", she="hers"),
    "himself": Given(".he", he="himself", she="herself"),
    # Things and places.
    "first": "a {.quality} {.noun} | a {.noun}",
    "again": "the {.noun} | the {.noun} | the {.sort}",
    "quality": Given(".sort", fruit="ripe|sweet|small", food="fresh|warm|sweet", treasure="golden|old|small"),
    "where": "{.at} the {.spot}",
    "at": Given(".spot", **inverted(SPOTS)),
    # The moral: of whom, and what comes of it.
    "whose": "{what} | {what} | a {A.trait} heart",
    "what": Given(
        "A.trait",
        kind="kindness | mercy",
        greedy="greed | hunger",
        sly="a lie | a liar",
        proud="pride | conceit",
        vain="vanity | flattery",
        honest="honesty | truth",
        patient="patience | steady work",
        lazy="sloth | idleness",
        hasty="haste | hurry",
        bitter="spite | scorn",
    ),
    "outcome": Given(
        "A.trait",
        kind="is repaid | comes back | bears fruit | wins friends | brings joy",
        honest="is repaid | comes first | bears fruit | wins friends | brings joy",
        patient="is repaid | comes first | bears fruit | wins friends | brings joy",
        otherwise="wins nothing | brings tears | loses all | comes last | brings sorrow",
    ),
}

# ---------------------------------------------------------------------------------------------------- how texts are drawn

WORD = re.compile(r"[A-Za-z]+|[.,:]|[^A-Za-z.,:\s]+")  # the last so that foreign signs are not skipped
PIECE = re.compile(r"\{[^}]*\}|[A-Za-z]+|[.,:^]")
BAR = re.compile(r"\|(?![^{]*\})")  # outside of slots
CAPITAL = "^"  # the next word begins a sentence
END = ""  # stands for a word where the story is over

Facts = tuple[tuple[str, str], ...]  # slots and their values, in the order in which they were drawn
Stack = tuple[str, "Stack"] | None  # what is still to be written: the next word, slot or mark, and the rest
State = tuple[Facts, Stack]
START: State = ((), ("{story}", None))


@cache
def _pieces(template: str, role: str) -> tuple[str, ...]:
    """Words, slots and marks of a template in the rows of a role. If it ends in a full stop, its
    sentences get capitals."""
    marked = re.sub(r"(^|\.\s+)", rf"\1{CAPITAL} ", template) if template.endswith(".") else template
    return tuple(piece.replace("{.", f"{{{role}.") for piece in PIECE.findall(marked))


@cache
def _shares(name: str, case: str, used: frozenset[str]) -> tuple[tuple[str, float], ...]:
    """The alternatives of a row, or of "asked|begged", less those taken, and their
    probabilities."""
    row = _row(name)
    if isinstance(row, Given):
        row = row.cases.get(case) or row.otherwise
    counts = Counter(template for template in map(str.strip, BAR.split(row)) if template not in used)
    return tuple((template, count / counts.total()) for template, count in counts.items())


def _row(name: str) -> str | Given:
    return FACTS.get(name) or PHRASES.get(name) or name


def _fill(slot: str, facts: Facts) -> Iterator[tuple[float, str, Facts]]:
    """The ways to fill a slot: probability, template, and the facts then."""
    for fact, value in facts:
        if fact == slot:
            yield 1.0, value, facts
            return
    role, _, name = slot.rpartition(".")
    row, cases = _row(name), [(1.0, "", facts)]
    if isinstance(row, Given):
        cases = _fill(role + row.fact if row.fact.startswith(".") else row.fact, facts)
    for p, case, then in cases:
        used = [value for other, value in then if other.endswith("." + name)] if name in DISTINCT else ()
        for template, share in _shares(name, case, frozenset(used)):
            yield p * share, template, (*then, (slot, template)) if name in FACTS else then


def _push(template: str, slot: str, rest: Stack) -> Stack:
    """The stack with a slot's template in front."""
    for piece in reversed(_pieces(template, slot.rpartition(".")[0])):
        rest = (piece, rest)
    return rest


def _article(word: str) -> str:
    """ "a" or "an", right for the words of this grammar."""
    return "an" if word.startswith(("a", "e", "i", "o", "u", "honest")) else "a"


def _write(rng: random.Random) -> str:
    """Draws a story."""
    pieces: list[str] = []
    facts, stack = START
    while stack is not None:
        piece, rest = stack
        if piece[0] == "{":
            ways = list(_fill(piece[1:-1], facts))
            _, template, facts = rng.choices(ways, [p for p, _, _ in ways])[0]
            stack = _push(template, piece[1:-1], rest)
        else:
            pieces.append(piece)
            stack = rest
    text = re.sub(r"\ba (\w+)", lambda match: f"{_article(match[1])} {match[1]}", join(pieces))
    return re.sub(r"(?:\^ )+(.)", lambda match: match[1].upper(), text)


def _next(facts: Facts, stack: Stack) -> list[tuple[float, str, State]]:
    """The ways on from a state: probability, next word, and the state then."""
    if not stack:
        return [(1.0, END, (facts, stack))]
    piece, rest = stack
    if piece == CAPITAL:
        return [(p, word[0].upper() + word[1:], then) for p, word, then in _next(facts, rest)]
    if piece == "a":
        return [(p, _article(word), (then, (word, after))) for p, word, (then, after) in _next(facts, rest)]
    if piece[0] != "{":
        return [(1.0, piece, (facts, rest))]
    slot = piece[1:-1]
    return [
        (p * q, word, state)
        for p, template, then in _fill(slot, facts)
        for q, word, state in _next(then, _push(template, slot, rest))
    ]


@lru_cache(maxsize=1 << 12)  # a text read word by word takes one step a word, common beginnings none
def _states(words: tuple[str, ...]) -> dict[State, float]:
    """The states in which a derivation may be after these words, and their joint probabilities;
    empty if there are none."""
    if not words:
        return {START: 1.0}
    states: dict[State, float] = defaultdict(float)
    for state, p in _states(words[:-1]).items():
        for q, word, then in _next(*state):
            if word == words[-1]:
                states[then] += p * q
    return states


# ---------------------------------------------------------------------------------------------------- public


def words(text: str) -> list[str]:
    """Splits a text into words, `[A-Za-z]+` or one of `.,:`. What else it holds is kept as words
    that no story has."""
    return WORD.findall(text)


def join(words: Sequence[str]) -> str:
    """Joins words by spaces, none before . , and : so that a story's words give its text back."""
    return re.sub(r" (?=[.,:])", "", " ".join(words))


def sample(n: int, seed: int = 0) -> list[str]:
    """n stories, drawn independently; the first k are the same for every n. Raises ConfigError if n
    is below 0."""
    if n < 0:
        raise ConfigError(f"{n} stories: expected at least 0; ask for more")
    return [_write(random.Random(f"{seed}/{i}")) for i in range(n)]


def prefix_log_prob(words: Sequence[str]) -> list[float]:
    """log p(words[:1] begins a story), log p(words[:2] ...), and so on, nats; -inf from the first
    offence on.

    "" as the last word stands for the story's end.
    """
    log_probs: list[float] = []
    for k in range(1, len(words) + 1):
        p = sum(_states(tuple(words[:k])).values())
        if not p:
            break
        log_probs.append(math.log(p))
    return log_probs + [-math.inf] * (len(words) - len(log_probs))


def log_prob(text: str) -> float:
    """log p of the whole story, nats: exact, the sum over all its derivations. -inf for what the
    grammar cannot write."""
    return prefix_log_prob([*words(text), END])[-1]


def first_offence(text: str) -> tuple[int, str] | None:
    """Number (from 0) and text of the first word that cannot follow those before it; None for a
    grammatical story.

    A story that breaks off offends at its end: (number of words, "").
    """
    read = [*words(text), END]
    log_probs = prefix_log_prob(read)
    return None if math.isfinite(log_probs[-1]) else (k := log_probs.index(-math.inf), read[k])


def continuations(words: Sequence[str]) -> dict[str, float]:
    """The next words that may follow a beginning, "" for the story's end, and their exact
    probabilities.

    Raises DataError for words that begin no story.
    """
    k = sum(map(math.isfinite, prefix_log_prob(words)))
    if k < len(words):
        raise DataError(
            f"word {k}, {words[k]!r}, cannot follow {join(words[:k])!r}; expected a story's beginning; cut it there"
        )
    shares: dict[str, float] = defaultdict(float)
    states = _states(tuple(words))
    for state, p in states.items():
        for q, word, _ in _next(*state):
            shares[word] += p * q
    total = sum(states.values())
    return {word: share / total for word, share in shares.items()}
