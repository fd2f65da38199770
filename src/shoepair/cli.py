"""The command line: finds the command, and says in one line what the user can mend."""

import atexit
import contextlib
import gc
import importlib
import io
import logging
import os
import re
import shlex
import signal
import sys
import threading

from shoepair import __version__
from shoepair.errors import UserError, refused_by_machine
from shoepair.terminal import guard_terminal, nobody_reads, say, say_aside, say_error

# Hydra applications: the overrides are Hydra's grammar. The others parse an ordinary command line.
HYDRA_COMMANDS = ("train", "evaluate")
PLAIN_COMMANDS = ("compare", "predict", "match", "app", "export", "draw")
COMMANDS = HYDRA_COMMANDS + PLAIN_COMMANDS
LEAST_MB = 192  # that numpy and what else every command imports can live with


def program() -> None:
    """main() as a process. It ends when everything is done: torch's libraries would take a second more, and 130 MB."""
    status: int | None = None

    def leave() -> None:
        if status is None or "torch" not in sys.modules:
            return
        logging.shutdown()
        for kind in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):  # what a callback or logger left open
            for file in [thing for thing in gc.get_objects() if type(thing) is kind]:
                with contextlib.suppress(OSError, ValueError):
                    file.flush()
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except (AttributeError, OSError, ValueError):  # Python says what this means
            return
        os._exit(status)

    atexit.register(leave)  # so it is called after all that is registered from now on
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def main() -> None:
    """Run `shoepair [COMMAND] ...`. Ends with exit code 0, 1 (a run failed) or 2 (the user can mend it)."""
    guard_terminal()
    _interrupt_once()
    try:
        try:
            _refuse_little_memory()
            run(sys.argv[1:])
        except BrokenPipeError:
            if not nobody_reads():
                raise
        finally:
            _flush()
    except KeyboardInterrupt:
        say_aside("shoepair: interrupted")
        raise SystemExit(130) from None
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else refused_by_machine(error)
        if message is None or os.environ.get("HYDRA_FULL_ERROR", "") == "1":
            raise
        say_error(message)
        raise SystemExit(2) from None


def run(arguments: list[str]) -> None:
    command, arguments = split_command(arguments)
    if "--version" in arguments:
        say(f"shoepair {__version__}")
    elif command in PLAIN_COMMANDS:
        importlib.import_module(f"shoepair.commands.{command}").main(arguments)
    else:
        run_application(command, arguments)


def _refuse_little_memory() -> None:
    """Where a limit leaves next to nothing, Python loses its own errors, and a command may run without end; where it
    leaves little, OpenBLAS ends the process by itself, without a word on what to do.

    Raises:
        UserError: if the process may not grow by LEAST_MB.
    """
    if not os.path.exists("/proc/self/statm"):  # noqa: PTH110 - pathlib takes longer to import
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        taken = int(file.read().split()[0]) * resource.getpagesize()
    left_mb = (limit - taken) // 2**20
    if limit != resource.RLIM_INFINITY and left_mb < LEAST_MB:
        raise UserError(f"a limit leaves {max(0, left_mb)} MB of memory; expected {LEAST_MB} or more (ulimit -v).")


def _flush() -> None:
    """Write what is still to be printed; later, Python would fail by itself. Raises OSError if that cannot be."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            error.filename = "the output"
            raise


def _interrupt_once() -> None:
    """Ctrl-C ends a command; a second one, while it tidies up, changes nothing; a third one kills it."""
    presses = 0

    def on_interrupt(number: int, frame: object) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            raise KeyboardInterrupt
        if presses > 2:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    # In the background of a shell it is ignored, and stays so.
    if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, on_interrupt)


def split_command(arguments: list[str]) -> tuple[str, list[str]]:
    """The command and the rest. Without one it is `train`."""
    if arguments and arguments[0] in COMMANDS:
        return arguments[0], arguments[1:]
    if arguments and re.fullmatch(r"[A-Za-z_]+", arguments[0]):
        raise UserError(
            f"{arguments[0]}: no such command; the commands are {', '.join(COMMANDS)}, "
            "and a setting is written KEY=VALUE."
        )
    return "train", arguments


def run_application(command: str, arguments: list[str]) -> None:
    """Hand a command to Hydra, or complete it where the TAB key asks for that."""
    if ("-sc" in arguments or "--shell_completion" in arguments) and complete_line(arguments):
        return
    from shoepair.launch.hydra_app import run_hydra

    run_hydra(command, arguments)


def complete_line(arguments: list[str]) -> bool:
    """Print what the last word of the line may become. Returns False where Hydra is to do it."""
    query = next((argument for argument in arguments if argument.startswith("query=")), None)
    line = os.environ.get("COMP_LINE", "")
    try:
        words = shlex.split(line)[1:] + ([""] if line.endswith(" ") else [])
    except ValueError:  # a quote that is not closed yet
        words = line.split()[1:]
    if query is None or not words:
        return False
    offered: list[str] | None
    fitting = [name for name in COMMANDS if name.startswith(words[0])] if len(words) == 1 else []
    if words[0] in PLAIN_COMMANDS and len(words) > 1:
        offered = options_of(words[0], words[-1])
    elif fitting and words[0]:
        offered = fitting
    else:
        from shoepair.commands.complete import complete  # late: a plain command's options need no schema

        command, rest = (words[0], words[1:]) if words[0] in HYDRA_COMMANDS else ("train", words)
        offered = complete(command, rest)
        if offered is None:  # Hydra knows a line without a command
            os.environ["COMP_LINE"] = " ".join(["shoepair", *rest])
            return False
        offered += fitting
    say(("\n" if query == "query=fish" else " ").join(offered))
    return True


def options_of(command: str, last: str) -> list[str]:
    """The options of a plain command, as its --help lists them."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        importlib.import_module(f"shoepair.commands.{command}").main(["--help"])
    found = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", shown.getvalue()))
    return sorted(option for option in found if option.startswith(last)) if last.startswith("-") else []
