"""What the user can mend, and how a run may end otherwise than completed."""


class UserError(ValueError):
    """Shown as one line, without a traceback, and ends a command with exit code 2.

    The message says what was expected, what was received and the remedy.
    """


class NotLearned(Exception):  # noqa: N818 - it is a verdict, not an error of the program
    """The sanity check failed; the message says where to look first."""


class Diverged(FloatingPointError):  # noqa: N818 - as above
    """The loss of a run is no longer a number; the message says what to change."""


class Pruned(Exception):  # noqa: N818 - as above
    """A search has ended a run that is hopeless; the message says after which epoch."""


def one_line(text: str) -> str:
    """A message of several lines as one."""
    lines = (line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not line.startswith("object_type="))
