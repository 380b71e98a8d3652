"""The head of a report: what may be said of the study, in a few words, and what to do next."""

from __future__ import annotations

from search.report.confirmation import BETTER, WORSE
from search.report.confirmation_words import confirmation_lines, params_line
from search.report.page.document import Document, Section
from search.report.page.material import Material
from search.report.sentences import states_text, verdict
from trainables.data.spec import NO_DATA

GOOD, BAD, OPEN = "good", "bad", "open"


def document(material: Material, sections: list[Section]) -> Document:
    """Return the report of a study, its verdict first."""
    study = material.study
    headline, tone = _headline(material)
    return Document(
        title=study.name,
        subtitle=study.question,
        headline=headline,
        tone=tone,
        verdict=_sentences(material),
        commands=_commands(material),
        sections=sections,
    )


def _headline(material: Material) -> tuple[str, str]:
    answer = material.answer
    if answer.best is None and material.ending == "running":
        return "No answer yet", OPEN
    if answer.problem is not None or answer.best is None:
        return "No answer", BAD
    found = answer.confirmation
    if found is None:
        return f"Not confirmed: {answer.metric} {answer.best.value:.5g} by trial {answer.best.trial}, one seed", OPEN
    if found.verdict == BETTER:
        return f"Better than the baseline: use trial {found.recommended}", GOOD
    if found.verdict == WORSE:
        return "Worse than the baseline: use the baseline", BAD
    return "Cannot be told apart from the baseline: use the baseline", OPEN


def _sentences(material: Material) -> list[str]:
    answer, lines = material.answer, []
    if not material.finished:
        lines.append(
            f"This study is not finished ({material.ending}): what follows is what it found until now, "
            f"{states_text(answer)}."
        )
    if answer.problem is not None:
        return [*lines, answer.problem]
    if answer.best is None:
        yet = " yet" if material.ending == "running" else ""
        return [*lines, f"No trial reported a finite {answer.metric}{yet}."]
    found = answer.confirmation
    if found is None:
        fresh = "fresh seeds" if material.study.data.source == NO_DATA else "fresh seeds and splits"
        return [
            *lines,
            f"{_begun(verdict(answer))}.",
            f"The best of many trials is partly luck: until it is trained again on {fresh} beside the baseline, "
            "nobody knows how much.",
        ]
    lines.append(f"{_begun(found.sentence)}.")
    if found.verdict == BETTER:
        lines.append(f"Recommended: {params_line(found.standing.params)}")
    first = next(iter(confirmation_lines(found)), "")
    if first.startswith("confirmed"):
        lines.append(_begun(first.removeprefix("confirmed").strip()))
    return lines


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _commands(material: Material) -> list[tuple[str, str]]:
    answer, commands = material.answer, material.commands
    shown = [] if commands.resume is None else [("Go on with the search", commands.resume)]
    if answer.best is None or material.ending == "running":  # whoever is at it holds the study's lock
        return shown
    if answer.confirmation is None:
        return [*shown, ("Confirm it", commands.confirm)]
    if answer.confirmation.verdict not in (BETTER, WORSE):
        return [*shown, ("More pairs may tell", commands.more_pairs)]
    return shown
