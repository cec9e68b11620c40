"""Where a model's files are: an explicit path, else the models folder, else an installed package."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from services.common.model_catalogue import CATALOGUE, Model
from services.common.model_errors import ModelBroken, ModelMissing
from services.common.settings import Section, key

__all__ = [
    "CATALOGUE",
    "Model",
    "ModelBroken",
    "ModelMissing",
    "ModelSettings",
    "installed_path",
    "packaged_path",
    "resolve",
]

MODELS_DIR_DEFAULT = Path("models")


class ModelSettings(Section):
    section = "models"

    directory: Path = key(
        MODELS_DIR_DEFAULT,
        env="OAVC_MODELS_DIR",
        help="Where `oavc models fetch` puts models and services find them.",
    )


def resolve(
    model: str,
    models_dir: Path = MODELS_DIR_DEFAULT,
    catalogue: Mapping[str, Model] = CATALOGUE,
) -> Path:
    """The file or folder that the engine loads, nothing of it imported or read.

    Args:
        model: a path (it has a separator, or exists), or a name: of the catalogue, or of something in `models_dir`.

    Raises:
        ModelMissing: nothing is there; it names the file and the command that gets it.
    """
    path = Path(model).expanduser()
    if path.exists():
        return path
    entry = catalogue.get(model)
    if entry is None:
        if len(path.parts) > 1:
            raise ModelMissing(path, _command_for_path(path, catalogue))
        path = models_dir / model
        if path.exists():
            return path
        raise ModelMissing(path, "oavc models list")
    found = installed_path(entry, models_dir) or packaged_path(entry)
    if found is None:
        raise ModelMissing(expected_path(entry, models_dir), entry.command)
    return found


def expected_path(model: Model, models_dir: Path) -> Path:
    """Where the model is looked for first: in the folder of models if it can be fetched, else in its package."""
    if model.downloads:
        return models_dir / model.name / model.entry
    return Path(model.package) / model.package_entry


def installed_path(model: Model, models_dir: Path) -> Path | None:
    """Its place in the folder of models, if it was fetched."""
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


def _command_for_path(path: Path, catalogue: Mapping[str, Model]) -> str:
    """A path that lies where a known model would be is most likely that model."""
    for model in catalogue.values():
        if model.downloads and model.name in path.parts:
            return model.command
    return "oavc models list"
