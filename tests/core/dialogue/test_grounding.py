"""Facts that nobody gave the model."""

import pytest

from core.dialogue.grounding import invented

GIVEN = ("We are open from nine to six, Monday to Saturday.", "A service costs 45 euros.", "Ask for Anna.")


@pytest.mark.parametrize(
    ("clause", "facts"),
    [
        ("We are open from 9 to 6.", set()),
        ("It costs forty-five euros.", {"40", "5"}),
        ("It costs 45 euros.", set()),
        ("It costs 45.00 euros.", set()),
        ("It costs 50 euros.", {"50"}),
        ("We are open on Sundays.", {"sunday"}),
        ("Come on Monday!", set()),
        ("Please ask for Anna.", set()),
        ("Please ask for Bertha.", {"bertha"}),
        ("I am happy to help you.", set()),
        ("No one is here.", set()),
        ("Of course, Sir, I can help.", set()),
        ("As an AI, I do not watch TV.", set()),
        ("You can, However, come by.", set()),
        ("It costs a dozen euros.", {"12"}),
        ("It is free of charge.", {"free of charge"}),
        ("You can have it for free.", {"for free"}),
        ("Feel free to call.", set()),
        ("", set()),
    ],
)
def test_only_what_stands_nowhere_is_invented(clause: str, facts: set[str]) -> None:
    assert invented(clause, GIVEN) == facts
