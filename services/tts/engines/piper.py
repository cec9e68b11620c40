"""Piper: VITS voices run by onnxruntime, phonemes by espeak-ng."""

import ctypes
import logging
import platform
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime
from piper.config import PiperConfig
from piper.voice import PiperVoice

from services.common.model_files import ModelBroken
from services.tts.engine import EngineFailedError, EngineSettings, UnknownVoiceError, Voice, Waveform
from services.tts.engines.piper_voices import ENGINE, VoiceFiles, command_for, find_voice, installed_voices

log = logging.getLogger(__name__)

# Memory grows with what is rendered in one run, about 20 MB a second of speech: five seconds at the most.
_PHONEMES_MAX = 90
# What the arena gives back, malloc keeps unless it is told not to; only glibc has a word for it.
_LIBC = ctypes.CDLL("libc.so.6") if platform.libc_ver()[0] == "glibc" else None
_WARM_UP = ("Hello.", "Thank you for calling, how can I help you today? We are open from nine to five.")


class PiperEngine:
    """Holds the voices used last; others are loaded when they are asked for."""

    name = ENGINE

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._files: dict[str, VoiceFiles] = {}
        self._loaded: OrderedDict[str, _LoadedVoice] = OrderedDict()
        self._loading = threading.Lock()

    def voices(self) -> Sequence[Voice]:
        installed = {files.voice.name: files.voice for files in installed_voices(self._settings.models_dir)}
        # A voice named by its path lies outside the folder of models.
        named = {files.voice.name: files.voice for files in self._files.values()}
        return list((installed | named).values())

    def voice(self, name: str) -> Voice:
        known = self._files.get(name)
        if known is not None:
            return known.voice
        # By name only: a client is not to try paths of this machine.
        for files in installed_voices(self._settings.models_dir):
            if files.voice.name == name:
                self._files[name] = files
                return files.voice
        raise UnknownVoiceError(name, [voice.name for voice in self.voices()])

    def load(self, voice: str) -> None:
        loaded = self._voice(voice)
        for text in _WARM_UP:
            loaded.render(text, speaking_rate=1.0)

    def render(self, text: str, voice: str, speaking_rate: float) -> Waveform:
        return self._voice(voice).render(text, speaking_rate)

    def rest(self) -> None:
        with self._loading:
            loaded = list(self._loaded.values())
        for voice in loaded:
            voice.rest()
        if _LIBC is not None:
            _LIBC.malloc_trim(0)

    def close(self) -> None:
        with self._loading:
            self._loaded.clear()

    def _find(self, name: str) -> VoiceFiles:
        files = self._files.get(name) or find_voice(name, self._settings.models_dir)
        self._files[name] = self._files[files.voice.name] = files
        return files

    def _voice(self, name: str) -> "_LoadedVoice":
        with self._loading:
            files = self._find(name)
            # A voice may be asked for by its name and, in the settings, by its path.
            name = files.voice.name
            loaded = self._loaded.get(name)
            if loaded is None:
                loaded = self._loaded[name] = _LoadedVoice(files, self._settings.threads)
                while len(self._loaded) > self._settings.loaded_voices_max:
                    dropped, _ = self._loaded.popitem(last=False)
                    log.info("voice unloaded", extra={"voice": dropped})
            self._loaded.move_to_end(name)
            return loaded


class _LoadedVoice:
    def __init__(self, files: VoiceFiles, threads: int) -> None:
        try:
            self._piper = PiperVoice(session=_session(files, threads), config=PiperConfig.from_dict(files.config))
        # onnxruntime raises a class of its own for each status; their common base is Exception.
        except Exception as error:
            raise ModelBroken(files.model, str(error).splitlines()[0], command_for(files.model)) from error

    def render(self, text: str, speaking_rate: float) -> Waveform:
        runs = [
            self._run(phonemes, speaking_rate)
            for sentence in self._piper.phonemize(text)
            for phonemes in _blocks(sentence, max(1, int(_PHONEMES_MAX * min(1.0, speaking_rate))))
        ]
        return np.concatenate(runs) if runs else np.zeros(0, np.float32)

    def rest(self) -> None:
        """Shrinks the arena, which keeps the memory of the longest clause; done only when a run ends."""
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._run(["."], 1.0, options)

    def _run(
        self, phonemes: list[str], speaking_rate: float, options: onnxruntime.RunOptions | None = None
    ) -> Waveform:
        config = self._piper.config
        ids = np.array([self._piper.phonemes_to_ids(phonemes)], dtype=np.int64)
        scales = [config.noise_scale, config.length_scale / speaking_rate, config.noise_w_scale]
        inputs: dict[str, Any] = {
            "input": ids,
            "input_lengths": np.array([ids.shape[1]], dtype=np.int64),
            "scales": np.array(scales, dtype=np.float32),
        }
        if config.num_speakers > 1:
            inputs["sid"] = np.array([config.default_speaker_id], dtype=np.int64)
        try:
            audio: Waveform = self._piper.session.run(None, inputs, options)[0].ravel()
        # onnxruntime raises a class of its own for each status; their common base is Exception.
        except Exception as error:
            raise EngineFailedError(f"piper could not render a clause: {error}") from error
        return np.clip(audio, -1.0, 1.0)


def _session(files: VoiceFiles, threads: int) -> onnxruntime.InferenceSession:
    if not files.model.exists():
        raise FileNotFoundError(f"{files.model} is gone")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Every clause has a length of its own, so that a plan for one is of no use to the next and costs memory.
    options.enable_mem_pattern = False
    # A thread that spins for its next piece of work takes a core from recognition and the model.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(files.model), options, providers=["CPUExecutionProvider"])


def _blocks(phonemes: list[str], size_max: int) -> Iterator[list[str]]:
    """The phonemes cut between words where there are too many for one run."""
    while len(phonemes) > size_max:
        head = phonemes[:size_max]
        blank = next((at for at in range(size_max - 1, 0, -1) if head[at] == " "), size_max)
        yield phonemes[:blank]
        phonemes = phonemes[blank:]
    if phonemes:
        yield phonemes
