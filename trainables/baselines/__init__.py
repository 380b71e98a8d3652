"""scikit-learn's estimators as trainables, and the MLP of ``trainables/loop.py`` beside them.

Needs neither scikit-learn nor torch until a trial is prepared, so that a study can be checked without them.
"""

from trainables.baselines.config import MODELS, EstimatorConfig
from trainables.baselines.trainable import EstimatorTrainable

__all__ = ["MODELS", "EstimatorConfig", "EstimatorTrainable"]
