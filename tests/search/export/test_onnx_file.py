"""A small network as ONNX, from raw examples to answers; the kinds of whole studies are among the slow round trips."""

import json

import numpy as np
import pytest

from search.export.onnx_file import write_onnx
from tests.search.export.test_round_trips import onnx_answer
from tests.trainables.kept_examples import kept, of_arrays, of_table

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

TINY = {"hidden": "8"}


@pytest.mark.parametrize("numeric", [False, True], ids=["classes", "a number"])
def test_a_network_on_numbers_answers_as_torch_does(tmp_path, numeric):
    raw = of_arrays(tmp_path, (4,), numeric=numeric)
    _, model = kept(tmp_path, raw, params=TINY)
    said = write_onnx(model, tmp_path / "model.onnx")
    assert said["takes"] == "raw numbers, float32 [N, 4]"
    assert said["difference"] < 1e-5
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [node.op_type for node in graph.node if node.op_type == "Gemm"] == ["Gemm"] * 2
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {"input": np.asarray(raw.x, np.float32)})
    expected = model.predict(raw.x)[:, None] if numeric else model.predict_proba(raw.x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32, two layers


def test_a_network_on_a_table_takes_its_raw_columns(tmp_path):
    raw = of_table(tmp_path, "plan")
    _, model = kept(tmp_path, raw, params=TINY)
    said = write_onnx(model, tmp_path / "model.onnx")
    assert said["takes"] == "the raw columns, each [N, 1]: length, age, since, member, city"
    assert said["gives"] == "probabilities [N, 2], in the order of classes.json"
    whole = onnx.load(tmp_path / "model.onnx")
    assert {one.name for one in whole.graph.input} == {"length", "age", "since", "member", "city"}
    assert len({node.name for node in whole.graph.node} - {""}) == len(whole.graph.node)
    assert json.loads({one.key: one.value for one in whole.metadata_props}["classes"]) == ["basic", "gold"]
    found, expected = onnx_answer(tmp_path, model, raw), model.predict_frame(raw.x)
    assert (found["prediction"] == expected["prediction"]).all()
    np.testing.assert_allclose(found["probability_gold"], expected["probability_gold"], rtol=1e-5)
