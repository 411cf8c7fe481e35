"""What can keep the local stack from running, as messages for the person who started it."""


class StackError(Exception):
    """The stack cannot do what was asked; the message gives the cause and the remedy."""


class PortTakenError(StackError):
    """Another process already listens where a part of the stack has to."""


class ToolMissingError(StackError):
    """A program that the stack needs is not installed, or is too old."""


class FetchError(StackError):
    """The components could not be downloaded or unpacked."""


class NotRunningError(StackError):
    """The command needs a running stack and there is none."""


class UnknownNameError(StackError):
    """No part of the stack has this name."""
