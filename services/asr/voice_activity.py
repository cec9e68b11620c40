"""Is it speech? Silero VAD v6, the copy that faster-whisper carries, fed as a stream (512 samples at 16 kHz)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from services.asr.engine import Samples
from services.common.model_files import ModelMissing

WINDOW = 512
_CONTEXT = 64
_REST = np.zeros((1, 1, 128), np.float32)
_NO_CONTEXT = np.zeros(_CONTEXT, np.float32)
# Quieter than this is digital silence or a line's hiss: not worth the model's time.
_FLOOR_RMS = 10 ** (-66 / 20)


class VoiceActivity(Protocol):
    """The VAD of one stream; it remembers what came before."""

    def probabilities(self, windows: Samples) -> Samples:
        """That each window is speech, for an array of shape (n, WINDOW), in order."""


class VoiceActivityModel(Protocol):
    """What the streams' VADs have in common."""

    def load(self) -> None:
        """Raises ModelMissing."""

    def stream(self) -> VoiceActivity: ...


def silero_path() -> Path:
    """Found without importing faster_whisper, which would load its libraries for a Vosk service too."""
    spec = find_spec("faster_whisper")
    folder = Path(spec.origin).parent if spec and spec.origin else Path("faster_whisper")
    path = folder / "assets" / "silero_vad_v6.onnx"
    if not path.exists():
        raise ModelMissing(path, "uv sync --extra asr")
    return path


class SileroModel:
    """The weights, shared by all streams."""

    def __init__(self) -> None:
        self._session: Any = None

    def load(self) -> None:
        """Harmless when it is loaded.

        Raises:
            ModelMissing: the package that carries it is not installed.
        """
        if self._session is not None:
            return
        path = silero_path()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, windows: Samples, h: Samples, c: Samples) -> tuple[Samples, Samples, Samples]:
        assert self._session is not None, "streams begin after load"
        probabilities, h, c = self._session.run(None, {"input": windows, "h": h, "c": c})
        return probabilities.reshape(-1), h, c

    def stream(self) -> "SileroStream":
        return SileroStream(self)


class SileroStream:
    """A stream's recurrent state."""

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self._h = self._c = _REST
        self._context = _NO_CONTEXT

    def probabilities(self, windows: Samples) -> Samples:
        loud = np.sqrt(np.mean(windows * windows, axis=1)) > _FLOOR_RMS
        if not loud.any():
            self._reset()
            return np.zeros(len(windows), np.float32)
        previous = np.concatenate((self._context[None], windows[:-1, -_CONTEXT:]))
        self._context = windows[-1, -_CONTEXT:]
        with_context = np.concatenate((previous, windows), axis=1)
        probabilities, self._h, self._c = self._model.run(with_context, self._h, self._c)
        return np.where(loud, probabilities, 0).astype(np.float32)

    def _reset(self) -> None:
        self._h = self._c = _REST
        self._context = _NO_CONTEXT
