"""`oavc <command>`: each command is a module with `arguments(parser)` and `run(options) -> exit code`."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from tools.oavc.console import complain, tell

COMMANDS = {
    "demo": "start everything, place a call, judge it, report",
    "up": "start the four processes on this machine and keep them running",
    "call": "place scripted calls to a core that is running, in the place of OpenSIPS",
    "check": "check the configuration, and print what is in force",
    "models": "list, check and fetch models",
    "providers": "list the providers of each stage, which are in force, and whether they are ready",
    "status": "say what runs and whether it would take a call",
}
# `make run` reads better with it.
ALIASES = {"serve": "up"}
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 for success, 1 for a failure, 2 for a command or a configuration that cannot be right."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or given[0] in ("-h", "--help", "help"):
        tell(_usage())
        return 0 if given else EXIT_USAGE
    name = ALIASES.get(given[0], given[0])
    if name not in COMMANDS:
        complain(f"oavc: unknown command {given[0]!r}\n\n{_usage()}")
        return EXIT_USAGE
    # Only the command's own module is loaded: none waits for what another one needs.
    module = importlib.import_module(f"tools.oavc.{name}")
    parser = argparse.ArgumentParser(prog=f"oavc {given[0]}", description=module.__doc__)
    module.arguments(parser)
    try:
        code: int = module.run(parser.parse_args(given[1:]))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(["usage: oavc <command> [options]", "", *lines, "", "`oavc <command> --help` tells more."])


if __name__ == "__main__":
    sys.exit(main())
