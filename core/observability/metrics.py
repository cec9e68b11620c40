"""Core's Prometheus metrics, all of them."""

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter("oavc_calls_total", "Calls that ended, by transport and reason", ["transport", "reason"])
CALLS_REFUSED = Counter("oavc_calls_refused_total", "Calls that were not taken, by SIP status", ["transport", "status"])
OUTBOUND_CALLS = Counter(
    "oavc_outbound_calls_total",
    "Calls that were to be placed, by transport and outcome: placed, or the HTTP status of the refusal",
    ["transport", "outcome"],
)
ACTIVE_CALLS = Gauge("oavc_active_calls", "Calls that are up")
TASKS = Gauge("oavc_event_loop_tasks", "Tasks on the calls' event loop: with no call up always the same number")
CALL_SECONDS = Histogram(
    "oavc_call_duration_seconds", "Length of calls", buckets=(5, 15, 30, 60, 120, 300, 600, 1800, 3600)
)
TURN_SECONDS = Histogram(
    "oavc_voice_to_voice_seconds",
    "From the caller's last speech to the agent's first, by where the answer came from",
    ["source"],
    buckets=(0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2, 3, 5, 10),
)
STAGE_SECONDS = Histogram(
    "oavc_turn_stage_seconds",
    "Share of one stage in a turn's voice-to-voice time",
    ["stage"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 3, 5),
)
BARGE_INS = Counter("oavc_barge_ins_total", "Utterances that the caller cut short")
FALSE_BARGE_INS = Counter("oavc_false_barge_ins_total", "Interruptions without words, after which the agent went on")
UNGROUNDED = Counter("oavc_ungrounded_clauses_total", "Clauses of the model's held back for facts nobody gave it")
TOOL_CALLS = Counter(
    "oavc_tool_calls_total",
    "Calls of tools by the model: done, accepted (follows when the caller has heard the reply), repeated (not done "
    "again), refused (no such tool, or not its arguments), failed",
    ["tool", "outcome"],
)
PROVIDER_FAILURES = Counter("oavc_provider_failures_total", "Failures that a caller could notice", ["stage"])
TAKEOVERS = Counter(
    "oavc_provider_takeovers_total",
    "Requests that one provider went on with where another had failed",
    ["stage", "from", "to", "reason"],
)
BREAKER_OPEN = Gauge(
    "oavc_provider_breaker_open",
    "1 while a provider that failed is left out, by some agent at least, 0 while it is used",
    ["stage", "provider"],
)
MOS = Histogram(
    "oavc_call_mos", "E-model estimate of the caller's audio", buckets=(1, 2, 2.5, 3, 3.5, 3.8, 4, 4.2, 4.4)
)
PACKETS_LOST = Counter("oavc_rtp_packets_lost_total", "RTP packets of callers that never arrived")
TWILIO_REFUSED = Counter(
    "oavc_twilio_refused_total", "Requests and streams in Twilio's name that were not taken, by reason", ["reason"]
)
TWILIO_FRAMES_DISCARDED = Counter(
    "oavc_twilio_frames_discarded_total", "Messages of Twilio's streams that were dropped, by reason", ["reason"]
)
RELOADS = Counter(
    "oavc_reloads_total", "Times that the configuration was read again: reloaded, refused, superseded", ["outcome"]
)
CONFIGURATION_SINCE = Gauge("oavc_configuration_timestamp_seconds", "When the agents of now took over, in Unix time")
