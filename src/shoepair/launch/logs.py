"""Where a run's lines go: the terminal, and the log in its folder. A run does not end because one of them is full."""

import errno
import io
import logging
import sys
from pathlib import Path
from typing import TextIO

from shoepair.errors import one_line
from shoepair.files import is_file
from shoepair.terminal import say_aside, with_label


def _say_once(handler: logging.Handler, name: object) -> bool:
    """Whether what was just raised is of the machine; then said once, and from now on nothing is written there."""
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        return False
    handler.addFilter(lambda record: False)
    if not isinstance(error, BrokenPipeError):  # as in `shoepair train | head`
        say_aside(f"{name} is not written any longer: {error.strerror or one_line(str(error))}")
    return True


class Terminal(logging.StreamHandler[TextIO]):
    def format(self, record: logging.LogRecord) -> str:
        return with_label(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not _say_once(self, "The output"):
            super().handleError(record)


class LogFile(logging.FileHandler):
    def _open(self) -> io.TextIOWrapper:
        path = Path(self.baseFilename)
        if path.exists() and not is_file(path):  # a named pipe would be waited for, for ever
            raise FileExistsError(errno.EEXIST, "this is no regular file", self.baseFilename)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not _say_once(self, self.baseFilename):
            super().handleError(record)
