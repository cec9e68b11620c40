"""Where a model's files are: an explicit path, else the folder of models, else an installed package."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from services.common.model_catalogue import CATALOGUE, Download, Model
from services.common.model_errors import ModelBroken, ModelMissing
from services.common.settings import Section, key

__all__ = [
    "CATALOGUE",
    "Download",
    "Model",
    "ModelBroken",
    "ModelMissing",
    "ModelSettings",
    "fetched_path",
    "packaged_path",
    "resolve",
]

MODELS_DIR_DEFAULT = Path("models")


class ModelSettings(Section):
    section = "models"

    directory: Path = key(
        MODELS_DIR_DEFAULT,
        env="OAVC_MODELS_DIR",
        help="Where `oavc models fetch` puts models, and services look for them.",
    )


def resolve(model: str, models_dir: Path = MODELS_DIR_DEFAULT, catalogue: Mapping[str, Model] = CATALOGUE) -> Path:
    """The file or folder that the engine opens; nothing of it is read or imported.

    Args:
        model: a path, or a name of the catalogue, or of something in `models_dir`.

    Raises:
        ModelMissing: nothing is there; it names the file, and the command that gets it.
    """
    path = Path(model).expanduser()
    if model and path.exists():
        return path
    entry = catalogue.get(model)
    if entry is None:
        if len(path.parts) < 2:
            path = models_dir / model
            if model and path.exists():
                return path
        raise ModelMissing(path, _command_for(path, catalogue))
    found = fetched_path(entry, models_dir) or packaged_path(entry)
    if found is None:
        expected = models_dir / entry.name / entry.entry if entry.downloads else _in_package(entry)
        raise ModelMissing(expected, entry.command)
    return found


def fetched_path(model: Model, models_dir: Path) -> Path | None:
    """Its place in the folder of models, if it is there."""
    path = models_dir / model.name / model.entry
    return path if path.exists() else None


def packaged_path(model: Model) -> Path | None:
    """Its place in an installed package, if there is one."""
    if not model.package:
        return None
    # For a top-level package this finds the folder and runs none of its code.
    spec = importlib.util.find_spec(model.package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / model.package_entry
        if path.exists():
            return path
    return None


def _in_package(model: Model) -> Path:
    return Path(model.package) / model.package_entry


def _command_for(path: Path, catalogue: Mapping[str, Model]) -> str:
    """A path that lies where a known model would be means that model."""
    for model in catalogue.values():
        if model.downloads and model.name in path.parts:
            return model.command
    return "oavc models list"
