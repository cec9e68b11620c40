"""docs/metrics.md: every Prometheus metric of every process, as the code registers them."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from core.observability import metrics as core_metrics
from services.asr.statistics import Statistics
from services.common.metrics import RpcMetrics
from services.llm import measures as llm_metrics
from services.tts import statistics as tts_metrics
from tools.gen_docs.tables import NOTE, code, table

_INTRODUCTION = f"""{NOTE}
# Metrics

Core serves them at `/metrics` of its management port; a service does on a port of its own, where `metrics_port`
of its section is set. Beside them stand those of the Python client library (`process_…`, `python_…`).
"""


def page() -> str:
    parts = [_INTRODUCTION]
    for title, collectors in by_process().items():
        rows = sorted(_row(collector) for collector in collectors)
        parts += [f"## {title}\n", table(("metric", "type", "labels", "meaning"), rows) + "\n"]
    return "\n".join(parts)


def by_process() -> dict[str, list[MetricWrapperBase]]:
    """Every metric, under the process that has it."""
    of_rpcs, of_asr = CollectorRegistry(), CollectorRegistry()
    return {
        "core": _declared_in(core_metrics),
        "every service": _declared_in(RpcMetrics(of_rpcs)),
        "asr service": _declared_in(Statistics(of_asr)),
        "llm service": _declared_in(llm_metrics),
        "tts service": _declared_in(tts_metrics),
    }


def names() -> set[str]:
    """The names that a scrape shows, without those of a histogram's parts."""
    return {_name(collector) for collectors in by_process().values() for collector in collectors}


def _declared_in(owner: object) -> list[MetricWrapperBase]:
    return [each for each in vars(owner).values() if isinstance(each, MetricWrapperBase)]


def _row(collector: MetricWrapperBase) -> tuple[str, ...]:
    [family] = collector.describe()
    labels = ", ".join(code(label) for label in _labels(collector))
    text = family.documentation
    return (code(_name(collector)), family.type, labels, text if text.endswith(".") else f"{text}.")


def _labels(collector: MetricWrapperBase) -> Iterable[str]:
    # The library tells the labels of samples only, and a metric that counted nothing yet has none.
    names: tuple[str, ...] = collector._labelnames
    return names


def _name(collector: MetricWrapperBase) -> str:
    [family] = collector.describe()
    return f"{family.name}_total" if family.type == "counter" else family.name
