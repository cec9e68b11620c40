"""pipecat's Silero voice activity, with one model in memory for all calls."""

import copy

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams


class VoiceActivity:
    """Makes an analyzer for each call. The first takes 50 ms and 10 MB, the others next to nothing."""

    def __init__(self, params: VADParams) -> None:
        self._params = params
        self._prototype = SileroVADAnalyzer(params=params)

    def analyzer(self) -> SileroVADAnalyzer:
        """A new analyzer: its states are its own, the ONNX session, which is stateless, is everybody's."""
        return _SharedModelAnalyzer(self._prototype, self._params)

    async def close(self) -> None:
        await self._prototype.cleanup()


class _SharedModelAnalyzer(SileroVADAnalyzer):
    def __init__(self, prototype: SileroVADAnalyzer, params: VADParams) -> None:
        # SileroVADAnalyzer's own would load the model once more.
        super(SileroVADAnalyzer, self).__init__(params=params)
        self._model = copy.copy(prototype._model)
        self._model.reset_states()
        self._windows_since_reset = 0
        self._low_confidence_windows = 0
