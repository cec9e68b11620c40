"""`oavc models ollama` against a stand-in for the server."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.backend import WAIT_S, free_port
from tests.support.standins.ollama import MODEL, OllamaServer
from tools.oavc.__main__ import main


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """On a loop of its own: the command blocks."""
    standing = OllamaServer()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def on_loop(what: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(what(), loop).result(WAIT_S)  # type: ignore[arg-type]

    on_loop(standing.start)
    monkeypatch.setenv("OLLAMA_HOST", standing.url)
    yield standing
    on_loop(standing.die)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(WAIT_S)
    loop.close()


def oavc(*words: str) -> int:
    return main(["models", "ollama", *words])


def test_list_shows_what_the_server_has(server: OllamaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert oavc("list") == 0
    assert capsys.readouterr().out == f"{MODEL}\n    2019 MB, 3.2B, Q4_K_M\n"


def test_running_shows_what_is_in_memory(server: OllamaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert oavc("running") == 0
    assert capsys.readouterr().out == ""
    server.loaded.add(MODEL)
    assert oavc("running") == 0
    assert capsys.readouterr().out == f"{MODEL}\n    2019 MB, 0 MB of it on GPUs, until 2025-07-07 20:22:19 UTC\n"


def test_show_tells_what_a_model_can_do(server: OllamaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert oavc("show", "stand-in") == 0
    shown = capsys.readouterr().out
    assert "can do: completion, tools" in shown
    assert "context: 131072 tokens" in shown


def test_a_model_that_is_not_there_is_named(server: OllamaServer, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("show", "delete"):
        assert oavc(action, "nothing") == 1
        assert "model 'nothing' not found" in capsys.readouterr().err


def test_delete_removes_it(server: OllamaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert oavc("delete", MODEL) == 0
    assert server.models == set()
    assert capsys.readouterr().out == f"{MODEL}: deleted\n"


def test_pull_tells_how_far_it_is(server: OllamaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert oavc("pull", "llama3.2") == 0
    assert "llama3.2:latest" in server.models
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in lines][:4] == [
        "pulling manifest",
        "pulling 100000000000: 0 % of 1 MB",
        "pulling 100000000000: 20 % of 1 MB",
        "pulling 100000000000: 50 % of 1 MB",
    ]
    assert lines[-1] == "llama3.2: success"


def test_pull_counts_up_on_a_terminal(
    server: OllamaServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert oavc("pull", "llama3.2") == 0
    shown = capsys.readouterr().out
    assert "\r    llama3.2: pulling 100000000000: 0 of 1 MB, 25 % " in shown
    assert "1 of 1 MB, 100 % \n" in shown


def test_a_pull_that_broke_off_says_that_it_goes_on_from_there(
    server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.pull_breaks_at = 1
    assert oavc("pull", "llama3.2") == 1
    assert "unexpected EOF; what was received is kept" in capsys.readouterr().err
    server.pull_breaks_at = None
    assert oavc("pull", "llama3.2") == 0
    # The layer that was there already is not received again.
    assert "pulling 100000000000: 50 %" not in capsys.readouterr().out


def test_the_file_names_the_server_and_the_argument_another(
    server: OllamaServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OLLAMA_HOST")
    file = tmp_path / "app.ini"
    file.write_text(f"[llm.ollama]\nurl = {server.url}\n", encoding="utf-8")
    assert main(["models", "--config", str(file), "ollama", "list"]) == 0
    assert MODEL in capsys.readouterr().out
    away = f"http://127.0.0.1:{free_port()}"
    assert main(["models", "--config", str(file), "ollama", "--url", away, "list"]) == 1
    assert f"no Ollama answers at {away}" in capsys.readouterr().err
    monkeypatch.setenv("OAVC_LLM_OLLAMA_URL", server.url)
    file.write_text(f"[llm.ollama]\nurl = {away}\n", encoding="utf-8")
    assert main(["models", "--config", str(file), "ollama", "list"]) == 0


@pytest.mark.parametrize("action", [("list",), ("pull", "llama3.2")])
def test_a_server_that_is_away_is_told_in_plain_words(
    action: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert oavc("--url", f"127.0.0.1:{free_port()}", *action) == 1
    told = capsys.readouterr().err
    assert "no Ollama answers at" in told
    assert "ollama serve" in told
    assert "Traceback" not in told
