"""The rows of the result, and how they are shown."""

import statistics
import sys
from collections.abc import Iterator, Mapping
from typing import Any

Samples = Mapping[str, list[float]]


class Table:
    """Rows of samples; `of` is the contestant that ratios are to, where a row names no other."""

    def __init__(self, of: str) -> None:
        self.of = of
        self.rows: list[dict[str, Any]] = []

    def add(self, part: str, what: str, unit: str, samples: Samples, of: str | None = None, digits: int = 1) -> None:
        """Adds a row, and shows it."""
        row = {"part": part, "what": what, "unit": unit, "of": of or self.of, "digits": digits, "samples": samples}
        self.rows.append(row)
        say("  ".join([f"{what}:", *(f"{name} {self.cell(row, name)}" for name in samples)]))

    @staticmethod
    def cell(row: Mapping[str, Any], name: str) -> str:
        """One contestant's figure: the median, the least and the most, and how many times the first one's it is."""
        values = row["samples"].get(name)
        if values is None:
            return ""
        shown = [f"{value:,.{row['digits']}f}" for value in (statistics.median(values), min(values), max(values))]
        base = row["samples"].get(row["of"])
        text = shown[0] if len(values) == 1 else f"{shown[0]} [{shown[1]}–{shown[2]}]"
        if name != row["of"] and base and statistics.median(base) > 0:
            text += f" ×{statistics.median(values) / statistics.median(base):.2f}"
        return text

    def markdown(self) -> Iterator[str]:
        """The lines of the table."""
        names = list(dict.fromkeys(name for row in self.rows for name in row["samples"]))
        yield f"| what | unit | {' | '.join(names)} |"
        yield f"|---|---|{'---|' * len(names)}"
        for row in self.rows:
            yield f"| {row['what']} | {row['unit']} | {' | '.join(self.cell(row, name) for name in names)} |"


def say(text: str) -> None:
    """Reports the progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
