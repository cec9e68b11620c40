"""Which Piper voices are installed: what their .onnx.json files say (Piper's voice configuration)."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.model_files import CATALOGUE, Model, ModelBroken, ModelMissing, packaged_path, resolve
from services.tts.engine import Voice

log = logging.getLogger(__name__)

ENGINE = "piper"


@dataclass(frozen=True, slots=True)
class VoiceFiles:
    """A voice's model and its configuration, read but not proven to load."""

    voice: Voice
    model: Path
    config: dict[str, Any]


def find_voice(name: str, models_dir: Path) -> VoiceFiles:
    """A voice by name, by catalogue name or by path.

    Raises:
        ModelMissing, ModelBroken: with the file and the command that gets it.
    """
    for model in _files(models_dir):
        if model.stem == name:
            return read_voice(model)
    entry = _catalogued(name)
    path = resolve(entry.name if entry else name, models_dir)
    found = path if path.suffix == ".onnx" else next(iter(sorted(path.glob("*.onnx"))), None)
    if found is None:
        raise ModelMissing(path / "*.onnx", entry.command if entry else "oavc models list")
    return read_voice(found)


def installed_voices(models_dir: Path) -> list[VoiceFiles]:
    """Every voice in the folder of models and in installed packages, by name; one that cannot be read is left out."""
    found: dict[str, VoiceFiles] = {}
    for model in _files(models_dir):
        if model.stem in found:
            continue
        try:
            found[model.stem] = read_voice(model)
        except (ModelBroken, ModelMissing) as error:
            log.warning("voice left out", extra={"reason": error.reason})
    return [found[name] for name in sorted(found)]


def read_voice(model: Path) -> VoiceFiles:
    """What the configuration beside the model says."""
    path = model.with_name(model.name + ".json")
    command = command_for(model)
    if not path.exists():
        raise ModelMissing(path, command)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return VoiceFiles(_voice(model.stem, config), model, config)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelBroken(path, f"{type(error).__name__}: {error}", command) from error


def command_for(model: Path) -> str:
    """What gets the voice whose model this is, or says what there is."""
    entry = _catalogued(model.stem)
    return entry.command if entry else "oavc models list"


def _voice(name: str, config: dict[str, Any]) -> Voice:
    audio, language = config["audio"], config.get("language", {})
    speaker = str(config.get("dataset") or name).replace("_", " ").title()
    quality = str(audio.get("quality", ""))
    spoken = str(language.get("name_english", ""))
    country = str(language.get("country_english", ""))
    return Voice(
        name=name,
        display_name=f"{speaker} ({quality})" if quality else speaker,
        language=str(language.get("code") or config["espeak"]["voice"]),
        description=f"Piper voice, {spoken} ({country})" if spoken else "Piper voice",
        sample_rate_hz=int(audio["sample_rate"]),
    )


def _files(models_dir: Path) -> Iterator[Path]:
    for settings in sorted(models_dir.glob("**/*.onnx.json")):
        model = settings.with_suffix("")
        if model.exists():
            yield model
    for entry in CATALOGUE.values():
        if entry.engine == ENGINE:
            packaged = packaged_path(entry)
            if packaged is not None:
                yield packaged


def _catalogued(name: str) -> Model | None:
    for model in CATALOGUE.values():
        if model.engine == ENGINE and name in (model.name, _stem(model.package_entry), _stem(model.entry)):
            return model
    return None


def _stem(entry: str) -> str:
    return Path(entry).stem
