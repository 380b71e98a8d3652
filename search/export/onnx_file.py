"""A model as one ONNX graph, from raw examples to answers where that is possible, checked beside torch."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from search.errors import RunError, UsageError
from search.export.example import examples_of
from trainables.errors import first_line

if TYPE_CHECKING:
    from trainables.kept_model import KeptModel

NEEDED = ("onnx", "onnxscript", "onnxruntime")

LARGEST_DIFFERENCE = 1e-4
"""Between ONNX's answer and torch's: of a probability, or of a number in deviations of the training part."""

CHECKED = 7
"""Examples on which the two are compared: an odd number, so that no size of a batch is built in."""

INPUT, INNER = "input", "x"


def check_installed() -> None:
    """Raise where a package that this takes is not installed.

    Raises:
        UsageError: names them, and the command that installs them.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"--onnx needs {', '.join(missing)}: pip install 'lanewise[onnx]'")


class RawToAnswer(nn.Module):
    """A network between what is done to raw numbers before it and to its outputs after it.

    Shape: [N, *shape] raw pixels (uint8) or numbers (float32) -> [N, C] probabilities, or [N, 1] in the target's units.

    Args:
        model: the network and what was kept of the data.
        raw: whether inputs are raw; else as in training.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, model: KeptModel, *, raw: bool) -> None:
        super().__init__()
        self.network = model.network
        assert model.data is not None
        how: Any = model.data.preprocessing
        self._scale = model.data.scale
        self._unit = float(getattr(how, "unit", 1)) if raw else 1.0
        self._to_bytes = raw and how.makes_bytes and how.largest != 255
        self._largest = float(getattr(how, "largest", 1))
        found = how.standardisation if raw else None
        self._standardised = found is not None
        if found is not None:
            self.register_buffer("mean", torch.tensor(found.mean))
            self.register_buffer("deviation", torch.tensor(found.deviation))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities, or the number in its own units."""
        if self._standardised:
            x = (x.to(torch.float32) / self._unit - self.mean) / self.deviation
        elif self._to_bytes:
            x = (x * (255 / self._largest)).round().to(torch.uint8)
        outputs: torch.Tensor = self.network(x)
        if self._scale is None:
            return torch.softmax(outputs, 1)
        return outputs * self._scale.deviation + self._scale.mean


def write_onnx(model: KeptModel, path: Path) -> dict[str, Any]:
    """Write a model as ONNX, compare it with torch, and return what ``config.json`` says of it.

    Raises:
        UsageError: it is none of torch's networks.
        RunError: torch cannot export it, or the two differ.
    """
    from search.export.onnx_table import add_columns, column_feeds

    how: Any = None if model.data is None else model.data.preprocessing
    name = type(model.network).__name__
    if name == "EstimatorModule":
        kind = type(model.network.estimator).__name__
        raise UsageError(
            f"--onnx: {kind} is scikit-learn's and no network of torch's; without --onnx it is exported as "
            "model.skops, which skl2onnx converts"
        )
    if model.data is None:
        raise UsageError("--onnx: the preprocessing of this model was not kept, by an older version of Lanewise")
    table = how is not None and how.kind == "table"
    raw = how is not None and not table
    examples: Any = examples_of(model, CHECKED) if how is not None else _inputs(model)
    x = torch.as_tensor(np.array(examples)) if not table else model.preprocess(examples)
    if raw:
        x = x.to(torch.uint8) if how.kind == "images" and x.dtype != torch.uint8 else x
        x = x if how.kind == "images" else x.to(torch.float32)
    graph = _exported(RawToAnswer(model, raw=raw).eval(), x, INNER if table else INPUT)
    takes = "inputs as in training"
    feeds: dict[str, NDArray[Any]] = {INPUT: x.numpy()}
    if table:
        graph, feeds = add_columns(graph, how, INNER), column_feeds(how, examples)
        takes = f"the raw columns, each [N, 1]: {', '.join(feeds)}"
    elif raw:
        what = "pixels" if how.kind == "images" else "numbers"
        takes = f"raw {what}, {x.numpy().dtype} [N, {', '.join(map(str, x.shape[1:]))}]"
    gives = _describe(graph, model)
    expected = _answers(model, examples if how is not None else x, preprocessed=how is None)
    difference = _difference(graph, feeds, expected, model)
    path.write_bytes(graph.SerializeToString())
    return {"takes": takes, "gives": gives, "difference": difference}


def _inputs(model: KeptModel) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(CHECKED, *model.shape)).astype(np.float32)


def _exported(module: nn.Module, x: torch.Tensor, name: str) -> Any:
    """Return torch's ONNX graph of a module, for any number of examples."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            program = torch.onnx.export(
                module,
                (x,),
                input_names=[name],
                output_names=["answer"],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # what a user's own module leads torch to
        cause = error.__cause__ or error
        raise RunError(
            f"--onnx: torch cannot export this model: {type(cause).__name__}: {first_line(cause)}; without --onnx the "
            "rest is exported"
        ) from None
    assert program is not None
    return program.model_proto


def _describe(graph: Any, model: KeptModel) -> str:
    """Write into the graph what its output is, and return it in words."""
    import onnx

    assert model.data is not None
    facts = {"study": str(model.facts.get("study", "")), "trial": str(model.facts["trial"])}
    if model.data.scale is None:
        facts["classes"] = json.dumps(list(model.data.classes), ensure_ascii=False, default=str)
        gives = f"probabilities [N, {len(model.data.classes)}], in the order of classes.json"
    else:
        gives = "the number in its own units [N, 1]"
    graph.doc_string = f"Lanewise: {facts['study']}, trial {facts['trial']}; gives {gives}"
    onnx.helper.set_model_props(graph, facts)
    return gives


def _answers(model: KeptModel, examples: Any, *, preprocessed: bool) -> NDArray[np.float64]:
    assert model.data is not None
    if model.data.scale is None:
        return model.predict_proba(examples, preprocessed=preprocessed)
    return np.asarray(model.predict(examples, preprocessed=preprocessed), np.float64)[:, None]


def _difference(graph: Any, feeds: dict[str, NDArray[Any]], expected: NDArray[np.float64], model: KeptModel) -> float:
    """Return the largest difference of ONNX's answers to torch's; raise where it is too large."""
    import onnxruntime

    assert model.data is not None
    try:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        found = np.asarray(session.run(None, feeds)[0], np.float64)
    except Exception as error:  # onnxruntime has no one class of its own
        raise RunError(f"--onnx: onnxruntime cannot run the exported model: {first_line(error)}") from None
    unit = 1.0 if model.data.scale is None else model.data.scale.deviation
    difference = float(np.abs(found - expected).max() / unit)
    if not difference <= LARGEST_DIFFERENCE:
        raise RunError(
            f"--onnx: the exported model differs from torch's by {difference:.2g}, more than {LARGEST_DIFFERENCE:g}; "
            "without --onnx the rest is exported"
        )
    return difference
