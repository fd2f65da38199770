"""The page on which a person looks through what `shoepair match` found, and says what is right and what is wrong.

Pictures, style and script stand in the page itself, so that it is one file that needs no other; a heap too large for
that comes in several parts with the pictures beside them. A page fetches nothing from elsewhere, and names are text
only: its Content-Security-Policy allows no script but its own. pages/match.js is what the buttons do.
"""

import base64
import hashlib
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shoepair.files import digest, replacing
from shoepair.metrics.scores import logit_of, probability_in_percent
from shoepair.progress import progress
from shoepair.reports.matches import ShownMatch, ShownShoe, ShownSingle, is_of_match
from shoepair.texts import DEFAULT, Texts, counted, load_texts

PAGES = Path(__file__).parent / "pages"
ONE_PAGE = 500  # shoes, up to which there is one page with its pictures inside
THUMBNAIL_PX, SMALL_THUMBNAIL_PX = 360, 144  # in one page pictures are enlarged as they are, in parts as the photos are
LEFT_OUT_NAMED = 20  # of more photos, only how many
PAIRS_A_PART, SINGLES_A_PART = 200, 400
UNSURE_MARGIN = 1.0  # a runner-up, or the threshold, whose odds are within a factor of e: the pair may well be wrong


def thumbnail_px(num_shoes: int) -> int:
    """Longer side of the pictures in the page of a heap."""
    return THUMBNAIL_PX if num_shoes <= ONE_PAGE else SMALL_THUMBNAIL_PX


def write_page(
    path: Path,
    matches: Sequence[ShownMatch],
    singles: Sequence[ShownSingle],
    *,
    gallery: str,
    threshold: float,
    left_out: Sequence[str] = (),
    language: str = DEFAULT,
) -> list[Path]:
    """One page of up to ONE_PAGE shoes, or its parts: pairs in the order given, then single shoes.

    Args:
        path: of the page, or of its first part; the others are `<stem>_2.html`, ..., their pictures in `<stem>_photos`.
        gallery: what was matched, in words.
        threshold: the probability that a pair must reach.
        left_out: names of photos that were not matched.
    Returns:
        The pages that were written. Those of an earlier heap are removed.
    """
    _remove_parts(path)
    embedded = 2 * len(matches) + len(singles) <= ONE_PAGE
    parts = _in_parts(matches, singles, embedded)
    texts = load_texts(language)
    whole = _whole(matches, singles, texts, threshold) | {
        "language": language, "embedded": embedded, "title": texts["match"]["title"].format(gallery=gallery),
        "left_out": left_out[:LEFT_OUT_NAMED], "num_more_left_out": len(left_out[LEFT_OUT_NAMED:]),
    }  # fmt: skip
    template = templates_in(PAGES).get_template("match.html")
    files = [_part_path(path, number) for number in range(1, len(parts) + 1)]
    each = progress(zip(files, parts, strict=True), "Pages", "page", len(parts))
    for number, (file, (some_matches, some_singles)) in enumerate(each, 1):
        pictures = _Pictures(None if embedded else _photo_folder(path) / f"{number}")
        text = template.render(
            whole,
            parts={"number": number, "all": len(parts), "links": _links(files, number)},
            pairs=[_pair(i, m, pictures, texts, threshold) for i, m in some_matches],
            singles=[_single(s, pictures, texts) for s in some_singles],
        )
        with replacing(file) as partial:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # names in other encodings, too
    return files


Part = tuple[list[tuple[int, ShownMatch]], list[ShownSingle]]  # pairs with their numbers, and single shoes


def _in_parts(matches: Sequence[ShownMatch], singles: Sequence[ShownSingle], in_one: bool) -> list[Part]:
    numbered = list(enumerate(matches, 1))
    if in_one:
        return [(numbered, list(singles))]
    parts: list[Part] = []
    for start in range(0, len(numbered), PAIRS_A_PART):
        parts.append((numbered[start : start + PAIRS_A_PART], []))
    for start in range(0, len(singles), SINGLES_A_PART):
        parts.append(([], list(singles[start : start + SINGLES_A_PART])))
    return parts


def templates_in(folder: Path) -> Environment:
    """Whatever is put into a page is escaped."""
    return Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _whole(
    matches: Sequence[ShownMatch], singles: Sequence[ShownSingle], texts: Texts, threshold: float
) -> dict[str, Any]:
    """What all parts share."""
    return {
        "t": texts,
        "key": _key(matches),
        "num_pairs": len(matches),
        "num_unsure": sum(m.unsure for m in matches),
        "pairs_counted": counted(texts, len(matches), "pair"),
        "singles_counted": counted(texts, len(singles), "single"),
        "threshold": threshold,
        "percent": partial(probability_in_percent, under_one=texts["percent"]["under_one"]),
        "keys": {what: letter.upper() for what, letter in texts["keys"].items()},
        "script_texts": _script_texts(texts),
        **_inline("style", "match.css"),
        **_inline("script", "match.js"),
    }


def _part_path(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_stem(f"{path.stem}_{number}")


def _photo_folder(path: Path) -> Path:
    return path.with_name(f"{path.stem}_photos")


def _remove_parts(path: Path) -> None:
    for old in path.parent.glob(f"{path.stem}_*{path.suffix}"):
        if old.stem.removeprefix(f"{path.stem}_").isdigit() and is_of_match(old):
            old.unlink()
    shutil.rmtree(_photo_folder(path), ignore_errors=True)


def _links(files: Sequence[Path], number: int) -> list[tuple[str, str]]:
    """The keys of the texts of the parts that can be reached from one, and their files."""
    wanted = {"first": 1, "previous": number - 1, "next": number + 1, "last": len(files)}
    return [(what, files[n - 1].name) for what, n in wanted.items() if 1 <= n <= len(files) and n != number]


def _key(matches: Sequence[ShownMatch]) -> str:
    """Another one for other pairs or other photos of the same names: a browser keeps what is said of all pages of this
    machine in one place."""
    shoes = [shoe for m in matches for shoe in (m.left, m.right)]
    return digest(part for shoe in shoes for part in (shoe.name.encode(errors="surrogatepass"), shoe.jpeg))[:16]


def _script_texts(texts: Texts) -> dict[str, Any]:
    """The part of the texts that the script uses."""
    said = {name: text for name, text in texts["review"].items() if name.startswith("said_")}
    keys = {letter: what for what, letter in texts["keys"].items()}
    alts = {name: texts["match"][name] for name in ("alt_left", "alt_right")}
    review = {name: texts["review"][name] for name in ("progress", "at", "end", "forget_sure")}
    return {**said, **alts, **review, "keys": keys}


def _inline(what: str, file: str) -> dict[str, str]:
    """A file to stand in the page, and what the page's policy knows it by."""
    text = (PAGES / file).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {what: Markup(text), f"{what}_hash": f"sha256-{digest}"}


class _Pictures:
    """Addresses of pictures: themselves, or files in a folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.written: dict[tuple[str, str], str] = {}
        if folder is not None:
            folder.mkdir(parents=True)

    def address(self, jpeg: bytes, name: str, kind: str) -> str:
        if self.folder is None:
            return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
        if (name, kind) not in self.written:
            file = self.folder / f"{len(self.written):04}.jpg"
            file.write_bytes(jpeg)
            self.written[name, kind] = _address(f"{self.folder.parent.name}/{self.folder.name}/{file.name}")
        return self.written[name, kind]

    def of(self, shoe: ShownShoe) -> dict[str, Any]:
        """What the page says of a shoe."""
        large = None
        if self.folder is not None and shoe.path is not None:  # the photo itself, as long as it stays where it is
            large = _address(os.path.relpath(shoe.path.absolute(), self.folder.parent.parent.absolute()))
        return {
            **_names(shoe),
            "picture": self.address(shoe.jpeg, shoe.name, "photo"),
            "cut_out": shoe.cut_out and self.address(shoe.cut_out, shoe.name, "cut-out"),
            "large": large,
        }


def _address(path: str) -> str:
    """A relative path as a page links to it, byte by byte, since a name need not be UTF-8."""
    return quote(os.fsencode(path))


def _names(shoe: ShownShoe) -> dict[str, Any]:
    return {"name": shoe.name, "short": Path(shoe.name).stem, "picture": None}


def _pair(number: int, m: ShownMatch, pictures: _Pictures, texts: Texts, threshold: float) -> Mapping[str, Any]:
    runner_up = None
    if m.runner_up is not None:  # as a picture only where it is needed
        runner_up = pictures.of(m.runner_up) if m.unsure else _names(m.runner_up)
    return {
        "number": number,
        "left": pictures.of(m.left),
        "right": pictures.of(m.right),
        "probability": m.probability,
        "unsure": m.unsure,
        "reasons": _reasons(m, texts, threshold),
        "runner_up": runner_up,
        "runner_up_probability": m.runner_up_probability,
    }


def _reasons(m: ShownMatch, texts: Texts, threshold: float) -> list[str]:
    """Why a pair is doubtful, each to stand within a sentence."""
    if not m.unsure:
        return []
    reasons = []
    logit = logit_of(m.probability)
    ahead = math.inf if m.runner_up_probability is None else logit - logit_of(m.runner_up_probability)
    if ahead < UNSURE_MARGIN:
        reasons.append(texts["match"]["runner_up_near" if ahead >= 0 else "runner_up_better"])
    above = logit - logit_of(threshold)
    if above < UNSURE_MARGIN:
        percent = probability_in_percent(threshold, texts["percent"]["under_one"])
        reasons.append(texts["match"]["hardly_above" if above >= 0 else "below"].format(percent=percent))
    for side, shoe in (("left", m.left), ("right", m.right)):
        if shoe.doubt is not None:
            reasons.append(texts["photos"][side].format(doubt=texts["doubts"][shoe.doubt]))
    return reasons or [texts["match"]["not_sure"]]


def _single(s: ShownSingle, pictures: _Pictures, texts: Texts) -> Mapping[str, Any]:
    doubt = None if s.shoe.doubt is None else texts["photos"]["single"].format(doubt=texts["doubts"][s.shoe.doubt])
    return {
        "shoe": pictures.of(s.shoe),
        "nearest": None if s.nearest is None else s.nearest.name,
        "probability": s.probability,
        "doubt": doubt,
    }
