"""Parameters and settings that nothing reads: they would be searched, and ranked by, and move nothing."""

from __future__ import annotations

from collections.abc import Sequence

from search.declaration.studies import registered
from search.declaration.study import Study
from trainables.mistake import nearest
from trainables.notice import UNREAD, Notice, TryOut, notice_of
from trainables.registry import function_path, is_train_function
from trainables.user_model import TRAINING_PARAMETERS

ELSEWHERE = {
    **dict.fromkeys(("epochs", "n_epochs", "num_epochs"), "budget.max_epochs"),
    **dict.fromkeys(("trials", "n_trials", "num_trials"), "budget.trials"),
    **dict.fromkeys(("seed", "random_seed", "random_state"), "seed"),
    **dict.fromkeys(("bs", "minibatch"), "batch_size"),
    **dict.fromkeys(("lr", "eta", "step"), "learning_rate"),
    **dict.fromkeys(("wd", "l2", "decay"), "weight_decay"),
    **dict.fromkeys(("scheduler", "lr_schedule", "lr_scheduler"), "schedule"),
    **dict.fromkeys(("optim", "opt", "algorithm"), "optimizer"),
    **dict.fromkeys(("early_stopping", "early_stopping_patience"), "patience"),
    **dict.fromkeys(("criterion", "loss_function", "loss_fn"), "loss"),
}
"""What people call these elsewhere, and what they are called here: no spelling leads from one to the other."""


def judge_unread(study: Study, tried: TryOut) -> TryOut:
    """Return what a user should know of what nothing read: an error where the study's own declaration has it.

    What a registered study brought along with its own space and settings is a notice: its question may be
    asked of a model that is without dropout, say.
    """
    own = [name for name in tried.unread if not _came_along(study, name)]
    errors = tuple(_error(study, name, tried.sought) for name in own)
    along = [name for name in tried.unread if name not in own]
    return TryOut(errors, tuple(_notices(study, along)))


def _came_along(study: Study, name: str) -> bool:
    """Say whether a parameter or setting is as the registered study of this kind has it, or fixed: --set NAME=VALUE."""
    base = registered().get(study.kind)
    if base is None:
        return False
    if name in study.space:
        mine = study.space[name]
        return name in base.space and (mine == base.space[name] or mine.distribution.single())
    known = [values[name] for values in (base.settings, *base.presets.values()) if name in values]
    return name in base.space or study.settings.get(name) in known


def _error(study: Study, name: str, sought: Sequence[str]) -> str:
    where = "space" if name in study.space else "settings"
    given = {*study.space.names, *study.settings}
    meant = _suggestion(name, [n for n in (*sought, *sorted(TRAINING_PARAMETERS)) if n not in given])
    missed = [n for n in sought if n not in given and n not in TRAINING_PARAMETERS]
    looked = f", which looks for {', '.join(missed)}" if missed else ""
    model = function_path(study.trainable)
    if is_train_function(study.trainable):
        missed = [n for n in sought if n not in given]
        looked = f", which looks for {', '.join(missed)}" if missed else ""
        return (
            f"{where}.{name} was never read by {model}{looked}: it would move nothing.{nearest(name, missed)} "
            f"Leave it out, or read trial.params[{name!r}]"
        )
    return (
        f"{where}.{name} is read by nothing, neither by the training loop nor by {model}{looked}: "
        f"it would move nothing.{meant} Leave it out, or read params[{name!r}]"
    )


def _suggestion(name: str, known: Sequence[str]) -> str:
    if name.lower() in ELSEWHERE:
        return f" Did you mean {ELSEWHERE[name.lower()]!r}?"
    return nearest(name, known)


def _notices(study: Study, names: Sequence[str]) -> list[Notice]:
    """Return what to know of the names that a registered study brought along."""
    searched = [name for name in names if name in study.space and not study.space[name].distribution.single()]
    fixed = [name for name in names if name not in searched]
    found = []
    nobody = "neither the training loop nor the model reads"
    if is_train_function(study.trainable):
        nobody = "the training function never reads"
    if searched:
        baseline = study.space[searched[0]].baseline
        value = str(baseline).lower() if isinstance(baseline, bool) else baseline
        text = (
            f"{study.kind} searches {', '.join(searched)}, which {nobody}: "
            f"they move nothing; fix each, as --set {searched[0]}={value}"
        )
        found.append(notice_of(UNREAD, text, searched, warning=True))
    if fixed:
        text = f"{study.kind} has set what {nobody}: {', '.join(fixed)}"
        found.append(notice_of(UNREAD, text, fixed))
    return found
