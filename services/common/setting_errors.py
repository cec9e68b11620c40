"""What an operator is told about a configuration that cannot be right."""

from collections.abc import Sequence


class ConfigurationError(Exception):
    """Everything wrong with the configuration, at once.

    Attributes:
        problems: one line each, naming section.key and the environment variable that set it.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
