"""How photos lie in folders and tables, and whether they do. Needs no torch."""

import re
from pathlib import Path

from shoepair.config.schema import TABLE_COLUMNS
from shoepair.errors import UserError
from shoepair.files import is_file, is_folder, read_rows

LEFT, RIGHT = "left", "right"
SPLITS = ("train", "test_m", "test_w")
NAME = re.compile(r"(?P<person>u\d+)_(?P<pair>\d+)_(?P<side>left|right)_(?P<kind>[mw])\.(?:jpe?g|png)", re.IGNORECASE)

# What systems and archives leave beside photos, besides hidden files (.DS_Store, ._photo.jpg) and office's ~$ files.
DEBRIS = {
    "__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "folder.ini", "@eadir",
    "$recycle.bin", "recycler", "system volume information", "lost+found",
}  # fmt: skip


def is_debris(path: Path) -> bool:
    """Whether a file or folder is none of a person's own."""
    return path.name.startswith((".", "~$")) or path.name.lower() in DEBRIS


def files_in(folder: Path) -> list[Path]:
    """What lies in a folder, by name: no folders, no debris; other things that are no files are there, to be named.

    Raises:
        UserError: if it cannot be looked at.
    """
    try:
        return [path for path in sorted(folder.iterdir()) if not is_debris(path) and not is_folder(path)]
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}; expected a folder of photos.") from error


def check_photo_root(root: str) -> None:
    """Raises UserError unless `root` is a folder with a folder train/ in it."""
    if not is_folder(root):
        raise UserError(f"data.root={root}: no such folder; set data.root to the folder that holds train/.")
    if not is_folder(Path(root, "train")):
        raise UserError(
            f"data.root={root}: there is no folder train/ in it; set data.root to the folder that holds train/, "
            "or fetch the photos of the course by data.download=true."
        )


def check_table(file: str) -> None:
    """Raises UserError unless `file` is a CSV file with the columns of data=table."""
    if not is_file(file):
        raise UserError(f"data.file={file}: no such file; set data.file to a CSV file with a row for each shoe.")
    read_rows(file, TABLE_COLUMNS)
