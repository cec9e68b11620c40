"""Transcripts as the schema's messages."""

from services.asr.engine import Transcript
from services.asr.session import Heard
from voice_api import asr_pb2


def result_of(transcript: Transcript) -> asr_pb2.RecognitionResult:
    return asr_pb2.RecognitionResult(
        text=transcript.text,
        confidence=transcript.confidence,
        words=[
            asr_pb2.WordInfo(word=word.text, confidence=word.confidence, start=word.start_s, end=word.end_s)
            for word in transcript.words
        ],
        alternatives=[
            asr_pb2.Alternative(text=each.text, confidence=each.confidence) for each in transcript.alternatives
        ],
    )


def response_of(heard: Heard) -> asr_pb2.StreamingRecognizeResponse:
    return asr_pb2.StreamingRecognizeResponse(
        result=result_of(heard.transcript),
        is_final=heard.final,
        end_of_utterance=heard.final,
        utterance_id=heard.utterance_id,
        is_stable=heard.stable,
        processing_ms=heard.seconds * 1000,
        rejected_reason=heard.rejection or "",
    )
