"""Words as a question is compared by them: lower case, contractions opened, numbers as digits, endings cut."""

import re

_CONTRACTIONS = {
    "n't": " not",
    "'re": " are",
    "'ll": " will",
    "'ve": " have",
    "'m": " am",
    "'d": " would",
    "let's": "let us",
}
_IS = re.compile(r"\b(what|where|when|who|how|that|it|there|here)'s\b")
_TOKEN = re.compile(r"[a-z]+|\d+")

NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
NUMBER_WORDS |= dict(
    zip("thirty forty fifty sixty seventy eighty ninety".split(), map(str, range(30, 100, 10)), strict=True)
)
NUMBER_WORDS |= {"hundred": "100", "thousand": "1000", "dozen": "12", "noon": "12", "midday": "12", "midnight": "0"}

# Carry little of what a question is about.
FUNCTION_WORDS = frozenset(
    "a an the i you he she it we they me us them my your his her its our their is are am was were be been do does did "
    "have has had can could will would shall should may might must to of in on at for from by with and or but so if as "
    "that this these those there here not no yes please hello hi hey okay ok well um uh er oh thanks thank tell let "
    "know like want need just really also any some about say give get got go one thing".split()
)
# Tell kinds of question apart, but are no topic of their own. In the compared form.
QUESTION_WORDS = frozenset("what when where who which why how much many long far often cost pric charg".split())
# Come along with any question, and change nothing about its answer. In the compared form.
ASIDES = frozenset(
    "today now currently exactly actually right still usually normally maybe perhaps possible able wonder question ask "
    "help sir madam guy good morn afternoon even day quick quickly sorry excus understand hear tell mean shop "
    "store".split()
)


def tokens(text: str) -> list[str]:
    """The words of a text, in order, each in its compared form."""
    lowered = text.lower().replace("\u2019", "'")
    lowered = _IS.sub(r"\1 is", lowered)
    for contraction, opened in _CONTRACTIONS.items():
        lowered = lowered.replace(contraction, opened)
    return [stem(NUMBER_WORDS.get(token, token)) for token in _TOKEN.findall(lowered)]


def stem(word: str) -> str:
    """A word without its commonest English endings: enough to join "opening" and "open", "prices" and "price"."""
    if word in FUNCTION_WORDS or word in QUESTION_WORDS or len(word) < 4 or word.isdigit():
        return word
    for ending, replacement in (("ies", "y"), ("ing", ""), ("edly", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + replacement
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lse":
        word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
