"""Transfer: pretrained backbones, how deep they are frozen, and the cache of what their frozen part computes.

``config`` is one trial's configuration, ``trainable`` what an executor uses. ``backbones`` cuts torchvision's models
into stages, ``weights`` finds what they start from, ``source`` learns it where nothing is at hand, ``pictures`` holds
the images and their augmented views, ``features`` the cache, ``run`` one trial.
"""
