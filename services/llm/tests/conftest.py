"""The packaged model, loaded once for all tests that need it."""

from collections.abc import Iterator

import pytest

from services.llm.engines.llama_cpp import LlamaCppEngine
from services.llm.tests.factories import MODELS_DIR, make_settings


class SharedEngine(LlamaCppEngine):
    """Loaded once; a service that begins or ends leaves it as it is."""

    def load(self) -> None:
        if self._info is None:
            super().load()

    def close(self) -> None:
        """Others need it."""


@pytest.fixture(scope="session")
def loaded_llama() -> Iterator[LlamaCppEngine]:
    settings = make_settings(threads=1, prompt_threads=1, context_tokens=1024, request_tokens=512)
    engine = SharedEngine(settings, MODELS_DIR)
    engine.load()
    yield engine
    LlamaCppEngine.close(engine)


@pytest.fixture
def llama(loaded_llama: LlamaCppEngine) -> LlamaCppEngine:
    """The packaged model with an empty cache."""
    for sequence in range(loaded_llama.info.sequences):
        loaded_llama.truncate(sequence, 0)
    return loaded_llama
