"""What a program holds of a study that was searched, and of several beside each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.drive.overview import Ending
from search.drive.report import read_material
from search.drive.report_file import FORMATS, content, page, page_format, write
from search.errors import UsageError
from search.export.export import export_model
from search.ledger import Ledger
from search.ledger.paths import Paths
from search.report.answer import Answer
from search.report.leaderboard import leaderboard
from search.report.page.notebook import figures
from search.report.page.side_by_side import sentences, side_by_side_document, summary_html
from search.report.page.summary import summary
from search.report.side_by_side import SideBySide

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from search.export.optuna_study import StudyOfOptuna


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """The findings of a study; the frames are read from its ledger when they are first looked at.

    Attributes:
        study: the declaration, with its name.
        answer: the best trials beside the baseline, how all trials ended, what early stopping saved.
        ending: ``done``, ``interrupted`` (Ctrl-C), ``failed`` or ``running``.
        untracked: why MLflow does not have everything, or None.
        paths: where everything of the study lies.
    """

    study: Study
    answer: Answer
    ending: Ending
    untracked: str | None
    paths: Paths

    @property
    def best(self) -> dict[str, Any]:
        """The parameters of the best trial; empty if no trial reported a finite value."""
        return {} if self.answer.best is None else dict(self.answer.best.params)

    @property
    def ledger(self) -> str:
        """The SQLite file of everything, or the database's URL without its password."""
        return self.paths.ledger

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row a trial: number, state, stop_reason, params, a ``params_<name>`` column each, seed, times."""
        return self._read(Ledger.trials_frame)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row an epoch of a trial: number, epoch, seconds and a column a metric."""
        return self._read(Ledger.epochs_frame)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The trials that reported a finite value, best first: rank, number, value, epoch, params ..."""
        return leaderboard(self.trials, self.epochs, self.study.objective, self.answer.smoothed)

    def report(self, out: str | Path | None = None) -> Path:
        """Write the report of the study as its ledger has it now, and return the file.

        Args:
            out: what is written: ``.html`` (one page, with figures, that loads nothing), ``.md``, ``.csv`` or
                ``.parquet`` (every trial). ``report.html`` in the study's folder where it is not given.

        Raises:
            UsageError: another ending, or no trial has ended.
            RunError: the file cannot be written.
        """
        file = self.paths.folder / "report.html" if out is None else Path(out)
        if file.suffix[1:].lower() not in FORMATS:
            raise UsageError(f"a report ends in .{', .'.join(FORMATS)}, got {str(file)!r}")
        write(file, content(read_material(self.paths), file.suffix[1:].lower()))
        return file

    def figures(self) -> dict[str, Figure]:
        """Return the figures of the report, as plotly's, by name: those that the study has.

        ``curves_<metric>``, ``importance_shares``, ``parallel``, ``slice_<parameter>``, ``front_<metric>``,
        ``confirmed``, ``worth``, ``value_curve``, ``schedule_<column>``, ``progress``.

        Raises:
            UsageError: no trial has ended.

        Examples:
            >>> from search import load
            >>> figures = load("demo").figures()
            >>> figures["curves_val_loss"].layout.xaxis.title.text
            'epoch'
        """
        return figures(read_material(self.paths))

    def _repr_html_(self) -> str:
        """Return the verdict and the best trials, as a notebook shows a result."""
        return summary(self.study, self.answer)

    def export(
        self,
        to: str | Path | None = None,
        *,
        trial: int | None = None,
        refit: bool = False,
        onnx: bool = False,
        register: str | None = None,
    ) -> Path:
        """Write a model of the study, with its preprocessing, as a folder, and return that; ``load_model`` reads it.

        Args:
            to: the folder, which must not be there; None for ``NAME-model`` in the current one.
            trial: whose model; None for the one that the confirmation recommends, else the best.
            refit: train the configuration on train + validation, for the number of epochs that the confirmation found.
            onnx: write ``model.onnx`` too.
            register: the name under which MLflow registers it too.

        Raises:
            UsageError: no such trial, its model is not kept, or the folder is there.
            RunError: it cannot be written, trained or registered; nothing is left behind.
        """
        folder = Path(f"{self.study.name}-model" if to is None else to)
        return export_model(self.paths, folder, trial=trial, refit=refit, onnx=onnx, register=register).folder

    def to_optuna(self) -> StudyOfOptuna:
        """Return the study as one of Optuna's, in memory: for its figures and importances, or to go on with there.

        Values are those of a trial's best epoch, intermediate values those of the objective by epoch; what Optuna has
        no place for is in user attributes. ``search export --optuna`` writes the same into a database.
        """
        from search.export.optuna_study import as_optuna_study, read_for_optuna

        return as_optuna_study(read_for_optuna(self.paths))

    def _read(self, frame: Callable[[Ledger, int], pd.DataFrame]) -> pd.DataFrame:
        with Ledger(self.paths.ledger_url) as facts:
            return frame(facts, facts.study(self.study.name).id)


@dataclasses.dataclass(frozen=True)
class StudyComparison:
    """Studies on the same examples, side by side.

    Attributes:
        found: the studies, and each two of them on fresh pairs.
    """

    found: SideBySide

    @property
    def sentences(self) -> list[str]:
        """What may be said of each two of them, and of whom nothing is."""
        return sentences(self.found)

    @property
    def best(self) -> str | None:
        """The study whose recommended configuration is better than that of every other; None if there is none."""
        return self.found.best

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a study: what it cost, what it found, and ``params_<name>`` of its recommended or best trial."""
        return self.found.frame

    def report(self, out: str | Path) -> Path:
        """Write it as a page (``.html``) or as text (``.md``), and return the file.

        Raises:
            UsageError: another ending, or no such folder.
            RunError: the file cannot be written.
        """
        wanted, errors = page_format(Path(out))
        if errors:
            raise UsageError(errors)
        write(Path(out), page(side_by_side_document(self.found), wanted))
        return Path(out)

    def _repr_html_(self) -> str:
        """Return the verdict and the studies, as a notebook shows them."""
        return summary_html(self.found)
