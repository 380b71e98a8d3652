"""The main command as it begins: MLflow is imported beside what a search takes, in the tracker's process."""

from __future__ import annotations

from search.commands.parameters import takes_options
from search.declaration.from_options import OFFLINE
from search.declaration.options import Options
from search.tracking.ahead import started_ahead


@takes_options
def run(options: Options) -> int:
    """Search STUDY, or the study that a file declares, and print the answer."""
    with started_ahead(options.tracking != OFFLINE and not options.dry_run):
        from search.commands.run import search_study

        return search_study(options)
