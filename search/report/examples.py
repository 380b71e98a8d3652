"""What is said of the examples: how many, of what, and how they were read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainables.data.spec import NO_DATA

SHOWN = 5


def data_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return what ``Splits.facts`` holds in words: a line with the parts, and one for each notice."""
    if facts["task"] == NO_DATA:
        return ["none named: the training function brings its own", *map(notice_text, facts["notices"])]
    counts = f"{facts['train']} train, {facts['validation']} validation, {facts['test']} test (held out)"
    notices = map(notice_text, facts["notices"])
    return [f"{facts['name']}: {counts}, {target_text(facts)}", *notices]


def notice_text(notice: Mapping[str, Any]) -> str:
    """Return a notice's sentence; what a person may have expected otherwise begins with ``warning:``."""
    return f"warning: {notice['text']}" if notice["warning"] else str(notice["text"])


def target_text(facts: Mapping[str, Any]) -> str:
    """Return what is learned: ``3 classes (a, b, c)``, ``a number (train mean 152, deviation 77)``."""
    if facts["target_mean"] is not None:
        return f"a number (train mean {facts['target_mean']:.4g}, deviation {facts['target_deviation']:.4g})"
    labels = facts["labels"]
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    named = f" ({', '.join(labels[:SHOWN])}{more})" if labels else ""
    return f"{facts['classes']} classes{named}"
