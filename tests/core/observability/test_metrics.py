"""Core's metrics keep to Prometheus' naming."""

import pytest
from prometheus_client.metrics import MetricWrapperBase

from core.observability import metrics

ALL = {name: each for name, each in vars(metrics).items() if isinstance(each, MetricWrapperBase)}


@pytest.mark.parametrize("name", ALL)
def test_names_say_whose_they_are_and_units_are_base_units(name: str) -> None:
    [family] = ALL[name].describe()
    assert family.name.startswith("oavc_")
    assert family.documentation
    assert not family.name.endswith(("_ms", "_milliseconds", "_minutes"))


@pytest.mark.parametrize("name", [name for name, each in ALL.items() if each._labelnames])
def test_no_label_names_a_call_or_a_person(name: str) -> None:
    assert not set(ALL[name]._labelnames) & {"call_id", "caller", "called", "session", "text"}
