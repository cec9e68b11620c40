"""Figures as the benchmarks write them, for tests of what is made of them."""

from typing import Any

_CONDITIONS = {"at": "2026-01-02T03:04:05+00:00", "machine": "a machine, 2 cores", "load_average": [0.5, 0.25, 0.125]}


def spread(p50: float | None) -> dict[str, float | None]:
    return dict.fromkeys(("p50", "p95", "p99", "max"), p50)


def plane(calls: int, p99_ms: float = 0.2) -> dict[str, Any]:
    return {
        "calls": calls,
        "gap_error_p50_ms": 0.01,
        "gap_error_p99_ms": p99_ms,
        "gap_error_max_ms": 3.5,
        "lost": 0,
        "cpu_percent": 31.0,
        "cpu_us_per_frame": 25.0,
        "calls_per_core": 800.0,
        "generator_lateness_p99_ms": 0.1,
        "load_average": 0.5,
    }


def reports() -> dict[str, dict[str, Any]]:
    """One of each benchmark; all targets are met."""
    conversation = {
        "gap_error_p50_ms": 0.02,
        "gap_error_p99_ms": 0.1,
        "gap_error_max_ms": 1.0,
        "lost": 0,
        "voice_to_voice_p50_ms": 520.0,
    }
    run = {
        "rate_per_s": 50.0,
        "calls": 500,
        "refused": 1,
        "unanswered": 2,
        "silent": 3,
        "reply_ms": spread(1.5),
        "first_packet_ms": spread(8.0),
        "core_cpu_ms_per_call": 20.0,
    }
    transport = {
        "calls": 10,
        "questions": 30,
        "answered": 30,
        "failures": [],
        "gap_error_ms": spread(0.1),
        "lost": 0,
        "lead_min_ms": None,
        "lead_p50_ms": None,
        "dry": 0,
        "voice_to_voice_ms": spread(510.0),
    }
    both = {
        "transports": {"opensips": transport, "twilio": transport | {"lead_min_ms": 270.0, "lead_p50_ms": 280.0}},
        "core": {"cpu_percent": 80.0, "rss_before_mb": 140.0, "rss_during_mb": 150.0, "rss_after_mb": 142.0},
        "setup": {"calls": 50, "webhook_ms": spread(3.0), "first_audio_ms": spread(4.0)},
    }
    window = {
        "window": "30 s",
        "condition": "clean",
        "word_error_rate_percent": 1.6,
        "exact": 23,
        "phrases": 26,
        "read_again": 0,
        "cpu_s_per_phrase": 0.178,
        "wall_ms_median": 88.3,
    }
    source = {
        "turns": 16,
        "answered": 16,
        "voice_to_voice_ms": spread(520.0),
        "stages_ms": {"endpoint": 400.0, "wire": 120.0},
    }
    takeover = {
        "failure": "killed in mid-answer",
        "hangs": False,
        "calls": 7,
        "begun_by_the_first": 7,
        "ended_by_the_second": 6,
        "first_audio_ms": spread(900.0),
    }
    figure = {"grpc": 10.4, "in_process": 10.0, "ratio": 1.04, "added": 0.4}
    return {
        "media": {"at": _CONDITIONS["at"], "machine": "a machine", "runs": [plane(50), plane(250)]},
        "beside": _CONDITIONS
        | {
            "runs": [
                {"plane": {"calls": 0}, "conversation": conversation},
                {"plane": plane(250), "conversation": conversation},
            ]
        },
        "setup": _CONDITIONS | {"first_call_ms": 4.0, "runs": [run]},
        "both": _CONDITIONS | both,
        "asr": {
            "machine": "a machine",
            "date": "2026-01-02",
            "load": 0.5,
            "windows": [window],
            "latency": {"finalize_to_final_ms_p50": 1.1},
        },
        "voice": _CONDITIONS | {"sources": {"knowledge": source, "all": source}, "problems": ["one was wrong"]},
        "takeover": _CONDITIONS
        | {"budget_ms": 2000, "runs": [takeover, takeover | {"failure": "hangs in mid-answer", "hangs": True}]},
        "grpc": _CONDITIONS | {"stages": {"tts": {"pairs": 3, "figures": {"wall_ms": figure, "cpu_ms": figure}}}},
    }
