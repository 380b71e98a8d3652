"""Raw examples as a user has them, and a model that is trained on a part of them and kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from trainables.best import BestModels, load_model, trial_facts
from trainables.checkpoint_store import CheckpointStore
from trainables.data import DataSpec, Splits, load_splits
from trainables.data.parts import part_indices
from trainables.kept_data import KeptData
from trainables.registry import find_trainable
from trainables.weights_snapshot import snapshot_weights

CPU = torch.device("cpu")
CLASSES = ("ant", "bee", "cat")


@dataclass(frozen=True)
class Raw:
    """A data set with its validation examples as the source has them: ``x`` for ``predict``, ``y`` as it should say."""

    spec: DataSpec
    x: Any
    y: Any


def customers(rows=120):
    """Return a table with text, dates, flags, numbers, gaps in each, and a constant column."""
    rng = np.random.default_rng(0)
    length = rng.normal(5, 1, rows)
    table = pd.DataFrame(
        {
            "length": length.round(3),
            "age": rng.integers(18, 80, rows),
            "member": rng.choice([True, False, None], rows),
            "city": rng.choice(["Lima", "Oslo", "São Paulo", None], rows),
            "since": pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, rows), unit="D")),
            "site": "north",
            "spend": (100 + 40 * length + rng.normal(0, 3, rows)).round(2),
            "plan": np.where(length > 5, "gold", "basic"),
            "grade": np.where(length > 5, 3, 1),
        }
    )
    table.loc[3::10, "length"] = np.nan
    table.loc[4::11, "since"] = pd.NaT
    return table


def of_table(folder, target, *, numeric=False):
    table, path = customers(), folder / "customers.csv"
    table.to_csv(path, index=False)
    others = tuple(name for name in ("spend", "plan", "grade") if name != target)
    spec = DataSpec("customers", source="table", path=str(path), target=target, drop=others)
    y = table[target] if numeric else pd.Series(np.unique(table[target], return_inverse=True)[1])
    _, val, _ = part_indices(y.to_numpy(), numeric=numeric, seed=0)
    rows = pd.read_csv(path).iloc[val]
    return Raw(spec, rows.drop(columns=target), rows[target].to_numpy())


def of_digits(folder):
    from sklearn.datasets import load_digits

    found = load_digits()
    _, val, _ = part_indices(found.target, numeric=False, seed=0)
    return Raw(DataSpec("digits", train_examples=200), found.images[val], found.target[val])


def of_wine(folder):
    from sklearn.datasets import load_wine

    found = load_wine()
    _, val, _ = part_indices(found.target, numeric=False, seed=0)
    return Raw(DataSpec("wine"), found.data[val], found.target[val])


def of_arrays(folder, shape, *, numeric=False):
    rng = np.random.default_rng(2)
    x = rng.normal(5, 3, (120, *shape))
    mean = x.reshape(len(x), -1).mean(1)
    y = mean if numeric else np.where(mean > np.median(mean), 4, 2)
    np.savez(folder / "mine.npz", x=x, y=y)
    _, val, _ = part_indices(y if numeric else np.unique(y, return_inverse=True)[1], numeric=numeric, seed=0)
    return Raw(DataSpec("mine", source="arrays", path=str(folder / "mine.npz")), x[val], y[val])


def of_diabetes(folder):
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False, as_frame=True)
    _, val, _ = part_indices(found.target.to_numpy(), numeric=True, seed=0)
    return Raw(DataSpec("diabetes"), found.data.iloc[val].iloc[:, ::-1], found.target.to_numpy()[val])


def of_photos(folder, *, pixels=False):
    rng, files = np.random.default_rng(1), []
    for number, name in enumerate(CLASSES):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(10):
            height, width = rng.integers(12, 40, 2)
            base = np.array([80 * number, 200 - 60 * number, 90])
            noisy = (base + rng.normal(0, 40, (height, width, 3))).clip(0, 255).astype(np.uint8)
            image = Image.fromarray(noisy).convert("L" if i == 3 else "RGB")
            if i % 4 == 0:
                image.putalpha(Image.fromarray(noisy[:, :, 0]))
            elif i % 4 == 2:
                image = Image.fromarray(noisy[:, :, 0].astype(np.uint16) * 17)  # of 16 bits
            files.append(folder / "photos" / name / f"{i}.{'jpg' if i % 2 else 'png'}")
            image.save(files[-1])
    y = np.repeat(np.arange(len(CLASSES)), 10)
    _, val, _ = part_indices(y, numeric=False, seed=0)
    spec = DataSpec("photos", source="images", path=str(folder / "photos"), image_size=16, pixels=pixels)
    return Raw(spec, [files[i] for i in val], np.array(CLASSES)[y[val]])


def keep(folder, splits: Splits, *, trainable="mlp", params=None, epochs=1):
    """Train a trial, keep its best model as an executor does, and return its path."""
    found = find_trainable(trainable)
    config = found.configure(params or {}, max_epochs=epochs)
    run = found.start(config, found.prepare(splits, CPU), seed=5, device=CPU)
    facts = trial_facts(
        1,
        trainable=trainable,
        params=params or {},
        max_epochs=epochs,
        seed=5,
        shape=splits.shape,
        outputs=splits.outputs,
        data=KeptData.of(splits).to_dict(),
    )
    store = CheckpointStore(folder / "checkpoints")
    models = BestModels(store, ("val_loss", "min"))
    models.begin(1, facts)
    for _ in range(epochs):
        report = run.step()
        models.observe(1, report, lambda: snapshot_weights(run))
        if report.stop is not None:
            break
    assert models.keep(1)() == []
    return store.best_path(1)


def kept(folder, raw: Raw, **options):
    """Return the splits of ``raw``, and a model that was trained on them, kept and loaded."""
    splits = load_splits(raw.spec)
    return splits, load_model(keep(folder, splits, **options))
