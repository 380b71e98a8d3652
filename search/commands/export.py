"""A model of a study as a folder that stands alone, and what such a model says of a file."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from search.commands.arguments import HOME, Database, Home, Json, Name
from search.commands.export_optuna import write_to_optuna
from search.errors import RunError, UsageError
from search.export.export import Exported, export_model
from search.export.folder import ONNX
from search.face.answer_stream import answer_alone, print_json
from search.face.present import make_console, say, say_words
from search.ledger.paths import Paths
from search.report.sentences import mean_text
from trainables.stage import stage

NOTHING_WRITTEN = "nothing was written, and the same command begins anew"


def export(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
    trial: Annotated[
        int | None, typer.Option(help="Whose model. [default: the recommended one, else the best]", min=0)
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder to make. [default: NAME-model]")] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Train it on train + validation, for the confirmed number of epochs.")
    ] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help=f"Write {ONNX} too, checked beside torch.")] = False,
    register: Annotated[
        str | None, typer.Option(metavar="NAME", help="Register it with MLflow too, under this name.")
    ] = None,
    optuna: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Write the trials to a database of Optuna's instead: sqlite:///FILE."),
    ] = None,
    json_: Json = False,
) -> None:
    """Write a model of a study, with its preprocessing, as a folder that `predict` and load_model read."""
    if optuna is not None:
        given = {"--trial": trial is not None, "--to": to, "--refit": refit, "--onnx": onnx, "--register": register}
        write_to_optuna(Paths(home, name, ledger), optuna, of_a_model=given, json_=json_)
        return
    console = make_console()
    with answer_alone(json_), stage("exporting", way_on=NOTHING_WRITTEN):
        done = export_model(
            Paths(home, name, ledger),
            to or Path(f"{name}-model"),
            trial=trial,
            refit=refit,
            onnx=onnx,
            register=register,
            say=lambda line: say(make_console(errors=json_), line),
        )
        if json_:
            print_json({"folder": str(done.folder.absolute()), **done.config, "registered": done.registered})
            return
        for line in _lines(done):
            say_words(console, line)


def _lines(done: Exported) -> list[str]:
    config = done.config
    if refit := config["refit"]:
        scored = (
            f"trained anew on {refit['examples']:,} examples, train + validation, for {refit['epochs']} epochs "
            f"({refit['epochs_from']}); nothing scores it"
        )
    else:
        scored = f"{config['metric']} {config['value']:.4g} at epoch {config['epoch']}"
        if config["folds"] is not None:
            scored += f", {mean_text(config['folds'])}; the model is that of the first fold alone"
            scored += ": --refit trains one on all" if done.can_refit else ""
    lines = [
        f"exported   trial {config['trial']}, {config['why']}",
        f"           {scored}",
        *([f"confirmed  {config['confirmation']['sentence']}"] if config["confirmation"] else []),
        f"folder     {done.folder}: {', '.join([*config['files'], 'config.json'])}",
    ]
    if config["trainable"].startswith("model:"):
        function = config["trainable"].removeprefix("model:")
        lines.append(f"needs      {function}, from which the model is built where it is loaded")
    if found := config["onnx"]:
        beside = f"at most {found['difference']:.1g} from torch's"
        lines.append(f"onnx       takes {found['takes']}; gives {found['gives']}, {beside}")
    if done.registered is not None:
        lines.append(f"mlflow     {done.registered}")
    return [*lines, f"use it     python -m search predict {done.folder} FILE"]


def predict(
    model: Annotated[str, typer.Argument(metavar="EXPORT", help="A folder that `export` wrote; a best.pt; a study.")],
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="A table, an image, or a folder of images.")],
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="Write there. [default: standard output]")] = None,
    home: Annotated[Path, typer.Option(help="Folder of all studies, where EXPORT is the name of one.")] = HOME,
) -> None:
    """Print, as CSV, what a model says of each row of a table or of each image."""
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    with answer_alone(), stage(f"predicting {path}", way_on=NOTHING_WRITTEN):
        from search.export.load import load_model
        from search.export.predict import predict_file
        from trainables.data.preprocessing import PreprocessingWarning
        from trainables.errors import DataError

        unread: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PreprocessingWarning)
            try:
                frame = predict_file(load_model(model, home=home), path, say=_note, unread=unread.append)
            except DataError as error:
                raise UsageError(error.errors) from None
        for text in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, PreprocessingWarning)):
            _note(text)
    if len(frame):
        _write(frame.to_csv(index=False), out)
    if unread:
        raise RunError(unread)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"--out {out} cannot be written: {error.strerror}") from None
