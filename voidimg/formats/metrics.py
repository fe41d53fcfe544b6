"""The text format of Prometheus, for the textfile collector of its node_exporter. Pure.

No times stand on lines: the collector refuses them. Label values are escaped as the format asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric that goes up and down: its name, what it is, and a value for each set of labels.

    A value that is None is not known, and has no line.
    """

    name: str
    help: str
    samples: tuple[tuple[Labels, float | None], ...]


def gauge(name: str, explained: str, samples: Iterable[tuple[Labels, float | None]]) -> Gauge:
    """The gauge `name` with `samples`."""
    return Gauge(name, explained, tuple(samples))


def encode_metrics(gauges: Iterable[Gauge]) -> str:
    """`gauges` in the text format, version 0.0.4, with a newline at the end."""
    lines = []
    for one in gauges:
        lines += [f"# HELP {one.name} {one.help}", f"# TYPE {one.name} gauge"]
        for labels, value in one.samples:
            if value is not None:
                lines.append(f"{one.name}{_labels(labels)} {_number(value)}")
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
