"""Engines by the name that settings use; imported on use, so that only the chosen one takes memory."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from services.asr.engine import Engine
from services.asr.settings import AsrSettings

_MODULES = {
    "faster_whisper": "services.asr.engines.faster_whisper",
    "vosk": "services.asr.engines.vosk",
}

ENGINE_NAMES = tuple(_MODULES)


def create_engine(settings: AsrSettings, models_dir: Path) -> Engine:
    """The engine that the settings name, not yet loaded.

    Raises:
        LookupError: no such engine.
    """
    if settings.engine not in _MODULES:
        raise LookupError(f"no engine {settings.engine!r}, only {', '.join(ENGINE_NAMES)}")
    create: Callable[[AsrSettings, Path], Engine] = import_module(_MODULES[settings.engine]).create
    return create(settings, models_dir)
