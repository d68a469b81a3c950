"""The exceptions that programs turn into a line and an exit code."""

# What a file says can be of any length, and a message quotes it.
_LONGEST, _END = 4000, 500


class InputError(ValueError):
    """A file or an option cannot be used.

    The message is one line that names the place, what was found and what was expected;
    the middle of a very long one is left out.

    Attributes:
      report: what to show before it, where there is more than one line to say.
    """

    def __init__(self, message: str, *, report: str = "") -> None:
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST - _END]} ... {message[-_END:]}"
        super().__init__(message.replace("\n", "\\n"))
        self.report = report


class Interrupted(Exception):
    """The run was asked to stop and has saved what it needs to go on.

    Attributes:
      signal_number: of the signal that asked for it.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number
