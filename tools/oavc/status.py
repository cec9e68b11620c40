"""Says of each process whether it runs and is ready, and if not, why."""

import argparse
import asyncio
import os

from core.settings import config_file
from services.common.settings import ConfigurationError
from tools.oavc import layouts
from tools.oavc.console import complain, styled, tell
from tools.oavc.probes import core_ready, grpc_ready
from tools.oavc.stack import Layout

EXIT_NOT_READY = 1
EXIT_CONFIGURATION = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", help="configuration file (default: as `oavc check` finds it)")


def run(options: argparse.Namespace) -> int:
    """0 where a call placed now would be answered."""
    try:
        layout = layouts.configured(config_file(os.environ, options.config), os.environ)
    except ConfigurationError as error:
        complain(f"oavc status: {error}")
        return EXIT_CONFIGURATION
    reasons = asyncio.run(_reasons(layout))
    for name, reason in reasons.items():
        tell(f"{name:<5} {styled('ready', 'green') if not reason else styled(reason, 'yellow')}")
    return EXIT_NOT_READY if any(reasons.values()) else 0


async def _reasons(layout: Layout) -> dict[str, str]:
    probes = {"core": core_ready(layout.management_url, for_calls=True)}
    probes |= {name: grpc_ready(host, port) for name, (host, port) in layout.services.items()}
    answers = await asyncio.gather(*(probe() for probe in probes.values()))
    return dict(zip(probes, answers, strict=True))
