"""The stack and `oavc up`, with processes that only listen."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from tools.oavc import layouts, stack, up
from tools.oavc.child import StartFailed
from tools.oavc.stack import Layout, Stack

CORE = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

print("core listens", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["MANAGEMENT_PORT"])), Handler).serve_forever()
"""
SERVICE = """
import os, signal, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["{name}_SERVICE_PORT"])))
print("{name} listens", flush=True)
signal.pause()
"""


def tcp_ready(host: str, port: int) -> object:
    """Stands in for the gRPC probe: these processes only listen."""

    async def probe() -> str:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return "nothing listens"
        writer.close()
        return ""

    return probe


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    for name in ("asr", "llm", "tts"):
        write(tmp_path / "services" / name, SERVICE.format(name=name.upper()))
    write(tmp_path / "core", CORE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stack, "grpc_ready", tcp_ready)
    return layouts.private(None, mi_port=1)


def write(folder: Path, source: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Regular packages: a folder without __init__ would give way to the real one.
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "__main__.py").write_text(source)


async def test_all_four_start_are_timed_and_weighed_and_stop(layout: Layout) -> None:
    async with Stack(layout, for_calls=True) as running:
        await running.ready()
        names = {"core", "asr", "llm", "tts"}
        assert set(running.startup_s) == names
        rss_mb = running.rss_mb()
        assert set(rss_mb) == names
        assert all(1 < size < 200 for size in rss_mb.values())
    assert set(running.rss_mb().values()) == {0.0}


async def test_service_on_another_machine_is_not_started_here(layout: Layout) -> None:
    elsewhere = {**layout.services, "llm": ("llm.example", 50052)}
    running = Stack(Layout(elsewhere, layout.management_port, layout.environ), for_calls=True)
    assert [child.name for child in running.children] == ["core", "asr", "tts"]


async def test_process_that_cannot_start_stops_the_others(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "services/llm/__main__.py").write_text("raise SystemExit('no model')")
    running = Stack(layout, for_calls=True)
    with pytest.raises(StartFailed, match=r"llm: ended with code 1\n(.*\n)*.*no model"):
        async with running:
            await running.ready()
    assert all(child.pid is None for child in running.children)


async def test_up_runs_until_told_to_stop_and_shows_the_logs(
    layout: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()

    async def requested(_reload: Callable[[], None]) -> None:
        await stop.wait()

    monkeypatch.setattr(up, "_stop_requested", requested)
    running = asyncio.create_task(up._run(layout, shown=True))
    shown = ""
    async with asyncio.timeout(20):
        while "core takes calls" not in shown or "asr  | ASR listens" not in shown:
            await asyncio.sleep(0.05)
            shown += capsys.readouterr().out
    stop.set()
    assert await running == 0
    assert "ready: core after" in shown


async def test_up_fails_when_a_process_ends(layout: Layout, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = SERVICE.format(name="TTS").replace("signal.pause()", "import time; time.sleep(1.5); raise SystemExit(3)")
    (tmp_path / "services/tts/__main__.py").write_text(source)
    assert await up._run(layout, shown=False) == 1
    assert "tts ended with code 3; see build/logs/tts.log" in capsys.readouterr().err


async def test_up_can_be_stopped_while_it_starts(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "services/tts/__main__.py").write_text("import signal; signal.pause()")

    async def requested(_reload: Callable[[], None]) -> None:
        await asyncio.sleep(0.2)

    monkeypatch.setattr(up, "_stop_requested", requested)
    assert await up._run(layout, shown=False) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_ask_up_to_stop(number: signal.Signals) -> None:
    waiting = asyncio.create_task(up._stop_requested(lambda: None))
    await asyncio.sleep(0)
    signal.raise_signal(number)
    async with asyncio.timeout(2):
        await waiting


class Terminal:
    """Standard input, until it is closed."""

    closed = False

    def isatty(self) -> bool:
        return not self.closed


async def test_hang_up_reloads_and_that_of_a_closed_terminal_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdin", terminal)
    reloaded = asyncio.Event()
    waiting = asyncio.create_task(up._stop_requested(reloaded.set))
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        signal.raise_signal(signal.SIGHUP)
        await reloaded.wait()
        assert not waiting.done()
        terminal.closed = True
        signal.raise_signal(signal.SIGHUP)
        await waiting


async def test_reload_is_for_core_alone(layout: Layout, tmp_path: Path) -> None:
    told = "import signal\nsignal.signal(signal.SIGHUP, lambda *_: print('told', flush=True))\n"
    write(tmp_path / "core", told + CORE)
    async with Stack(layout, for_calls=False) as running:
        await running.ready()
        running.reload()
        async with asyncio.timeout(10):
            while "told" not in running.children[0].log_path.read_text():
                await asyncio.sleep(0.02)
        # SIGHUP would have ended the others, which do not know it.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await running.any_ends()
    running.reload()


def test_private_layout_touches_loopback_only_and_no_port_twice() -> None:
    made = layouts.private(Path("config/app.ini"), mi_port=4711)
    ports = [port for _, port in made.services.values()] + [made.management_port]
    assert len(set(ports)) == 4
    assert made.environ["MI_PORT"] == "4711"
    assert made.environ["OAVC_CONFIG_FILE"] == "config/app.ini"
    addresses = [value for name, value in made.environ.items() if name.endswith(("_IP", "_HOST"))]
    assert set(addresses) == {"127.0.0.1"}
    assert unused_port() not in ports


def test_private_layout_tells_core_of_the_ways_to_be_called() -> None:
    account = layouts.TwilioAccount("AC1", "secret", "http://127.0.0.1:1")
    only, both = layouts.private(None, None, account), layouts.private(None, 4711, account)
    assert only.environ["TRANSPORTS"] == "twilio"
    assert "MI_PORT" not in only.environ
    assert both.environ["TRANSPORTS"] == "opensips,twilio"
    assert both.environ["MI_PORT"] == "4711"
    twilio = {name: value for name, value in both.environ.items() if name.startswith("TWILIO_")}
    assert twilio == {
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "secret",
        "TWILIO_API_BASE_URL": "http://127.0.0.1:1",
        "TWILIO_PUBLIC_URL": f"https://127.0.0.1:{both.management_port}",
        "TWILIO_PATH": "/twilio",
    }
    assert layouts.private(None, 4711).environ["TRANSPORTS"] == "opensips"


def test_configured_layout_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "app.ini"
    path.write_text("[llm]\nhost = llm.example\nport = 1234\n[management]\nport = 8888\n")
    made = layouts.configured(path, {"TTS_SERVICE_PORT": "4321"})
    assert made.services == {"asr": ("localhost", 50051), "llm": ("llm.example", 1234), "tts": ("localhost", 4321)}
    assert made.management_url == "http://127.0.0.1:8888"
    assert made.environ == {"OAVC_CONFIG_FILE": str(path)}


@pytest.mark.parametrize(("form", "expected"), [("auto", "console"), ("json", None)])
def test_watched_logs_are_for_people_unless_the_file_says_otherwise(
    tmp_path: Path, form: str, expected: str | None
) -> None:
    path = tmp_path / "app.ini"
    path.write_text(f"[logging]\nformat = {form}\n")
    assert layouts.configured(path, {}, watched=True).environ.get("LOG_FORMAT") == expected
    assert "LOG_FORMAT" not in layouts.configured(path, {}).environ
