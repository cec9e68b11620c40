"""Lists the models there are, checks those that are here, and fetches others from their publishers."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from core.settings import config_file
from services.common.model_fetch import FetchFailed, Progress, fetch, verify
from services.common.model_files import CATALOGUE, Model, ModelSettings, fetched_path, packaged_path
from services.common.settings import ConfigurationError, load, read_ini
from tools.oavc import ollama_models
from tools.oavc.console import complain, tell

EXIT_FAILED = 1
EXIT_USAGE = 2
_MB = 1_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", help="configuration file that may name the folder of models")
    actions = parser.add_subparsers(dest="action", required=True, metavar="{list,check,fetch,ollama}")
    actions.add_parser("list", help="every known model, and where it is")
    check = actions.add_parser("check", help="read every byte of what was fetched, and compare")
    check.add_argument("names", nargs="*", help="models (default: all that are here)")
    fetching = actions.add_parser("fetch", help="get models from their publishers")
    fetching.add_argument("names", nargs="+", help="models, as `oavc models list` names them")
    ollama_models.arguments(actions.add_parser("ollama", help="the models of an Ollama server"))


def run(options: argparse.Namespace) -> int:
    try:
        path = config_file(os.environ, options.config)
        ini = read_ini(path) if path else {}
        if options.action == "ollama":
            return ollama_models.run(options, ini)
        folder = load([ModelSettings], ini, os.environ, ignore={"*"})[ModelSettings].directory
    except ConfigurationError as error:
        complain(f"oavc models: {error}")
        return EXIT_USAGE
    unknown = sorted(set(getattr(options, "names", ())) - CATALOGUE.keys())
    if unknown:
        complain(f"oavc models: unknown: {', '.join(unknown)}; `oavc models list` shows what there is")
        return EXIT_USAGE
    if options.action == "list":
        return _list(folder)
    if options.action == "check":
        return _check(options.names, folder)
    return _fetch(options.names, folder)


def _list(folder: Path) -> int:
    for model in CATALOGUE.values():
        place = fetched_path(model, folder) or packaged_path(model)
        here = f"here: {place}" if place else f"not here: {model.command}"
        tell(f"{model.name}\n    {model.stage}, {model.engine}: {model.description}")
        tell(f"    {model.size_bytes / _MB:.0f} MB, licence: {model.licence}\n    {here}")
    return 0


def _check(names: list[str], folder: Path) -> int:
    broken = 0
    for model in CATALOGUE.values():
        if names and model.name not in names:
            continue
        fetched, packaged = fetched_path(model, folder), packaged_path(model)
        if fetched is None and packaged is None:
            if names:
                broken += 1
                complain(f"{model.name}: not here; get it with: {model.command}")
            continue
        problems = verify(model, folder) if fetched else []
        broken += bool(problems)
        for problem in problems:
            complain(f"{model.name}: {problem}")
        if not problems:
            tell(f"{model.name}: good ({fetched or packaged})")
    return EXIT_FAILED if broken else 0


def _fetch(names: list[str], folder: Path) -> int:
    for name in names:
        model = CATALOGUE[name]
        tell(f"{name}: {model.description}, {model.size_bytes / _MB:.0f} MB, licence: {model.licence}")
        try:
            fetched = fetch(model, folder, _progress(model))
        except FetchFailed as error:
            complain(f"oavc models: {error}")
            return EXIT_FAILED
        tell(f"{name}: {fetched.path}")
        for url, digest in fetched.recorded.items():
            tell(f"    sha256 {digest} recorded for {url}")
    return 0


def _progress(model: Model) -> Callable[[Progress], None] | None:
    """A line that counts up, where a terminal shows it."""
    if not sys.stdout.isatty():
        return None

    def show(progress: Progress) -> None:
        total = f" of {progress.total_bytes / _MB:.0f}" if progress.total_bytes else ""
        sys.stdout.write(f"\r    {model.name}: {progress.done_bytes / _MB:.0f}{total} MB ")
        sys.stdout.flush()
        if progress.done_bytes == progress.total_bytes:
            sys.stdout.write("\n")

    return show
