"""Which examples a study learns from, as plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainables.task import AUTO

Source: TypeAlias = Literal["named", "table", "images", "arrays", "stream", "none"]
Half: TypeAlias = Literal["first", "second"]

READ_AS = ("number", "text", "date")
"""What a column of a table can be asked to be read as."""

SEPARATOR_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|", "space": " "}
"""What may be written for a separator that is hard to type."""

WHITE = "white"

NO_DATA: Source = "none"
"""The source of a study that names no data: its training function brings its own. Also their name and fingerprint."""

LARGEST_IMAGE = 1024
"""Pixels that an image may be wide and high."""


@dataclass(frozen=True)
class DataSpec:
    """Which examples, and how they are split.

    Attributes:
        name: a key of ``DATASETS``; of a user's own data, what they are called.
        data_dir: where torchvision's sets lie; unused by the sets that scikit-learn ships.
        download: allow torchvision to download into ``data_dir``.
        train_examples: use only this many training examples (stratified); None for all.
        seed: seeds the splits.
        source: ``named``, or the user's own ``table``, ``images`` or ``arrays``; ``stream`` for a function's datasets
            that are larger than memory; ``none`` where the training function brings its own.
        path: absolute path of the table's file, the images' folder or the arrays' file; None for a named set.
        target: the column of a table that is predicted.
        function: ``package.module:function`` that returned the arrays, or returns the datasets that are streamed.
        fingerprint: what that function says that its data are, in place of a digest of the examples.
        task: what is learned from a table or arrays: ``classification``, ``regression``, or ``auto`` to tell by the
            target.
        drop: columns of a table that are left out.
        missing: words in a table that are missing values, besides the empty field.
        read_as: columns of a table and what they are read as: ``COLUMN=number``, ``=text`` or ``=date``.
        separator: what is between the columns of a text file: one character, or a word such as ``tab``; None to tell by
            looking.
        decimal: the decimal mark of a text file, a point or a comma; None to tell by looking.
        encoding: of a text file; None to tell by looking.
        val_file, test_file: absolute paths of tables whose rows are the validation or the test part; None where these
            are cut from ``path``.
        group: the column of a table whose values mark rows that belong together: none of them is in two parts.
        time: the column of a table by which its rows are ordered: the latest are for test, those before for validation.
        weight: the column of a table that says how much each row counts in the loss that is trained on.
        class_weight: ``balanced`` where every class is to count as much as any other in that loss.
        folds: K of a K-fold cross-validation over all that is not for test; None for one validation part. A trial is
            then K runs, one for each fold, and what it reports is their mean.
        image_size: width and height, in pixels, of a user's images.
        background: the colour under a user's images where these are transparent, as Pillow's ``ImageColor`` takes it.
        memory_mb: MiB that the examples of an images' folder or a function may take in memory; None for half of what is
            free. Images beyond it are read from a file, a function's datasets are streamed.
        workers_per_trial: processes that read ahead for a trial whose examples are streamed; 0 reads in its own.
        pixels: images as bytes, not standardised: for models that bring their own preprocessing.
        half: ``first`` or ``second`` half of the classes alone; None for all of them.
    """

    name: str = "digits"
    data_dir: str | None = None
    download: bool = False
    train_examples: int | None = None
    seed: int = 0
    source: Source = "named"
    path: str | None = None
    function: str | None = None
    fingerprint: str | None = None
    target: str | None = None
    task: str = AUTO
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    read_as: tuple[str, ...] = ()
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    val_file: str | None = None
    test_file: str | None = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    class_weight: Literal["balanced"] | None = None
    folds: int | None = None
    image_size: int = 32
    background: str = WHITE
    memory_mb: int | None = None
    workers_per_trial: int = 0
    pixels: bool = False
    half: Half | None = None

    @property
    def binds_rows(self) -> bool:
        """Whether more than chance decides which part a row is for: a group, the time, a file of its own."""
        return any((self.group, self.time, self.val_file, self.test_file))

    @property
    def can_refit(self) -> bool:
        """Whether train and validation together can be trained on: rows of validation have no weights of their own."""
        return self.weight is None and self.source not in (NO_DATA, "stream")


def path_errors(spec: DataSpec) -> list[str]:
    """Return why a user's own file or folder cannot be one, a line each; nothing is opened."""
    if spec.path is None:
        return []
    what = f"--data {spec.source}:{spec.path}"
    if not os.path.exists(spec.path):
        return [f"{what}: there is no such {'folder' if spec.source == 'images' else 'file'}"]
    if spec.source == "table" and os.path.isdir(spec.path):
        return [f"{what} is a folder; expected a file: .csv, .tsv or .parquet (--data images:FOLDER takes images)"]
    if spec.source in ("table", "arrays") and os.path.exists(spec.path) and not os.path.isfile(spec.path):
        return [f"{what} is no regular file (a pipe, a socket or a device)"]
    if spec.source == "images" and not os.path.isdir(spec.path):
        return [f"{what} is a file; expected a folder (--data table:FILE takes a table)"]
    files = (("--val-file", spec.val_file), ("--test-file", spec.test_file))
    return [f"{option} {file}: there is no such file" for option, file in files if file and not os.path.isfile(file)]
