"""What follows a reply."""

from enum import Enum


class Action(Enum):
    """What follows once the caller has heard the reply."""

    LISTEN = "listen"
    HANG_UP = "hang_up"
    TRANSFER = "transfer"
