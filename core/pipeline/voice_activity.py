"""pipecat's Silero voice activity, with one model in memory and one thread for all calls."""

import contextlib
import copy
from concurrent.futures import ThreadPoolExecutor

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams

from core.media.priority import LOOP_PRIORITY, raise_priority


class VoiceActivity:
    """Makes an analyzer for each call. The model takes 50 ms and 10 MB, once; an analyzer next to nothing.

    With `realtime` its thread is as urgent as the calls' loop, where the system permits it.
    """

    def __init__(self, *, realtime: bool = False) -> None:
        self._prototype = SileroVADAnalyzer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vad", initializer=_become_urgent if realtime else None)

    def analyzer(self, params: VADParams) -> SileroVADAnalyzer:
        """A new analyzer: its states are its own; the ONNX session, which has none, and the thread is everybody's."""
        return _SharedModelAnalyzer(self._prototype, params, self._thread)

    async def close(self) -> None:
        """Once no call is up."""
        await self._prototype.cleanup()
        self._thread.shutdown(wait=False)


def _become_urgent() -> None:
    # Where it is not permitted, the wheel's thread says so.
    with contextlib.suppress(OSError):
        raise_priority(LOOP_PRIORITY)


class _SharedModelAnalyzer(SileroVADAnalyzer):
    def __init__(self, prototype: SileroVADAnalyzer, params: VADParams, thread: ThreadPoolExecutor) -> None:
        # SileroVADAnalyzer's own would load the model once more.
        super(SileroVADAnalyzer, self).__init__(params=params)
        self._executor.shutdown(wait=False)
        self._executor = thread
        self._model = copy.copy(prototype._model)
        self._model.reset_states()
        self._windows_since_reset = 0
        self._low_confidence_windows = 0

    async def cleanup(self) -> None:
        """The thread goes on for other calls."""
