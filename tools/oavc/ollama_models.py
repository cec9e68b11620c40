"""The models of an Ollama server: `oavc models ollama list | show | pull | delete | running`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tools.oavc.console import complain, tell

if TYPE_CHECKING:
    import ollama

EXIT_FAILED = 1
DEFAULT_URL = "http://127.0.0.1:11434"
URL_ENVS = ("OLLAMA_HOST", "OAVC_LLM_OLLAMA_URL")
CONNECT_TIMEOUT_S = 5.0
# Ollama is silent while it verifies what it has received.
SILENCE_TIMEOUT_S = 600.0
# Where no terminal shows a line count up, a line is told each time so much more of a layer is there.
STEP_PERCENT = 10
KEPT = "; what was received is kept, and the same command goes on from there"
_MB = 1_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", help=f"where Ollama listens (default: {URL_ENVS[0]}, else [llm.ollama] url of the file)"
    )
    actions = parser.add_subparsers(dest="ollama_action", required=True, metavar="{list,show,pull,delete,running}")
    actions.add_parser("list", help="the models that the server has")
    actions.add_parser("running", help="the models that are in its memory")
    for action, purpose in (
        ("show", "what a model is, and what it can do"),
        ("pull", "get a model, or the rest of one"),
        ("delete", "remove a model from the server's disk"),
    ):
        actions.add_parser(action, help=purpose).add_argument("name", help="model, such as llama3.2 or qwen2.5:7b")


def run(options: argparse.Namespace, ini: Mapping[str, Mapping[str, str]]) -> int:
    """The exit code. What the server refuses, and that it is away, is told in plain words."""
    try:
        import httpx
        import ollama
    except ImportError:
        complain("oavc models ollama: needs the extra 'ollama' of this package")
        return EXIT_FAILED
    url = (
        options.url
        or next(filter(None, map(os.environ.get, URL_ENVS)), None)
        or ini.get("llm.ollama", {}).get("url")
        or DEFAULT_URL
    )
    actions = {"list": _list, "running": _running, "show": _show, "pull": _pull, "delete": _delete}
    kept = KEPT if options.ollama_action == "pull" else ""
    try:
        with ollama.Client(url, timeout=httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)) as client:
            actions[options.ollama_action](client, getattr(options, "name", ""))
    except ollama.ResponseError as error:
        complain(f"oavc models ollama: {error.error}{kept}")
    except (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout):
        complain(f"oavc models ollama: {url} broke off{kept}")
    except BrokenPipeError:
        # Whoever read what is told has gone.
        raise
    except (OSError, httpx.TransportError):
        complain(f"oavc models ollama: no Ollama answers at {url}; `ollama serve` starts one, --url names another")
    except (ValueError, AttributeError, httpx.InvalidURL):
        complain(f"oavc models ollama: what answers at {url} is no Ollama")
    else:
        return 0
    return EXIT_FAILED


def _list(client: ollama.Client, _name: str) -> None:
    for model in client.list().models:
        details = model.details
        parts = [details.parameter_size, details.quantization_level] if details else []
        about = ", ".join(part for part in parts if part)
        tell(f"{model.model}\n    {(model.size or 0) / _MB:.0f} MB" + (f", {about}" if about else ""))


def _running(client: ollama.Client, _name: str) -> None:
    for model in client.ps().models:
        until = f", until {model.expires_at:%Y-%m-%d %H:%M:%S %Z}".rstrip() if model.expires_at else ""
        on_gpus = f"{(model.size_vram or 0) / _MB:.0f} MB of it on GPUs"
        tell(f"{model.model}\n    {(model.size or 0) / _MB:.0f} MB, {on_gpus}{until}")


def _show(client: ollama.Client, name: str) -> None:
    shown = client.show(name)
    tell(name)
    if shown.details:
        tell(f"    {shown.details.family}, {shown.details.parameter_size}, {shown.details.quantization_level}")
    tell(f"    can do: {', '.join(shown.capabilities or ()) or 'not told'}")
    for key, value in (shown.modelinfo or {}).items():
        if key.endswith(".context_length"):
            tell(f"    context: {value} tokens at the most")


def _delete(client: ollama.Client, name: str) -> None:
    client.delete(name)
    tell(f"{name}: deleted")


def _pull(client: ollama.Client, name: str) -> None:
    told = ""
    for progress in client.pull(name, stream=True):
        line = f"{name}: {progress.status}"
        if not progress.total:
            if line != told:
                tell(line)
            told = line
            continue
        done = progress.completed or 0
        percent = 100 * done // progress.total
        if sys.stdout.isatty():
            sys.stdout.write(f"\r    {line}: {done / _MB:.0f} of {progress.total / _MB:.0f} MB, {percent} % ")
            sys.stdout.write("\n" if done == progress.total else "")
            sys.stdout.flush()
            continue
        step = f"{line}: {percent - percent % STEP_PERCENT} % of {progress.total / _MB:.0f} MB"
        if step != told:
            tell(step)
        told = step
