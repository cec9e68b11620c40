"""What is wrong with a model's files, and what helps."""

from pathlib import Path


class ModelMissing(Exception):
    """A file that the model needs is not there.

    Attributes:
        path: the file.
        command: what gets it, as one types it.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self.command = command
        self.reason = f"model missing: {path}"
        self.action = f"get it with: {command}" if command else ""
        super().__init__(f"{self.reason}; {self.action}" if command else self.reason)


class ModelBroken(Exception):
    """The model's files are there but cannot be used.

    Attributes:
        path: the file or folder.
        command: what replaces it, "" where nothing is known that would.
    """

    def __init__(self, path: Path, problem: str, command: str = "") -> None:
        self.path = path
        self.command = command
        self.reason = f"model broken: {path}: {problem}"
        self.action = f"replace it with: {command}" if command else ""
        super().__init__(f"{self.reason}; {self.action}" if command else self.reason)
