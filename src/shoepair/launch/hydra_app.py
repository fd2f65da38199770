"""The command line: finds the subcommand, hands the rest to Hydra, and turns what the user can mend into one line."""

import contextlib
import importlib
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from shoepair.errors import Diverged, NotLearned, UserError, explain

# Hydra applications: the overrides are Hydra's grammar. The others parse an ordinary command line.
HYDRA_COMMANDS = ("train", "evaluate")
PLAIN_COMMANDS = ("compare", "predict", "match", "export", "draw")
MULTIRUN = {"-m", "--multirun"}

log = logging.getLogger(__name__)


def main() -> None:
    """Run `shoepair [COMMAND] ...`. Ends with exit code 0, 1 (a run failed) or 2 (the user can mend it)."""
    full_error = os.environ.get("HYDRA_FULL_ERROR", "") == "1"
    try:
        command, arguments = split_command(sys.argv[1:])
        if command in PLAIN_COMMANDS:
            importlib.import_module(
                f"shoepair.{'inference.onnx' if command == 'export' else f'commands.{command}'}"
            ).main(arguments)
        else:
            run_hydra(command, arguments)
    except BrokenPipeError:  # as in `shoepair --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("shoepair: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if full_error:
            raise
        message = explain(error)
        if message is None:
            raise
        print(f"shoepair: {message}", file=sys.stderr)
        raise SystemExit(2) from None


def split_command(arguments: list[str]) -> tuple[str, list[str]]:
    """The subcommand and the rest. Without one it is `train`."""
    if arguments and arguments[0] in HYDRA_COMMANDS + PLAIN_COMMANDS:
        return arguments[0], arguments[1:]
    if arguments and re.fullmatch(r"[A-Za-z_]+", arguments[0]):
        raise UserError(
            f"{arguments[0]}: no such command; the commands are {', '.join(HYDRA_COMMANDS + PLAIN_COMMANDS)}, "
            "and a setting is written KEY=VALUE."
        )
    return "train", arguments


def run_hydra(command: str, arguments: list[str]) -> None:
    """Run a Hydra application as if `arguments` were all that was typed."""
    import hydra

    if "-sc" in arguments or "--shell_completion" in arguments:
        command = _strip_command_from_completion(command, arguments)
        if not command:
            return
    if command == "train":
        arguments = _replay_resumed(arguments)
        if any(re.fullmatch(r"sweep=(?!null$).+", a) for a in arguments) and not _asks_instead_of_running(arguments):
            arguments = ["-m", *arguments]
    if MULTIRUN & set(arguments):
        arguments = _as_multirun(arguments)
    task = run_train if command == "train" else run_evaluate
    # Hydra reads sys.argv; Lightning reads it again for the processes it starts, and must find the subcommand.
    typed = sys.argv
    sys.argv = [typed[0], *arguments]
    try:
        with _hydra_raises(), _whole_sweep():
            hydra.main(config_path="pkg://shoepair.conf", config_name=command, version_base="1.3")(task)()
    finally:
        sys.argv = typed


@contextlib.contextmanager
def _whole_sweep() -> Iterator[None]:
    """After a multirun of `train`: its leaderboard, and exit code 1 if a job failed. Nothing after anything else."""
    from shoepair.launch.sweep import Sweep

    Sweep.current = None
    try:
        yield
    except KeyboardInterrupt:
        if Sweep.current is not None:
            print(f"\nGo on with the same command and hydra.sweep.dir={Sweep.current.folder}", file=sys.stderr)
        raise
    except Exception as error:
        if Sweep.current is None or "No trials are completed" not in str(error):  # so Optuna ends when all jobs failed
            raise
    if Sweep.current is not None and not Sweep.current.end():
        raise SystemExit(1)


def _asks_instead_of_running(arguments: list[str]) -> bool:
    """Such as --cfg or --help: Hydra answers these for a single run only."""
    return any(a in ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--run", "-r") or
               a.startswith(("--cfg=", "--info=")) for a in arguments)  # fmt: skip


def run_train(config: DictConfig) -> float | None:
    """The task of every job: its validation accuracy, or None if a job of a multirun failed."""
    from shoepair.launch.job import run_job

    with _inside_task("train"):
        return run_job(config)
    return None


def run_evaluate(config: DictConfig) -> None:
    from shoepair.training.evaluate import evaluate

    with _inside_task("evaluate"):
        evaluate(config)


def run_name(what: str, choices: DictConfig) -> str:
    """Folder name of a new run or sweep: when and what, and never the same twice.

    The last four letters keep two runs apart that start in the same second.
    """
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    chosen = choices.get("experiment") or "-".join(
        str(choices[group]) for group in ("approach", "data") if choices.get(group)
    )
    named = {"train": [chosen], "sweep": ["sweep"]}.get(what, [what, chosen])
    return path_safe("_".join([now, *filter(None, named), secrets.token_hex(2)]))


def run_label(override_dirname: str) -> str:
    """`optimizer.lr=0.001,approach=dual` as `lr-0.001_approach-dual`: safe to type as a value, short to read."""
    parts = [part for part in override_dirname.split(",") if part]
    return path_safe("_".join(f"{key.rpartition('.')[2]}-{_rounded(value)}" for key, _, value in
                              (part.partition("=") for part in parts)))  # fmt: skip


def _rounded(value: str) -> str:
    """Five digits of a number that a search has drawn are enough to know it by."""
    return f"{float(value):.5g}" if re.fullmatch(r"-?\d+\.\d{6,}(e[+-]?\d+)?", value) else value


def path_safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-")[:100]


# At import, so that the processes a launcher starts know them as well.
OmegaConf.register_new_resolver("run_name", run_name, use_cache=True, replace=True)
OmegaConf.register_new_resolver("run_label", run_label, replace=True)


def _replay_resumed(arguments: list[str]) -> list[str]:
    """With `resume=FOLDER`: the overrides that the run was started with, then what was typed now."""
    folder = next((a.partition("=")[2] for a in reversed(arguments) if a.startswith("resume=")), "")
    if folder in ("", "null"):
        return arguments
    recorded = Path(folder, ".hydra", "overrides.yaml")
    if not recorded.is_file():
        raise UserError(f"resume={folder}: expected the folder of an interrupted run; there is no {recorded}.")
    if MULTIRUN & set(arguments):
        raise UserError(f"resume={folder}: expected no multirun; resume one run at a time.")
    loaded: Any = OmegaConf.to_container(OmegaConf.load(recorded))
    now = {a.partition("=")[0].lstrip("+~") for a in arguments if a[0] != "-" and ("=" in a or a[0] == "~")}
    _refuse_changes_to_resumed(folder, now)
    before = [o for o in loaded if o.partition("=")[0].lstrip("+~") not in now]
    started: Any = OmegaConf.load(recorded.with_name("hydra.yaml")).hydra
    job_of_sweep = started.mode == "MULTIRUN"
    if job_of_sweep and not any(o.startswith("test=") for o in [*before, *arguments]):
        before.append("test=false")
    flags = []
    if not any(a.partition("=")[0] in ("--config-dir", "-cd") for a in arguments):
        own = [source.path for source in started.runtime.config_sources if source.provider == "command-line"]
        flags = [flag for path in own for flag in ("--config-dir", path)]
    place = next(i for i, a in enumerate(arguments) if a.startswith("resume="))  # overrides must stand side by side
    return [*flags, *arguments[:place], *before, f"hydra.run.dir={folder}", *arguments[place:]]


def _refuse_changes_to_resumed(folder: str, keys: set[str]) -> None:
    """Before Hydra notes down what was typed. What has changed in files is looked for when all is composed."""
    from shoepair.launch.job import may_change

    allowed = may_change(OmegaConf.load(Path(folder, ".hydra", "config.yaml")).scheduler._target_)
    refused = sorted(key for key in keys - allowed if not key.startswith("hydra."))
    if refused:
        raise UserError(
            f"{refused[0]} cannot be changed by resume: the run goes on as it was started; a new run can change it."
        )


def _as_multirun(arguments: list[str]) -> list[str]:
    """-m first, and one more override, which keeps what is the same for all jobs out of the names of their folders.

    Hydra's parser wants all overrides side by side: the new one goes to the others, wherever flags stand.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    arguments = ["-m", *(a for a in arguments if a not in MULTIRUN)]
    places = [i for i, a in enumerate(arguments) if "=" in a and a[0] != "-"]
    try:
        overrides = OverridesParser.create().parse_overrides([arguments[i] for i in places])
    except OverrideParseException:
        return arguments  # Hydra will say what is wrong
    fixed = [override.get_key_element() for override in overrides if not override.is_sweep_override()]
    naming = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(['output_dir', *fixed])}]"
    after = places[-1] + 1 if places else len(arguments)
    return [*arguments[:after], naming, *arguments[after:]]


def _strip_command_from_completion(command: str, arguments: list[str]) -> str:
    """Hydra completes a line without subcommand: take it out, or complete the subcommand itself."""
    line = os.environ.get("COMP_LINE", "")
    program, *words = line.split() or [""]
    if not words or not any(argument.startswith("query=") for argument in arguments):
        return command
    last_word_is_open = not line.endswith(" ")
    if len(words) == 1 and last_word_is_open:
        fitting = [name for name in HYDRA_COMMANDS + PLAIN_COMMANDS if name.startswith(words[0])]
        if fitting:
            print(" ".join(fitting))
            return ""
    if words[0] in PLAIN_COMMANDS:
        return ""
    if words[0] in HYDRA_COMMANDS:
        command, *words = words
        os.environ["COMP_LINE"] = " ".join([program, *words]) + ("" if words and last_word_is_open else " ")
    return command


@contextlib.contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise its errors instead of printing them, so that `main` can say them in one line."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


@contextlib.contextmanager
def _inside_task(command: str) -> Iterator[None]:
    """What holds while a task runs under Hydra.

    Lightning starts further processes (ddp) with sys.argv: it gets the subcommand back. What the user can mend leaves
    a single run as SystemExit, since Hydra adds lines to every exception. A job of a multirun of `train` that fails
    says so in its own log and ends like any other: the others go on, whatever the sweeper does with exceptions.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    in_sweep = command == "train" and HydraConfig.get().mode == RunMode.MULTIRUN
    without = sys.argv
    sys.argv = [without[0], command, *without[1:]]
    try:
        yield
    except Exception as error:
        is_said = isinstance(error, UserError | NotLearned | Diverged)  # its message is all there is to know
        if in_sweep:
            log.error("Failed: %s: %s", type(error).__name__, error, exc_info=not isinstance(error, UserError))
        elif not is_said or HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        elif isinstance(error, NotLearned):
            print(f"\n{error}")
            raise SystemExit(1) from None
        else:
            print(f"shoepair: {error}", file=sys.stderr)
            raise SystemExit(2 if isinstance(error, UserError) else 1) from None
    finally:
        sys.argv = without
