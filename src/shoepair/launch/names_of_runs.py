"""Which file the name of a run (`latest`, a folder) means in a sweep: the same for all its jobs, and when it goes on.

Imports neither torch nor Lightning.
"""

from pathlib import Path

from shoepair.errors import UserError
from shoepair.files import read_json, write_json
from shoepair.runs.packaged import PACKAGED

RECORD = "names_of_runs.json"  # in a sweep's folder


def find_file(name: str, output_dir: str, key: str) -> str:
    from shoepair.runs.find import find_checkpoint  # late: it ranks runs, with numpy

    return str(find_checkpoint(name, output_dir, key=key))


class NamesOfRuns:
    """What names of runs meant when a sweep began. Its jobs are runs as well: looked up again, a name may mean one.

    Attributes:
        files: by names.
    """

    def __init__(self, sweep_dir: Path) -> None:
        self.sweep_dir = sweep_dir
        self.files = read_json(sweep_dir / RECORD) or {}

    def find_file(self, name: str, output_dir: str, key: str) -> str:
        """The file that a name meant when the sweep began, or means now if nobody has asked for it before.

        Args:
            key: what the setting is called.
        Raises:
            UserError: if there is none, if it is gone, or if it is of this sweep.
        """
        known_as = f"latest in {output_dir}" if name == "latest" else name
        known = self.files.get(known_as)
        if isinstance(known, str):
            if not Path(known).is_file():
                raise UserError(
                    f"{key}={name}: when the sweep in {self.sweep_dir} began it meant {known}: no such file."
                )
            return known
        file = find_file(name, output_dir, key)
        if key != "checkpoint" and Path(file).resolve().is_relative_to(self.sweep_dir.resolve()):
            raise UserError(
                f"{key}={name}: {file} lies in the folder of this sweep, whose jobs may train it anew; expected a run "
                "elsewhere, or another hydra.sweep.dir."
            )
        if file != name and name not in PACKAGED:  # these always mean the same
            self.files[known_as] = file
        return file

    def write(self) -> None:
        if self.files:
            write_json(self.sweep_dir / RECORD, self.files)
