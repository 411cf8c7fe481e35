"""What the command line prints instead of a traceback, and the exit codes it ends with."""

from shared.errors import OnPointError

SUCCESS, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class CommandError(OnPointError):
    """The command cannot do what was asked; the message is one sentence: why, and what to do about it."""

    exit_code = FAILED


class WrongUseError(CommandError):
    """The command was called in a way it cannot be."""

    exit_code = WRONG_USE


class InterruptedByUserError(CommandError):
    """The user ended the command."""

    exit_code = INTERRUPTED
