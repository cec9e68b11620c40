"""Phrases that are kept rendered: which are, and what is told of it."""

import logging

import pytest

from core.pipeline.phrase_book import PhraseBook
from core.providers.tts.scripted import ScriptedSynthesizer


async def test_only_what_is_missing_is_rendered_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    voice = ScriptedSynthesizer(0.0)
    book = PhraseBook(voice, 2**20)
    await book.render(["Hello.", "Bye."], 8000)
    await book.render(["Hello."], 8000)
    assert voice.said == ["Hello.", "Bye."]
    assert book.get("Hello.", 8000)
    assert book.get("Hello.", 16000) is None
    assert [record.message for record in caplog.records] == ["phrases rendered"]


async def test_what_does_not_fit_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    book = PhraseBook(ScriptedSynthesizer(0.0), 100)
    await book.render(["Hello."], 8000)
    assert book.get("Hello.", 8000) is None
    assert [record.message for record in caplog.records] == ["phrase book is full"]


async def test_another_book_of_the_voice_lends_what_is_wanted() -> None:
    voice = ScriptedSynthesizer(0.0)
    earlier, book = PhraseBook(voice, 2**20), PhraseBook(voice, 2**20)
    await earlier.render(["Hello.", "Bye."], 8000)
    book.take_over(["Hello."], earlier)
    assert book.get("Hello.", 8000) == earlier.get("Hello.", 8000)
    assert book.get("Bye.", 8000) is None
