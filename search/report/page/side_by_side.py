"""Studies side by side as a document: whose answer is better, and what each searched, found and cost."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from search.report.confirmation_words import half_text, signed_text, value_text
from search.report.figures.intervals import Bar, intervals
from search.report.page.document import Cell, Document, Figure, Section, Table
from search.report.page.summary import bare_table
from search.report.page.verdict import GOOD, OPEN
from search.report.paired import Interval
from search.report.sentences import counts_text, mean_text
from search.report.side_by_side import Side, SideBySide, beside_text
from trainables.data.parts import counted
from trainables.data.spec import NO_DATA


def side_by_side_document(found: SideBySide) -> Document:
    """Return the page of studies that are compared."""
    names = [side.name for side in found.sides]
    headline, tone = headline_of(found)
    return Document(
        title=" and ".join(names),
        subtitle=f"{counted(len(names), 'study')} on the same examples, by {found.metric}",
        headline=headline,
        tone=tone,
        verdict=sentences(found),
        commands=[(f"Confirm {side.name}", side.material.commands.confirm) for side in found.unconfirmed],
        sections=[
            Section("found", "What each found", tables=[found_table(found)]),
            *_beside_sections(found),
            Section("configurations", "Configurations", tables=[configurations_table(found)]),
            Section("searches", "How each was searched, and what it cost", tables=[searches_table(found)]),
            Section("spaces", "What was searched", lines=[spaces_text(found)], tables=spaces_tables(found)),
        ],
    )


def headline_of(found: SideBySide) -> tuple[str, str]:
    """Return what may be said of all of them in a few words, and its tone."""
    if found.best is not None:
        trial = next(side.trial for side in found.sides if side.name == found.best)
        others = "the other" if len(found.sides) == 2 else "each of the others"
        return f"{found.best} is better than {others}: use its trial {trial}", GOOD
    if found.unconfirmed:
        return "Not all of them are confirmed: which is better is not said", OPEN
    if all(beside.same for beside in found.besides):
        return "They recommend the same configuration", OPEN
    if len(found.sides) == 2:
        return "They cannot be told apart", OPEN
    return "None of them is better than every other", OPEN


def sentences(found: SideBySide) -> list[str]:
    """Return what may be said of each two, and of whom nothing is."""
    lines = [f"{_begun(beside_text(beside, found.metric))}." for beside in found.besides]
    if len(found.besides) > 1:
        lines.append(f"The p-values are corrected for {len(found.besides)} comparisons (Holm).")
    lines += [
        f"{side.name} is not confirmed: its best value is one seed's, and nothing is said of it beside the others."
        for side in found.unconfirmed
    ]
    if any(not beside.paired for beside in found.besides):
        lines.append("Pairs of their own: the studies did not train on the same seeds and splits.")
    if any(side.material.study.data.source == NO_DATA for side in found.sides):
        lines.append("Their training functions bring their own data: whether these are the same is not known.")
    return lines


def found_table(found: SideBySide) -> Table:
    """Return what each study found, the studies as columns."""
    return _by_label(found, f"{found.metric}, ± half of the interval over fresh pairs", _found)


def searches_table(found: SideBySide) -> Table:
    """Return how each study was searched and what that cost, the studies as columns."""
    return _by_label(found, "the searches, without their confirmations; wall seconds are of everything", _searched)


def configurations_table(found: SideBySide) -> Table:
    """Return the recommended configurations, or the best ones of studies that are not confirmed."""
    names = dict.fromkeys(name for side in found.sides for name in side.params)
    rows: list[list[Cell]] = [
        [name, *(value_text(side.params[name]) if name in side.params else "-" for side in found.sides)]
        for name in names
    ]
    return Table("the recommended configuration of each, or its best one", ["", *_titles(found)], rows)


def spaces_text(found: SideBySide) -> str:
    """Return how many parameters they share, in a sentence."""
    spaces = found.spaces
    same = [name for name, texts in spaces.items() if len(set(texts)) == 1]
    if len(same) == len(spaces):
        return f"All {counted(len(spaces), 'parameter')} have the same range in each."
    named = f": {', '.join(same)}" if same else ""
    return f"{len(same)} of {counted(len(spaces), 'parameter')} have the same range in each{named}."


def spaces_tables(found: SideBySide) -> list[Table]:
    """Return the parameters of which the ranges differ; ``= 64`` where one is not searched; none where all agree."""
    rows: list[list[Cell]] = [[name, *texts] for name, texts in found.spaces.items() if len(set(texts)) > 1]
    columns = ["", *(side.name for side in found.sides)]
    return (
        [Table("what differs between the spaces; = is a setting that all trials share", columns, rows)] if rows else []
    )


def beside_table(found: SideBySide) -> Table:
    """Return each two of the studies on fresh pairs."""
    rows: list[list[Cell]] = [
        [
            f"{b.first}, trial {b.trials[0]}",
            f"{b.second}, trial {b.trials[1]}",
            signed_text(b.difference),
            "" if b.difference.p is None else f"{b.difference.p:.2g}",
            f"{b.pairs[0]}, the same" if b.paired else f"{b.pairs[0]} and {b.pairs[1]}",
            "the same configuration" if b.same else f"{b.better} is better" if b.better else "cannot be told apart",
        ]
        for b in found.besides
    ]
    columns = ["first", "second", f"{found.metric}, first minus second ±", "p", "pairs", ""]
    return Table("the recommended configurations on fresh pairs", columns, rows)


def summary_html(found: SideBySide) -> str:
    """Return the verdict and the studies without style or scripts, for a notebook; what a user named is escaped."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in sentences(found))
    tables = "".join(map(bare_table, (found_table(found), configurations_table(found))))
    return f"<div><strong>{escape(headline_of(found)[0])}</strong>{lines}{tables}</div>"


def _beside_sections(found: SideBySide) -> list[Section]:
    if not found.besides:
        return []
    table = beside_table(found)
    bars = [
        Bar(f"{b.first} - {b.second}", b.difference.mean, b.difference.low, b.difference.high, b.better is not None)
        for b in found.besides
        if b.difference.low is not None
    ]
    title = f"{found.metric} of the first minus the second"
    alt = f"{title}: {'; '.join(f'{bar.name} {bar.value:+.3g}' for bar in bars)}."
    figures = [Figure("beside", title, alt, intervals(bars, title), table)] if bars else []
    return [Section("beside", "Whose recommended configuration is better", tables=[table], figures=figures)]


def _by_label(found: SideBySide, caption: str, told: Callable[[Side], dict[str, str]]) -> Table:
    """Return what is told of each study, a row a label; what none of them has is left out."""
    columns = [told(side) for side in found.sides]
    rows: list[list[Cell]] = [[label, *(column[label] for column in columns)] for label in columns[0]]
    rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
    return Table(caption, ["", *(side.name for side in found.sides)], rows)


def _found(side: Side) -> dict[str, str]:
    answer, found = side.material.answer, side.confirmation
    standing, best = None if found is None else found.standing, answer.best
    return {
        "verdict": "not confirmed" if found is None else f"{found.verdict} ({found.pairs} pairs)",
        "recommended": "-" if found is None else f"trial {found.recommended}",
        "confirmed": _between(None if standing is None else standing.validation),
        "its baseline": _between(None if found is None else found.baseline.validation),
        "gain": "-" if standing is None or standing.to_baseline is None else signed_text(standing.to_baseline),
        "test": _between(None if standing is None else standing.test),
        "best searched": "-" if best is None else f"{best.value:.5g} (trial {best.trial}, epoch {best.epoch})",
        "its baseline searched": "-" if answer.baseline is None else f"{answer.baseline.value:.5g}",
    }


def _searched(side: Side) -> dict[str, str]:
    study, answer = side.material.study, side.material.answer
    return {
        "trains": f"{study.kind}: {study.trainable}",
        "data": f"{study.data.name} {side.material.fingerprint[:12]}",
        "objective": f"{study.objective.metric}, {study.objective.mode}",
        "each value": "-" if study.data.folds is None else mean_text(study.data.folds),
        "sampler": f"{study.sampler}, seed {study.seed}",
        "scheduler": study.scheduler.name,
        "ended": side.material.ending,
        "trials": f"{answer.trials} of {study.budget.trials}: {counts_text(answer.counts)}",
        "epochs": f"{answer.epochs_trained:,}, at most {study.budget.max_epochs} a trial",
        "device-seconds": f"{side.device_seconds:,.3g}",
        "wall seconds": f"{side.material.seconds:,.1f}",
    }


def _titles(found: SideBySide) -> list[str]:
    return [side.name if side.trial is None else f"{side.name}, trial {side.trial}" for side in found.sides]


def _between(found: Interval | None) -> str:
    return "-" if found is None else f"{found.mean:.4g}{half_text(found)}"


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:] if sentence.startswith("trial") else sentence
