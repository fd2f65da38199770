"""What people read in a terminal, printed or logged: names and contents from outside may not steer it. Python alone."""

import contextlib
import logging
import re
import select
import sys
import traceback
from collections.abc import Iterator
from typing import Any

# Control characters but for the line end and the tab, those that turn the direction of writing, half characters (names
# that are no UTF-8), and what else ends a line or is not seen.
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)

BEGINNING, END = 600, 350  # of a line that says what is wrong: what was typed, which stands in it, may be of any length


def printable(text: str) -> str:
    r"""With \x1b and the like for what would steer a terminal; a name that is no UTF-8 shows its bytes."""
    return STEERING.sub(_escape, text)


def on_one_line(text: str) -> str:
    r"""Printable, and with \n for line ends."""
    return printable(text).replace("\n", "\\n")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte that it cannot decode
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


_label = ""


@contextlib.contextmanager
def labelled(name: str) -> Iterator[None]:
    """Begin each line on the terminal with a name: several processes write there."""
    global _label
    before, _label = _label, f"{on_one_line(name)}  "
    try:
        yield
    finally:
        _label = before


def with_label(text: str) -> str:
    return "\n".join(_label + line if line else line for line in text.split("\n"))


def say(text: str = "", *, end: str = "\n") -> None:
    """The one place where an answer is printed."""
    print(with_label(printable(text)), end=end)


def say_aside(text: str) -> None:
    """As say(), on stderr: what is no part of the answer."""
    print(with_label(printable(text)), file=sys.stderr)


def say_error(error: object) -> None:
    """What the user can mend, in one line: of a long one the beginning and the end, where the remedy stands."""
    line = on_one_line(str(error))
    if len(line) > BEGINNING + END:
        line = f"{line[:BEGINNING]} ... {line[-END:]}"
    say_aside(f"shoepair: {line}")


def nobody_reads() -> bool:
    """Whether whoever read the output has gone, as in `shoepair --help | head`; a broken pipe may be any other."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    try:
        poll.register(sys.stdout, select.POLLOUT)
    except (AttributeError, TypeError, ValueError, OSError):  # what stands in for a terminal
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


class Record(logging.LogRecord):
    """What is logged, on the terminal and in files."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0] is not None:  # a traceback has the messages of its exceptions
            self.exc_text = printable("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        return printable(super().getMessage())


def guard_terminal() -> None:
    """From now on nothing that is logged steers the terminal, and no letter is more than the terminal can show."""
    logging.setLogRecordFactory(Record)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # not those that stand in for a terminal
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    sys.excepthook = lambda *error: say_aside("".join(traceback.format_exception(*error)).rstrip("\n"))
