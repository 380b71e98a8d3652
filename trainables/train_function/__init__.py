"""A training loop of the user's own: a function that is handed a ``Trial`` and reports after each epoch.

``trainable`` is what a study names, ``run`` one trial of it, ``trial`` what the function sees.
"""
