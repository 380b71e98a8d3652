"""What is wrong with a search space, or with a change to one."""

from trainables.errors import InputError


class SpaceError(InputError):
    """Everything that a user got wrong in one space, in one point of it, or in the changes to it."""
