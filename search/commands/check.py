"""What is understood of a user's data and model, with every notice; nothing is trained."""

from __future__ import annotations

import dataclasses

from search.commands.parameters import takes_options
from search.declaration.options import Options
from search.drive.examples import load_data
from search.drive.preflight import resolve
from search.face.answer_stream import print_json
from search.face.present import make_console, print_check

ANY_STUDY = "regularization"
"""The study that data are checked for where none is named: it takes tables and images, classes and numbers."""


@takes_options
def check(options: Options) -> int:
    """Say what is understood of your data, your model and your settings; nothing is trained."""
    if options.kind is None and options.config is None and options.train is None:
        options = dataclasses.replace(options, kind=ANY_STUDY)
    study = resolve(options)
    splits = load_data(study)
    if options.json_:
        print_json({"trainable": study.trainable, "data": splits.facts(), "fingerprint": splits.fingerprint})
    else:
        print_check(make_console(), study, splits)
    return 0
