"""The one root of every error that a user can cause or meet."""


class FtError(Exception):
    """Something a user can understand and act on; its text is the one line that the CLI prints."""


class UsageError(FtError):
    """The request itself makes no sense (exit status 2), as opposed to a file that failed (1)."""


class Mendable(FtError):
    """Something that one command mends; the text is the problem, and then that command."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}: {fix}")
        self.problem = problem
        self.fix = fix


class Terminated(BaseException):
    """SIGTERM came: leave as after Ctrl-C, nothing half-written."""
