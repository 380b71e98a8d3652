"""The columns of a table as inputs of an ONNX graph: gaps filled, numbers scaled, texts looked up, as in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.column_remarks import Remarks
from trainables.data.columns import ColumnKind
from trainables.data.table_columns import with_gaps

if TYPE_CHECKING:
    import pandas as pd

    from trainables.data.column_encoder import ColumnEncoder
    from trainables.data.table_preprocessing import TablePreprocessing

ML_OPSET = 3


def add_columns(graph: Any, how: TablePreprocessing, inner: str) -> Any:
    """Return a graph that takes the raw columns, given the one that takes what is made of them.

    An input a column, called as it is, [N, 1]: text as strings, of which the empty one is missing; anything else as
    float64, in which NaN is missing: numbers, 1 and 0 for true and false, days since 1970 for dates.

    Args:
        graph: takes ``inner``, [N, D] float32.
        how: the columns.
        inner: the input that is made of the columns.
    """
    import onnx
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    constants: list[Any] = []
    inputs: list[Any] = []
    for number, column in enumerate(how.columns):
        text = column.kind is ColumnKind.TEXT
        kind = TensorProto.STRING if text else TensorProto.DOUBLE
        inputs.append(helper.make_tensor_value_info(column.name, kind, ["N", 1]))
        (_text if text else _number)(column, f"column{number}", nodes, constants)
    parts = [f"column{number}_out" for number in range(len(how.columns))]
    nodes.append(helper.make_node("Concat", parts, ["columns_out"], axis=1))
    for node in nodes:
        node.name = node.output[0]  # by which viewers of graphs tell them apart
    width = sum(column.width for column in how.columns)
    made = helper.make_tensor_value_info("columns_out", TensorProto.FLOAT, ["N", width])
    opsets = [*graph.opset_import, helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    columns = helper.make_graph(nodes, "columns", inputs, [made], constants)
    front = helper.make_model(columns, opset_imports=opsets, ir_version=graph.ir_version)
    if not any(opset.domain == "ai.onnx.ml" for opset in graph.opset_import):
        graph.opset_import.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    merged = onnx.compose.merge_models(front, graph, io_map=[("columns_out", inner)])
    onnx.checker.check_model(merged)
    return merged


def column_feeds(how: TablePreprocessing, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the columns of raw rows as such a graph takes them  # {name: [N, 1]}."""
    feeds: dict[str, NDArray[Any]] = {}
    for column in how.columns:
        values = column.read(with_gaps(frame[column.name], how.missing), decimal=how.decimal, remarks=Remarks())
        if column.kind is ColumnKind.TEXT:
            values = np.array(["" if isinstance(value, float) else value for value in values], object)
        feeds[column.name] = values[:, None]
    return feeds


def _number(column: ColumnEncoder, name: str, nodes: list[Any], constants: list[Any]) -> None:
    """Fill and scale in float64, as ``ColumnEncoder.encode`` does."""
    from onnx import TensorProto, helper, numpy_helper

    for constant in ("fill", "mean", "deviation"):
        value = np.array(getattr(column, constant), np.float64)
        constants.append(numpy_helper.from_array(value, f"{name}_{constant}"))
    nodes += [
        helper.make_node("IsNaN", [column.name], [f"{name}_gap"]),
        helper.make_node("Where", [f"{name}_gap", f"{name}_fill", column.name], [f"{name}_filled"]),
        helper.make_node("Sub", [f"{name}_filled", f"{name}_mean"], [f"{name}_centred"]),
        helper.make_node("Div", [f"{name}_centred", f"{name}_deviation"], [f"{name}_scaled"]),
        helper.make_node("Cast", [f"{name}_scaled"], [f"{name}_out"], to=TensorProto.FLOAT),
    ]


def _text(column: ColumnEncoder, name: str, nodes: list[Any], constants: list[Any]) -> None:
    """Make one input a category; a text that training did not have is zeros."""
    from onnx import TensorProto, helper, numpy_helper

    known = [*column.categories, *([""] if column.missing else [])]
    constants.append(numpy_helper.from_array(np.arange(len(known), dtype=np.int64)[None], f"{name}_numbers"))
    nodes += [
        helper.make_node(
            "LabelEncoder",
            [column.name],
            [f"{name}_code"],
            domain="ai.onnx.ml",
            keys_strings=known,
            values_int64s=list(range(len(known))),
            default_int64=-1,
        ),
        helper.make_node("Equal", [f"{name}_code", f"{name}_numbers"], [f"{name}_is"]),
        helper.make_node("Cast", [f"{name}_is"], [f"{name}_out"], to=TensorProto.FLOAT),
    ]
