"""The one exception that a person is meant to read."""


class InputError(ValueError):
    """A mistake in a file or on the command line.

    The message is a complete line for a person: it names the file and the place in
    it, what was found and what was expected. Programs print it and exit with 2.

    Attributes:
      report: lines to print before it, where there is more to say; empty if not.
    """

    def __init__(self, *message: object, report: str = "") -> None:
        super().__init__(*message)
        self.report = report
