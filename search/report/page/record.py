"""The sections of record: the data, what was trained at what cost, how to reproduce it, versions."""

from __future__ import annotations

from search.report.examples import data_lines
from search.report.hindsight import hindsight_lines
from search.report.page.document import Cell, Section, Table
from search.report.page.material import Material
from search.report.sentences import states_text, unlabelled

MORE = "more:"
"""What begins the sentence on more trials."""


def data_section(material: Material) -> Section:
    """Return what the examples are, with every notice."""
    facts = material.facts.data
    lines = data_lines(facts) if facts else ["The ledger is older than this record of the data."]
    return Section("data", "Data", lines=[*lines, f"fingerprint {material.fingerprint}"])


def cost_section(material: Material) -> Section:
    """Return what the trials of each outcome trained, and whether pruning was right."""
    answer = material.answer
    lines = [f"{states_text(answer)} in {material.seconds:,.1f} s."]
    lines += [line for line in hindsight_sentences(material) if not line.startswith(MORE)]
    lines += [f"{count} x failed: {message}" for message, count in answer.failures.items()]
    if answer.divergence is not None:
        lines.append(f"diverged: {answer.divergence}")
    if answer.pruning is None:
        return Section("cost", "Cost by outcome", lines=lines)
    rows: list[list[Cell]] = [
        [r.outcome, r.trials, r.epochs, r.seconds, r.epochs_left, r.seconds_left] for r in answer.pruning.outcomes
    ]
    columns = ["outcome", "trials", "epochs", "device-seconds", "epochs left out", "their device-seconds"]
    table = Table("what the trials of each outcome trained, and what they did not", columns, rows)
    return Section("cost", "Cost by outcome", lines=lines, tables=[table])


def hindsight_sentences(material: Material) -> list[str]:
    """Return what is said in hindsight, each sentence with its label: ``rungs:``, ``audit:``, ``more:``."""
    return [unlabelled(line) for line in hindsight_lines(material.answer, material.study)]


def reproduce_section(material: Material) -> Section:
    """Return the commands that run the study again, and its whole declaration."""
    return Section(
        "reproduce",
        "Reproduce",
        lines=["One worker and the same versions give the same trials, curves and decisions."],
        commands=material.commands.reproduce,
        folded=("The declaration, as YAML", material.declaration),
    )


def versions_section(material: Material) -> Section:
    """Return the versions of what the results depend on."""
    rows: list[list[Cell]] = [[name, version] for name, version in sorted(material.versions.items())]
    table = Table("what the study began with", ["package", "version"], rows)
    return Section("versions", "Versions", lines=[f"Written by Lanewise {material.service}."], tables=[table])
