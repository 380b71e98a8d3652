"""``python -m search.run STUDY``: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from search.declaration.options import Options
from search.declaration.study import Study
from search.drive import engine
from search.drive.continuation import check_continuation, continue_as, is_recorded
from search.drive.examples import load_data
from search.drive.preflight import resolve
from search.drive.result import Result
from search.face.live_view import make_view
from search.face.present import make_console, print_answer, print_plan
from search.ledger.paths import Paths
from search.tracking.preflight import check_tracking
from search.tracking.process import OTHERWISE

Kind = Annotated[
    str | None,
    typer.Argument(metavar="[STUDY]", help="Which question; `python -m search list` shows all. Or --config FILE."),
]


def run(
    kind: Kind = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file that declares the study; options go before what it says.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PACKAGE.MODULE:FUNCTION", help="Your own model: what the function returns.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of this run. [default: the study and the time]")] = None,
    home: Annotated[Path, typer.Option(help="Folder of all studies.")] = Path("lanewise-home"),
    trials: Annotated[int | None, typer.Option(help="How many configurations to try.")] = None,
    max_epochs: Annotated[int | None, typer.Option(help="Of one trial.")] = None,
    time_budget: Annotated[str | None, typer.Option(help="End after this long: 90s, 10m, 1h30m.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    dataset: Annotated[str | None, typer.Option(help="A named data set, such as digits; `list` shows all.")] = None,
    data: Annotated[
        str | None, typer.Option(help="table:FILE, images:FOLDER, or a named data set. [default: the study's]")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column of a table to predict.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Of a table: classification, regression or auto. [default: auto]")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Leave out this column of a table; may be repeated.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Width and height of your images. [default: 32]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where torchvision's data sets lie.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Let torchvision download data and weights.")] = False,
    train_examples: Annotated[int | None, typer.Option(help="Train on only this many examples.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Of a transfer: narrow_resnet, resnet18, or another of torchvision's models.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Of the backbone: source (learned here), imagenet, a file, or none.")
    ] = None,
    source_data: Annotated[
        str | None, typer.Option(help="What `source` learns from. [default: the other half of the classes]")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAM=VALUE", help="Also PARAM.low=, PARAM.high=, PARAM.choices=a,b."),
    ] = None,
    space: Annotated[Path | None, typer.Option(help="YAML file of the same changes.")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC[:min|max]", help="Repeated: what is weighed against the first. [val_loss]"),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Report this too: val_macro_f1, val_roc_auc ...; may be repeated.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe, random, gp, cmaes, qmc or nsga2.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="asha, median or none.")] = None,
    grace: Annotated[int | None, typer.Option(help="Epochs every trial gets: the first rung.")] = None,
    reduction_factor: Annotated[int | None, typer.Option(help="One trial in this many passes a rung.")] = None,
    executor: Annotated[str | None, typer.Option(help="auto, lanes or tune.")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="Cores of a trial.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs of a trial; a fraction shares one.")] = None,
    lanes: Annotated[
        str | None, typer.Option(help="Trials that one worker trains at once; `auto` measures. [default: 1/4, <= 32]")
    ] = None,
    lane_mode: Annotated[
        str | None,
        typer.Option(help="stacked, looped, auto: whichever is measured faster, or usual. [default: usual]"),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Of lanes: fp32, bf16 or auto. [default: fp32]")] = None,
    cpus_per_worker: Annotated[float | None, typer.Option(help="Cores of a lanes worker on Ray.")] = None,
    gpus_per_worker: Annotated[float | None, typer.Option(help="GPUs of a lanes worker.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="tune: most trials at once; lanes: worker processes, on Ray if above 1.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Join this Ray cluster (`auto` finds it).")] = None,
    tracking: Annotated[
        str | None, typer.Option(help="MLflow URI, or `offline`. [default: sqlite in the home]")
    ] = None,
    untracked_ok: Annotated[
        bool,
        typer.Option(
            "--untracked-ok",
            help="Search even where MLflow does not answer; what could not be sent is sent when it does, "
            "or by `search sync NAME`.",
        ),
    ] = False,
    checkpoint_every: Annotated[float | None, typer.Option(help="Seconds between checkpoints.")] = None,
    keep_checkpoints: Annotated[
        int | None, typer.Option(help="How many finished trials keep their best model; 0 keeps none. [default: 3]")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="Database: postgresql+psycopg://USER@HOST/NAME. [default: SQLite in the home]")
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option(help="How often a trial whose process died is started again. [default: 3]")
    ] = None,
    abort_after_failures: Annotated[
        int | None, typer.Option(help="End the search after so many failed trials.")
    ] = None,
    trial_timeout: Annotated[
        float | None, typer.Option(help="End a trial that reports nothing for so many seconds.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the study NAME as recorded; start it where there is none.")
    ] = False,
    accept_changed_model: Annotated[
        bool, typer.Option("--accept-changed-model", help="Continue though the trainable's source has changed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved study; start nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> int:
    """Search STUDY, or the study that a file declares, and print the answer."""
    study = resolve(
        Options(
            kind=kind,
            config=config,
            model=model,
            name=name,
            home=home,
            trials=trials,
            max_epochs=max_epochs,
            time_budget=time_budget,
            seed=seed,
            dataset=dataset,
            data=data,
            target=target,
            task=task,
            drop=drop or (),
            image_size=image_size,
            data_dir=data_dir,
            download=download,
            train_examples=train_examples,
            backbone=backbone,
            weights=weights,
            source_data=source_data,
            set_=set_ or (),
            space=space,
            objective=objective or (),
            metric=metric or (),
            sampler=sampler,
            scheduler=scheduler,
            grace=grace,
            reduction_factor=reduction_factor,
            executor=executor,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            lanes=lanes,
            lane_mode=lane_mode,
            precision=precision,
            cpus_per_worker=cpus_per_worker,
            gpus_per_worker=gpus_per_worker,
            workers=workers,
            address=address,
            tracking=tracking,
            untracked_ok=untracked_ok,
            checkpoint_every=checkpoint_every,
            keep_checkpoints=keep_checkpoints,
            ledger=ledger,
            max_failures=max_failures,
            abort_after_failures=abort_after_failures,
            trial_timeout=trial_timeout,
            resume=resume,
            accept_changed_model=accept_changed_model,
        )
    )
    paths, console = Paths(home, study.name, study.ledger), make_console()
    continues = resume and is_recorded(paths)
    if dry_run:
        splits = load_data(study)
        past = check_continuation(paths, study, splits, accept=accept_changed_model) if continues else None
        if json_:
            plan = {"study": study.model_dump(mode="json"), "fingerprint": splits.fingerprint}
            print(json.dumps({**plan, "data": splits.facts(), "continues": past}))
        else:
            print_plan(console, study, splits, paths, past)
        return 0
    view = make_view(console, metric=study.objective.metric, silent=json_)
    check_tracking(study, paths, view.say, otherwise=OTHERWISE)
    if continues:
        study, result = engine.resume(
            paths,
            view=view,
            load=load_data,
            change=lambda recorded: continue_as(recorded, study),
            extends=False,
            accept_changed_model=accept_changed_model,
        )
    else:
        if resume:
            view.say(f"no study {study.name} in {home.absolute()} yet: it is started")
        result = engine.conduct(study, home, load_data, view=view)
    if json_:
        print(json.dumps(to_json(study, result, paths)))
    else:
        print_answer(console, study, result, paths)
    return result.exit_code


def to_json(study: Study, result: Result, paths: Paths) -> dict[str, object]:
    """Return the one object that ``--json`` prints."""
    return {
        **result.answer.to_dict(),
        "data": dict(result.data) or None,
        "ending": result.ending,
        "wall_s": result.wall_s,
        "search_s": result.search_s,
        "longest_stall_s": result.longest_stall_s,
        "ledger": str(paths.ledger),
        "checkpoints": result.kept.to_dict(),
        "tracking_uri": (study.tracking.uri or paths.mlflow_uri) if study.tracking.enabled else None,
        "untracked": result.untracked,
    }
