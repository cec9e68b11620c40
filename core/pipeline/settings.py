"""How the caller's audio is listened to, and when a turn begins and ends."""

from typing import ClassVar, Literal

from services.common.settings import Section, key


class AudioSettings(Section):
    """Voice activity and end of turn, as deployed configurations name them."""

    section: ClassVar[str] = "audio"
    sample_rate: Literal[8000, 16000] = key(
        16000, env="AUDIO_SAMPLE_RATE", unit="Hz", help="Rate at which recognition hears the call"
    )
    channels: Literal[1] = key(1, env="AUDIO_CHANNELS", help="A call has one; accepted from older files")
    chunk_size_ms: Literal[20] = key(
        20,
        env="AUDIO_CHUNK_SIZE_MS",
        unit="ms",
        help="Length of a packet; accepted from older files",
    )
    silence_timeout_ms: int = key(
        1000,
        env="AUDIO_SILENCE_TIMEOUT_MS",
        unit="ms",
        ge=200,
        le=10000,
        help="Silence that ends a turn whose words seem unfinished",
    )
    vad_threshold: float = key(
        0.5,
        env="AUDIO_VAD_THRESHOLD",
        ge=0.05,
        le=0.99,
        help="Confidence from which audio is taken for speech",
    )
    vad_min_volume: float = key(
        0.3, ge=0, le=1, help="Loudness from which audio is taken for speech; lower it for quiet lines"
    )
    endpoint_ms: int = key(400, unit="ms", ge=100, le=5000, help="Silence that ends a turn whose words seem complete")
    max_turn_s: float = key(
        20.0, unit="s", ge=1, le=300, help="Voice without a pause after which the turn is answered as far as it goes"
    )
    barge_in_ms: int = key(
        130,
        unit="ms",
        ge=30,
        le=2000,
        help="Speech of the caller that begins a turn, and interrupts the agent",
    )
