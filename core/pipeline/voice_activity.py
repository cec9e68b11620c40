"""pipecat's Silero voice activity, with one model in memory and one pair of threads for all calls."""

import copy
from concurrent.futures import ThreadPoolExecutor

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams

# A window takes 0.3 ms: a hundred calls keep one thread busy.
THREADS = 2


class VoiceActivity:
    """Makes an analyzer for each call. The model takes 50 ms and 10 MB, once; an analyzer next to nothing."""

    def __init__(self) -> None:
        self._prototype = SileroVADAnalyzer()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vad")

    def analyzer(self, params: VADParams) -> SileroVADAnalyzer:
        """A new analyzer: its states are its own; the ONNX session, which has none, and the threads are everybody's."""
        return _SharedModelAnalyzer(self._prototype, params, self._threads)

    async def close(self) -> None:
        """Once no call is up."""
        await self._prototype.cleanup()
        self._threads.shutdown(wait=False)


class _SharedModelAnalyzer(SileroVADAnalyzer):
    def __init__(self, prototype: SileroVADAnalyzer, params: VADParams, threads: ThreadPoolExecutor) -> None:
        # SileroVADAnalyzer's own would load the model once more.
        super(SileroVADAnalyzer, self).__init__(params=params)
        self._executor.shutdown(wait=False)
        self._executor = threads
        self._model = copy.copy(prototype._model)
        self._model.reset_states()
        self._windows_since_reset = 0
        self._low_confidence_windows = 0

    async def cleanup(self) -> None:
        """The threads go on for other calls."""
