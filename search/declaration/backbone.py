"""The options of a study that transfers: which backbone, which weights, learned from what."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from search.declaration.mistakes import usage_error
from search.declaration.options import Options
from search.declaration.study import Study
from spaces import Value
from trainables.data.datasets import DATASETS
from trainables.data.spec import DataSpec
from trainables.errors import ConfigError
from trainables.mistake import Mistake
from trainables.transfer.config import AUTO, CIFAR10, NAMED_WEIGHTS, NARROW, NONE, SOURCE, chosen_weights

TRANSFER = "transfer"
"""The trainable whose options these are."""

DEPTH = "freeze_depth"


def transfers(study: Study) -> bool:
    """Say whether these options are for the study."""
    return study.trainable == TRANSFER


def chosen(declared: Study, options: Options) -> tuple[dict[str, Value], dict[str, dict[str, Value]]]:
    """Return the settings that the options choose, and how they change the space's ranges.

    With another backbone the freeze depth goes up to its number of stages.

    Raises:
        UsageError: everything that is wrong.
    """
    texts = {"backbone": options.backbone, "weights": options.weights, "source_data": options.source_data}
    given = {name: text for name, text in texts.items() if text is not None}
    if not transfers(declared):
        rule = f"is for a study that transfers; {declared.kind} does not"
        if given:
            raise usage_error([Mistake(("settings", name), rule) for name in given])
        return {}, {}
    mistakes: list[Mistake] = []
    settings: dict[str, Value] = dict(given)
    if "weights" in given:
        settings["weights"] = _weights(given["weights"])
    if "source_data" in given:
        settings["source_data"] = _source(given["source_data"], mistakes)
    if options.image_size is not None:
        settings["input_size"] = options.image_size
    if options.download:
        settings["download"] = True
    ranges: dict[str, dict[str, Value]] = {}
    if "backbone" in given:
        from trainables.transfer.backbones import stage_names

        try:
            stages = len(stage_names(given["backbone"]))
            if DEPTH in declared.space:
                ranges[DEPTH] = {"high": stages}
        except ConfigError as error:
            mistakes += [Mistake(("settings", "backbone"), f": {line}") for line in error.errors]
    if mistakes:
        raise usage_error(mistakes)
    return settings, ranges


def settled_study(study: Study, *, sized: bool) -> Study:
    """Return a study that transfers with the weights that are used, and data that fit these; any other as it is.

    Args:
        study: as declared.
        sized: see ``fitting``.
    """
    if not transfers(study):
        return study
    settings = settled(study.data, study.settings)
    return study.model_copy(update={"data": fitting(study.data, settings, sized=sized), "settings": settings})


def settled(data: DataSpec, settings: Mapping[str, Value]) -> dict[str, Value]:
    """Return the settings with the weights that are used for the data, in place of ``auto``."""
    texts = {name: str(settings.get(name, "")) for name in ("weights", "backbone", "source_data")}
    return {**settings, "weights": chosen_weights(**texts, spec=data)} if texts["weights"] == AUTO else {**settings}


def fitting(data: DataSpec, settings: Mapping[str, Value], *, sized: bool) -> DataSpec:
    """Return the data as a transfer needs them: bytes, and one half of the classes where the other teaches.

    Args:
        data: as the options and the study say.
        settings: the study's, with the options applied and settled.
        sized: whether the user said how large images are to be; where not, the user's own are decoded at the size
            that the weights were made for.
    """
    weights = settings.get("weights", SOURCE)
    other_half = weights == SOURCE and not settings.get("source_data")
    data = dataclasses.replace(data, pixels=True, half="second" if other_half else None)
    if data.source != "images" or sized or weights in (SOURCE, NONE):
        return data
    from trainables.transfer.backbones import check_name
    from trainables.transfer.preprocessing import imagenet_preprocessing
    from trainables.transfer.shipped_weights import PHOTO_PIXELS

    if weights == CIFAR10:
        return dataclasses.replace(data, image_size=PHOTO_PIXELS)
    name = str(settings.get("backbone"))
    try:
        check_name(name)
    except ConfigError:
        return data  # said elsewhere
    return data if name == NARROW else dataclasses.replace(data, image_size=imagenet_preprocessing(name, 0).resize)


def _weights(text: str) -> str:
    return text if text in NAMED_WEIGHTS else os.path.abspath(os.path.expanduser(text))


def _source(text: str, mistakes: list[Mistake]) -> str:
    at = ("settings", "source_data")
    kind, colon, path = text.partition(":")
    images = [name for name, found in DATASETS.items() if found.images]
    if not colon:
        if text not in images:
            mistakes.append(
                Mistake(at, "{value} is no data set of images", text, allowed=(*images, "or images:FOLDER"))
            )
        return text
    if kind != "images" or not path:
        mistakes.append(Mistake(at, f"{text}: expected a data set of images by name, or images:FOLDER"))
        return text
    folder = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(folder):
        mistakes.append(Mistake(at, f"images:{path}: there is no such folder"))
    return f"images:{folder}"
