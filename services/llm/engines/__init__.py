"""The engines by the name that settings call them; each is imported when it is used."""

from importlib import import_module
from pathlib import Path

from services.llm.engine import Engine
from services.llm.settings import LlmSettings

FACTORIES = {
    "llama_cpp": "services.llm.engines.llama_cpp:LlamaCppEngine",
    "scripted": "services.llm.engines.scripted:ScriptedEngine",
}


def make_engine(settings: LlmSettings, models_dir: Path) -> Engine:
    """The engine the settings name, not yet loaded."""
    module_name, _, factory_name = FACTORIES[settings.engine].partition(":")
    engine: Engine = getattr(import_module(module_name), factory_name)(settings, models_dir)
    return engine
