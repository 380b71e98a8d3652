"""Each kind of model that is searched: its export, MLflow's model and ONNX's answer as the ledger says of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search import declare, load_model, run
from search.export.onnx_table import column_feeds
from search.export.predict import predict_file
from tests.trainables.kept_examples import Raw, of_diabetes, of_digits, of_photos, of_table, of_wine

SMALL = {
    "budget": {"trials": 3, "max_epochs": 2},
    "scheduler": {"name": "none"},
    "confirm": {"pairs": 0},
    "keep_checkpoints": 1,
}


@dataclass(frozen=True)
class Case:
    """A kind of study on raw examples."""

    kind: str
    raw: Any
    fields: dict[str, Any]
    onnx: bool = True


CASES = {
    "classes of a table": Case("tabular", lambda f: of_table(f, "plan"), {}),
    "number of a table": Case("tabular", lambda f: of_table(f, "spend", numeric=True), {}),
    "digits": Case("architectures", of_digits, {}),
    "numbers": Case("regression", of_diabetes, {}),
    "own model": Case(
        "regularization", of_digits, {"model": "tests.trainables.user_models:small", "settings": {"width": 16}}
    ),
    "transfer": Case("transfer", lambda f: of_photos(f, pixels=True), {}),
    "estimator": Case("sklearn_comparison", of_wine, {"refits": 0}, onnx=False),
}


def searched(folder: Path, case: Case, **fields):
    raw = case.raw(folder)
    study = declare(case.kind, data=raw.spec, name="here", **{**SMALL, **case.fields, **fields})
    return raw, run(study, home=folder / "home")


def check(answer, raw: Raw, found, *, relative=1e-5) -> None:
    """Compare a frame of predictions of the validation part with what the ledger has of it."""
    metrics = found.answer.best.metrics
    assert len(answer) == len(raw.y)
    if "val_accuracy" not in metrics:
        error = np.abs(np.asarray(answer["prediction"], float) - raw.y).mean()
        assert error == pytest.approx(metrics["val_mae"], rel=relative)
        return
    assert (np.asarray(answer["prediction"]).astype(str) == np.asarray(raw.y).astype(str)).mean() == pytest.approx(
        metrics["val_accuracy"], abs=1e-9
    )
    truth = [row[f"probability_{y}"] for (_, row), y in zip(answer.iterrows(), raw.y, strict=True)]
    # lanes sum float32 in another order than a plain module
    assert -np.log(np.array(truth)).mean() == pytest.approx(metrics["val_loss"], rel=1e-4, abs=1e-6)


def onnx_answer(folder: Path, model, raw: Raw):
    """Return what ONNX makes of raw examples, as a frame like the model's own."""
    import onnxruntime
    import pandas as pd

    how = model.data.preprocessing
    if how.kind == "table":
        feeds = column_feeds(how, raw.x)
    elif how.kind == "numbers":
        feeds = {"input": raw.x[list(how.names)].to_numpy(np.float32)}
    elif how.makes_bytes:
        feeds = {"input": model.preprocess(raw.x).numpy()}
    else:
        feeds = {"input": np.asarray(raw.x, np.uint8)[:, None]}
    (values,) = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(None, feeds)
    if model.data.scale is not None:
        return pd.DataFrame({"prediction": values[:, 0]})
    classes = model.classes_
    frame = pd.DataFrame({"prediction": classes[values.argmax(1)]})
    frame[[f"probability_{name}" for name in classes]] = values
    return frame


@pytest.mark.slow
def test_the_raw_columns_of_a_table_are_the_inputs_of_its_onnx_graph(tmp_path):
    onnx = pytest.importorskip("onnx")

    case = CASES["classes of a table"]
    raw, found = searched(tmp_path, case, tracking={"enabled": False})
    folder = found.export(tmp_path / "model", onnx=True)
    check(onnx_answer(folder, load_model(folder), raw), raw, found)
    graph = onnx.load(folder / "model.onnx").graph
    assert {one.name for one in graph.input} == {"length", "age", "member", "city", "since"}
    assert {"Gemm", "LabelEncoder"} <= {node.op_type for node in graph.node}


@pytest.mark.slow
def test_an_estimator_is_exported_for_scikit_learn_and_onnx_is_refused(tmp_path):
    import skops.io

    from search import UsageError
    from trainables.baselines.kept import TRUSTED

    raw, found = searched(tmp_path, CASES["estimator"], tracking={"enabled": False})
    with pytest.raises(UsageError, match="is scikit-learn's and no network of torch's"):
        found.export(tmp_path / "model", onnx=True)
    assert not (tmp_path / "model").exists()
    folder = found.export(tmp_path / "model")
    model = load_model(folder)
    check(model.predict_frame(raw.x), raw, found)
    x = model.preprocess(raw.x).numpy()
    assert (skops.io.load(folder / "model.skops", trusted=TRUSTED).predict(x) == raw.y).mean() > 0.5


def test_images_that_cannot_be_decoded_are_named_and_the_others_are_answered(tmp_path):
    raw, found = searched(tmp_path, Case("regularization", of_photos, {}), tracking={"enabled": False})
    model = load_model(found.export(tmp_path / "model"))
    check(model.predict_frame(raw.x), raw, found)
    photos = tmp_path / "photos"
    (photos / "ant" / "broken.jpg").write_bytes(b"no image")
    (photos / "notes.txt").write_text("of a walk")
    said, unread = [], []
    answer = predict_file(model, photos, say=said.append, unread=unread.append)
    assert unread == [f"{photos / 'ant' / 'broken.jpg'}: no image, or damaged"]
    assert said == ["not read, no images: 1 ('notes.txt')"]
    assert len(answer) == 30
    assert list(answer["file"]) == sorted(answer["file"])
    one = predict_file(model, Path(raw.x[0]), say=said.append, unread=unread.append)
    named = answer.set_index("file").loc[str(Path(raw.x[0]).relative_to(photos))]
    assert one["prediction"][0] == named["prediction"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")  # of its own types, as it is imported
@pytest.mark.parametrize("name", CASES)
def test_export_mlflow_and_onnx_have_the_metric_of_the_ledger(tmp_path, name):
    import mlflow

    pytest.importorskip("onnxscript")
    case = CASES[name]
    raw, found = searched(tmp_path, case)
    folder = found.export(tmp_path / "model", onnx=case.onnx, register="mine")
    model = load_model(folder)
    check(model.predict_frame(raw.x), raw, found)
    if case.onnx:
        check(onnx_answer(folder, model, raw), raw, found)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/home/mlflow.db")
    registered = mlflow.pyfunc.load_model("models:/mine/1")
    assert registered.metadata.signature is not None
    check(registered.predict(as_mlflow_takes_it(model, raw, found)), raw, found)
    assert mlflow.MlflowClient().get_model_version("mine", "1").run_id


def as_mlflow_takes_it(model, raw: Raw, found):
    """Return raw examples as the signature has them: a frame as pandas reads it, or an array of pixels."""
    how = model.data.preprocessing
    if how.kind == "table":
        return raw.x
    if how.kind == "numbers":
        import pandas as pd

        return raw.x if hasattr(raw.x, "columns") else pd.DataFrame(raw.x, columns=list(how.names))
    return model.preprocess(raw.x).numpy() if how.makes_bytes else np.asarray(raw.x, np.uint8)[:, None]
