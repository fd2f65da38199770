"""`shoepair draw`: drawn shoes as files, in the layout that data=photos reads, and a sheet to look at."""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from shoepair.commands.options import Parser
from shoepair.config.messages import accepts, allowed
from shoepair.config.schema import SyntheticSettings
from shoepair.config.typed import as_typed
from shoepair.data.synthetic.render import DRAWN_SIZE_PX
from shoepair.errors import UserError
from shoepair.files import replacing
from shoepair.reports.contact_sheet import Item, beside, contact_sheet, in_rows, shoe_image
from shoepair.terminal import say

if TYPE_CHECKING:  # it imports torch, which an answer about a mistyped option need not wait for
    from shoepair.data.shoes import ShoeSet

SHEET_PEOPLE, SHEET_COLUMNS, SHEET_SHOE_PX, SHEET_GAP_PX = 24, 2, 112, 7
OPTIONS = {
    "people": "num_people",
    "test_people": "num_test_people",
    "seed": "seed",
    "hardness": "hardness",
    "own_scenes": "own_scenes",
    "size": "image_size",
}


def main(arguments: Sequence[str]) -> None:
    defaults: Any = OmegaConf.create((files("shoepair.conf") / "data" / "synthetic.yaml").read_text(encoding="utf-8"))
    parser = Parser(
        prog="shoepair draw",
        description="Draw shoes and write them as files: DIR/train, DIR/test_m and DIR/test_w with names such as "
        "u001_1_left_m.png, and a contact sheet. The same options always give the same shoes; they are those that "
        "data=synthetic draws.",
        epilog="Example: shoepair draw drawn --people 8, then shoepair train data=photos data.root=drawn",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the files go; made if it is not there")
    parser.add_argument(
        "--people", type=int, metavar="N", help="in train, three pairs each", default=defaults.num_people
    )
    parser.add_argument(
        "--test-people", type=int, metavar="N", help="in each of test_m and test_w", default=defaults.num_test_people
    )
    parser.add_argument("--seed", type=int, metavar="N", help="decides every shoe", default=defaults.seed)
    parser.add_argument(
        "--hardness", type=float, metavar="H", default=defaults.hardness,
        help="from 0 (colours tell a person's pairs apart) to 1 (their colours are alike)",
    )  # fmt: skip
    parser.add_argument(
        "--own-scenes", type=float, metavar="P", default=defaults.own_scenes,
        help="chance that a shoe lies on a floor of its own, in its own light",
    )  # fmt: skip
    parser.add_argument("--size", type=int, metavar="PX", help="side of the images", default=DRAWN_SIZE_PX)
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", default=argparse.SUPPRESS,
        help=f"the contact sheet of the first {SHEET_PEOPLE} people, .png or .jpg (default: DIR/sheet.png)",
    )  # fmt: skip
    options = vars(parser.parse_args(arguments))
    for option, key in OPTIONS.items():
        _check(option, options[option], key)
    sheet = options.pop("sheet", options["folder"] / "sheet.png")
    if sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--sheet={sheet}: expected a name that ends in .png or .jpg.")
    say(draw(**options, sheet=sheet))


def draw(
    folder: Path,
    *,
    people: int,
    test_people: int,
    seed: int,
    hardness: float,
    own_scenes: float,
    size: int,
    sheet: Path,
) -> str:
    """Draw, write, and say what was written.

    Raises:
        UserError: if the folder holds photos already.
    """
    refuse_used(folder)
    from shoepair.data.synthetic.collection import draw_shoes

    sets = draw_shoes(
        num_people=people,
        num_test_people=test_people,
        image_size=size,
        seed=seed,
        hardness=hardness,
        own_scenes=own_scenes,
    )
    write_photos(folder, sets)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    with replacing(sheet) as partial:
        kind = "PNG" if sheet.suffix.lower() == ".png" else "JPEG"
        draw_sheet(sets).save(partial, kind, quality=82)
    num_shoes = sum(len(shoes.shoes) for shoes in sets.values())
    return (
        f"Drawn    {num_shoes} shoes into {', '.join(f'{folder}/{split}' for split in sets)}\n"
        f"Sheet    {sheet}\n"
        f"Train    shoepair train data=photos {as_typed('data.root', folder)}"
    )


def refuse_used(folder: Path) -> None:
    """Raises UserError if there is a file where photos go: two data sets in one folder are none."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: expected a folder, or the name of a new one; this is a file.")
    for split in ("train", "test_m", "test_w"):
        first = next(Path(folder, split).glob("*"), None)
        if first is not None:
            raise UserError(f"{folder}: there are photos in it already, such as {first}; choose another folder.")


def write_photos(folder: Path, sets: Mapping[str, "ShoeSet"]) -> None:
    """One PNG for each shoe, in the folder of its split."""
    for split, shoes in sets.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        pixels = shoes.images.permute(0, 2, 3, 1).numpy()  # (num_shoes, H, W, 3)

        paths = [folder / split / f"{shoe.name}.png" for shoe in shoes.shoes]
        with ThreadPoolExecutor() as pool:  # pillow compresses without the interpreter lock
            list(pool.map(_write_png, paths, pixels))


def _write_png(path: Path, pixels: np.ndarray) -> None:
    with replacing(path) as partial:
        Image.fromarray(pixels).save(
            partial, "PNG", compress_level=2
        )  # lossless either way; 6, the default, takes much longer


def draw_sheet(sets: Mapping[str, "ShoeSet"]) -> Image.Image:
    """The first people's pairs: left and right of one pair side by side, one person's pairs in a row."""
    people = [(shoes, person) for shoes in sets.values() for person in shoes.people][:SHEET_PEOPLE]
    items = []
    for shoes, person in people:
        pairs = [[shoe_image(shoes.images[i].numpy(), SHEET_SHOE_PX) for i in pair] for pair in shoes.pairs_of[person]]
        items.append(Item([beside(pair) for pair in pairs]))
    return contact_sheet(in_rows(items, SHEET_COLUMNS), gap=2 * SHEET_GAP_PX, between=SHEET_GAP_PX)


def _check(option: str, value: object, key: str) -> None:
    field = SyntheticSettings.model_fields[key]
    if not accepts(field, value):
        raise UserError(f"--{option.replace('_', '-')}={value}: expected {allowed(field)}.")
