"""What must not be told is told nowhere, however much is logged: secrets, prompts, and what was said."""

import json
from pathlib import Path

import aiohttp
import pytest

from tests.core.test_agents_of_a_process import answered, ended, serving, write
from tests.core.test_process import configuration, opensips
from tests.support.standins.ollama import MODEL, OllamaServer
from tests.support.standins.openai import KEY, OpenAiServer
from tests.support.standins.piper_server import PiperServer
from tests.support.standins.vosk_server import VoskServer, scripted
from tools.caller.opensips import OpenSipsStandIn

__all__ = ["configuration", "opensips"]

NUMBER = "+15005550123"
SECRETS = {
    "MANAGEMENT_TOKEN": "canary-of-management",
    "TWILIO_AUTH_TOKEN": "canary-of-twilio",
    "TWILIO_API_KEY_SECRET": "canary-of-twilios-key",
    "HTTP_TOOL_TOKEN": "canary-of-the-tool",
    "OPENAI_API_KEY": KEY,
    "OLLAMA_API_KEY": "canary-of-ollama",
    "SYSTEM_PROMPT": "canary of the prompt",
    "WELCOME_MESSAGE": "Canary of the greeting.",
}


@pytest.mark.parametrize("model", ["openai", "ollama"])
async def test_nothing_confidential_is_logged_at_any_level(
    configuration: Path, opensips: OpenSipsStandIn, model: str
) -> None:
    environ = SECRETS | {
        "LOG_LEVEL": "DEBUG",
        "TRANSPORTS": "opensips, twilio",
        "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
        "TWILIO_API_KEY_SID": "SK0123456789abcdef0123456789abcdef",
        "TWILIO_API_BASE_URL": "http://127.0.0.1:9",
        "TWILIO_PUBLIC_URL": "https://voice.example.com",
        "OUTBOUND_ENABLED": "true",
        "OUTBOUND_CALLER": "+15005550006",
        "OAVC_OUTBOUND_ALLOW": r"\+1\d+",
        "OAVC_TWILIO_AUTH_TOKN": "canary-of-a-misspelt-name",
        "LLM_PROVIDER": model,
    }
    async with (
        VoskServer(scripted()) as vosk,
        PiperServer() as piper,
        OpenAiServer() as openai,
        OllamaServer() as ollama,
    ):
        environ |= {
            "ASR_PROVIDER": "vosk_ws",
            "VOSK_URL": vosk.url,
            "TTS_PROVIDER": "piper_ws",
            "PIPER_URL": piper.url,
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_MODEL": "stand-in-1",
            "OLLAMA_HOST": ollama.url,
            "OLLAMA_MODEL": MODEL,
        }
        async with serving(configuration, opensips, **environ) as process:
            shown: list[str] = []
            async with aiohttp.ClientSession() as session:
                for path, right in (("/twilio/voice", False), ("/api/v1/calls", False), ("/api/v1/calls", True)):
                    token = SECRETS["MANAGEMENT_TOKEN"] if right else "canary-of-a-guess"
                    headers = {"Authorization": f"Bearer {token}", "X-Twilio-Signature": "canary-of-a-signature"}
                    async with session.post(process.url(path), json={"to": NUMBER}, headers=headers) as reply:
                        shown.append(await reply.text())
            process.token = SECRETS["MANAGEMENT_TOKEN"]
            shown.append(json.dumps(await answered(process, opensips)))
            write(configuration, "[twilio]\nauth_token canary-of-a-slip\n")
            process.hang_up_signal()
            await process.reloads("refused", 1)
            lines = await ended(process)
    assert {"configuration not reloaded", "variable that nobody reads"} <= {line["message"] for line in lines}
    log = list(map(json.dumps, lines))
    assert [line for line in log if any(each in line.lower() for each in (NUMBER, KEY, "canary"))] == []
    # Whoever may see a call sees what was said in it.
    assert [text for text in shown if any(each in text for each in (KEY, "canary-of"))] == []
