"""A model given files as a user has them: a table, an image, a folder of images, an array of numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.data.parts import quote_first
from trainables.errors import DataError, first_line
from trainables.stage import stage

if TYPE_CHECKING:
    import pandas as pd

    from trainables.data.image_preprocessing import ImagePreprocessing
    from trainables.kept_model import KeptModel

FILE = "file"
"""The column of an image's path, below the folder that was given."""

IMAGES_AT_ONCE = 1024
ARRAYS = ".npy"

Say = Callable[[str], None]


def predict_file(model: KeptModel, path: Path, *, say: Say, unread: Say) -> pd.DataFrame:
    """Return what a model says of each row of a file, in its order, or of each image.

    Args:
        model: loaded from an export, or kept by a search.
        path: of a CSV, TSV or Parquet file for a model of tables; an image or a folder of them for one of images; for
            either a ``.npy`` file of raw values, where it was trained on arrays.
        say: is told what a user should know.
        unread: is told which images cannot be used, and why, a line each; the others are answered.

    Raises:
        DataError: the file is not what the model was trained on; a line for everything that is wrong.
    """
    how = None if model.data is None else model.data.preprocessing
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ARRAYS:
        try:
            return model.predict_frame(_array(path))
        except DataError as error:
            named = str(path)
            raise DataError([line if named in line else f"{named}: {line}" for line in error.errors]) from None
    if how is None or how.kind == "arrays":
        raise DataError(f"{path}: this model was trained on arrays, and takes a {ARRAYS} file of them (numpy.save)")
    if how.kind == "images":
        return _predict_images(model, path, say=say, unread=unread)
    if path.is_dir():
        raise DataError(f"{path} is a folder; this model was trained on a table, and takes a file")
    if how.kind == "numbers":
        from trainables.data.spec import DataSpec
        from trainables.data.table_file import read_table

        return model.predict_frame(read_table(path, DataSpec(source="table"), what=str(path)).frame)
    return model.predict_frame(path)


def _array(path: Path) -> np.ndarray[Any, Any]:
    try:
        found: np.ndarray[Any, Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    return found


def _predict_images(model: KeptModel, path: Path, *, say: Say, unread: Say) -> pd.DataFrame:
    """Return a row for each image that can be used, by its path."""
    import pandas as pd

    assert model.data is not None
    how: Any = model.data.preprocessing
    files, others = _image_files(path) if path.is_dir() else ([path], [])
    if others:
        names = quote_first([str(file.relative_to(path)) for file in others])
        say(f"not read, no images: {len(others):,} ({names})")
    if not files:
        raise DataError(f"{path}: there is no image in it")
    frames = [
        model.predict_frame(x, preprocessed=True).assign(**{FILE: names}) for names, x in _read(how, files, unread)
    ]
    if not frames:
        return pd.DataFrame({FILE: []})
    frame = pd.concat(frames, ignore_index=True)
    if path.is_dir():
        frame[FILE] = [str(Path(name).relative_to(path)) for name in frame[FILE]]
    return frame[[FILE, *frame.columns.drop(FILE)]]


def _read(how: ImagePreprocessing, files: list[Path], unread: Say) -> Iterator[tuple[list[str], Any]]:
    """Yield the names and the inputs of those files that can be used, some at a time."""
    import torch

    with stage("predicting image by image", total=len(files)) as answered:
        for start in range(0, len(files), IMAGES_AT_ONCE):
            some = files[start : start + IMAGES_AT_ONCE]
            x, reasons = how.apply_each(some)
            for i, why in reasons.items():
                unread(f"{some[i]}: {why}")
            if len(x):
                yield (
                    [str(file) for i, file in enumerate(some) if i not in reasons],
                    torch.from_numpy(np.ascontiguousarray(x)),
                )
            answered.advance(len(some))


def _image_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder that are images or are named as such, and the others; hidden ones are neither."""
    from trainables.data.image_formats import endings, is_image

    images: list[Path] = []
    others: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(root) / name
            named = file.suffix.lower() in endings()
            (images if named or is_image(str(file)) else others).append(file)
    return images, others
