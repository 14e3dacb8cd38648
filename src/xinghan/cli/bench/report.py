"""Collects the figures of a benchmark and gives their medians."""

import platform
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

REFERENCE = "reference_tps"


@dataclass(slots=True)
class Figures:
    """Every run of every measure, in the order in which the measures first ran."""

    runs: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[str, object] = field(default_factory=dict)

    def add(self, measure: str, value: float) -> None:
        """Note one run."""
        self.runs[measure].append(value)

    def as_json(self) -> dict[str, object]:
        """Give the medians, the ratios to the reference of what counts per second, and all runs."""
        medians = {name: round(median(values), 2) for name, values in self.runs.items()}
        reference = medians[REFERENCE]
        ratios = {
            name: round(value / reference, 3)
            for name, value in medians.items()
            if is_rate(name) and name != REFERENCE
        }
        runs = {name: [round(value, 2) for value in values] for name, values in self.runs.items()}
        return {**medians, "ratios": ratios, "runs": runs, **self.facts, "machine": machine()}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Give the same for people: measure, median, ratio, runs."""
        reference = median(self.runs[REFERENCE])
        return [
            (
                name,
                f"{median(values):,.1f}",
                f"{median(values) / reference:.2f}" if is_rate(name) else "",
                " ".join(f"{value:,.0f}" for value in values),
            )
            for name, values in self.runs.items()
        ]


def machine() -> dict[str, object]:
    """Describe the machine, without its name."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(names, platform.processor())


def is_rate(name: str) -> bool:
    """Whether a measure counts something per second, so that a ratio means something."""
    return not name.endswith(("_ms", "_us", "_us_per_posting", "_us_per_payment"))
