"""What is asked before studies are deleted, and what is said of those that were deleted or moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from search.credentials import masked_address
from search.drive.removal import Found
from search.face.studies import size_text
from search.ledger.paths import Paths
from search.ledger.printed_commands import report_command, sync_command
from trainables.data.parts import counted

if TYPE_CHECKING:
    from search.tracking.removed_runs import StudyRuns


def question(found: Sequence[Found], runs: Sequence[StudyRuns]) -> list[str]:
    """Return what is to be deleted, and last what is asked."""
    *lines, last = [f"delete {line}" for line in (*map(_what, found), *map(_what_in_mlflow, runs))]
    if lines:
        studies = f"these {len(found)} studies" if len(found) > 1 else found[0].paths.name
        return [*lines, last, f"delete {studies}?"]
    return [f"{last}?"]


def deleted_lines(found: Sequence[Found], runs: Sequence[StudyRuns], *, with_mlflow: bool) -> Iterator[str]:
    """Yield what was deleted, and what was not."""
    for study in found:
        yield f"deleted    {_what(study)}"
    for of_one in runs:
        if not of_one.runs:
            yield f"mlflow     {of_one.uri} has no runs of {of_one.name}"
            continue
        files = "their artifacts are deleted" if of_one.artifacts is not None else "with their artifacts"
        yield f"mlflow     {counted(len(of_one.runs), 'run')} of {of_one.name} in the bin of {of_one.uri}; {files}"
        if of_one.registered:
            yield f"           registered models stay: {', '.join(sorted(of_one.registered))}"
    if not with_mlflow:
        yield "mlflow     keeps the runs, if it has any; nothing adds to them any more"


def moved_lines(found: Found, target: Paths) -> Iterator[str]:
    """Yield where a study lies now, and what has yet to hear of it."""
    source = found.paths
    yield f"moved      {source.name} to {target.folder}"
    tracking = ({} if found.row is None else found.row.declaration.get("tracking")) or {}
    if tracking.get("enabled", True):
        uri, sync = tracking.get("uri"), sync_command(target, tracking.get("uri"))
        if uri is None and target.home.absolute() != source.home.absolute():
            yield f"mlflow     the runs at {masked_address(source.mlflow_uri)} stay there; sent to the new home by:"
            yield f"           {sync}"
        elif source.name != target.name:
            yield f"mlflow     the runs are called {source.name} until: {sync}"
    if (target.folder / "report.html").is_file():
        yield f"report     {target.folder / 'report.html'} is as it was; written anew by:"
        yield f"           {report_command(target)}"


def _what(study: Found) -> str:
    """Return what a study is, in a few words."""
    size, folder = size_text(study.size), study.paths.folder
    held = counted(study.trials, "trial") if study.unreadable is None else f"no readable ledger ({study.unreadable})"
    if study.paths.database is not None:
        return f"{study.paths.name}: {held} in {study.paths.ledger}, {size} in {folder}"
    return f"{study.paths.name}: {held}, {size}, in {folder}"


def _what_in_mlflow(runs: StudyRuns) -> str:
    """Return what MLflow has of a study, in a few words."""
    return f"{runs.name} in MLflow at {runs.uri}: {counted(len(runs.runs), 'run')}"
