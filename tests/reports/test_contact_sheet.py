"""Where the images and the words of a sheet stand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoepair.commands.draw import draw_sheet
from shoepair.data.synthetic.collection import draw_shoes
from shoepair.metrics.predictions import Predictions
from shoepair.reports.contact_sheet import (
    HEADING_PX,
    TITLE_PX,
    Item,
    beside,
    contact_sheet,
    fitting,
    in_rows,
    shoe_image,
)
from shoepair.reports.figures import RED, confident_pairs, draw_pairs

WHITE = (255, 255, 255)


def filled(colour: str, width: int = 20, height: int = 10) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def box_of(sheet: Image.Image, colour: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what has exactly this colour; it must be a whole rectangle."""
    found = (np.asarray(sheet) == np.asarray(filled(colour, 1, 1))[0, 0]).all(axis=2)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    assert found[box[1] : box[3], box[0] : box[2]].all()
    return box


def test_images_stand_in_rows_and_columns_with_gaps_of_the_wanted_size() -> None:
    items = [Item([filled("red"), filled("lime")]), Item([filled("blue")]), Item([filled("cyan")])]
    sheet = contact_sheet(in_rows(items, 2), gap=5, between=3)
    assert box_of(sheet, "red") == (5, 5, 25, 15)
    assert box_of(sheet, "lime") == (28, 5, 48, 15)
    assert box_of(sheet, "blue") == (53, 5, 73, 15)  # as far as the widest item and a gap
    assert box_of(sheet, "cyan") == (5, 20, 25, 30)
    assert sheet.size == (5 + 2 * (43 + 5), 35)


def test_headings_and_titles_take_room_only_where_there_are_any() -> None:
    plain = contact_sheet([("", [Item([filled("red")])])])
    headed = contact_sheet([("Same", [Item([filled("red")])])])
    titled = contact_sheet([("", [Item([filled("red")], "u1")])])
    assert headed.height - plain.height == HEADING_PX and titled.height - plain.height == TITLE_PX
    assert box_of(headed, "red")[1] == box_of(plain, "red")[1] + HEADING_PX
    assert box_of(titled, "red")[1] == box_of(plain, "red")[1] + TITLE_PX


def test_a_row_of_nothing_is_its_heading_alone() -> None:
    with_row = contact_sheet([("Wrong: none", []), ("Right", [Item([filled("red")])])])
    without = contact_sheet([("Right", [Item([filled("red")])])])
    assert with_row.height - without.height == HEADING_PX
    only = np.asarray(contact_sheet([("Wrong: none", [])]))
    assert (only < 128).any() and (only[:, -12:] == 255).all()  # all of it is on the sheet


@pytest.mark.parametrize("words", ["W" * 5, "W" * 60])
def test_words_wider_than_the_images_are_neither_cut_nor_written_over_a_neighbour(words: str) -> None:
    sheet = np.asarray(contact_sheet([(words, [Item([filled("red")], words), Item([filled("red")], words)])]))
    assert (sheet[:, -12:] == 255).all()
    one, other = (contact_sheet([("", [Item([filled("red")], words)] * num)]) for num in (1, 2))
    assert np.array_equal(np.asarray(other)[:, : one.width], np.asarray(one))


def test_letters_with_accents_are_no_boxes() -> None:
    def drawn(heading: str) -> np.ndarray:
        return np.asarray(contact_sheet([(heading, [])]))

    boxes = drawn("\U0010ffff" * 5)  # of no font
    for letters in ("ąęłńś", "ЖЩЮЯЁ", "ΔΘΛΞΩ"):
        assert not np.array_equal(drawn(letters)[:, :20], boxes[:, :20])
        one, other = drawn(letters[0]), drawn(letters[1])
        assert one.shape != other.shape or not np.array_equal(one, other)


def test_whatever_a_name_is_a_sheet_has_one_line_of_it_and_stays_small() -> None:
    item = Item([filled("red")], "x" * 5000 + "\n\x1b[31my")
    sheet = contact_sheet([("Heading\nof two lines", [item])])
    plain = contact_sheet([("Heading", [Item([filled("red")], "x")])])
    assert sheet.width < 1500 and sheet.height == plain.height
    assert fitting("abcdefghij", 10) == "abcdefghij" and fitting("abcdefghijk", 10) == "abcd…ghijk"
    assert fitting("a\nb", 10) == "a\\nb"


def test_a_title_has_its_colour() -> None:
    sheet = np.asarray(contact_sheet([("", [Item([filled("white")], "WWW", "red")])]))
    assert (sheet[..., 0] > 250).all() and (sheet[..., 1] < 20).any()


def test_items_may_hold_one_image_above_the_other_or_two_beside_one_another() -> None:
    tall, flat = Item([filled("red", 20, 40)]), Item([filled("lime"), filled("blue")])
    sheet = contact_sheet([("", [flat, tall]), ("", [flat])], gap=5, between=0)
    assert box_of(sheet, "red") == (50, 5, 70, 45)
    assert np.asarray(sheet)[50, 5].tolist() == [0, 255, 0]  # the next row begins below the tall one
    assert sheet.height == 5 + 45 + 15


def test_images_beside_one_another_are_joined_on_white() -> None:
    joined = beside([filled("red", 2, 3), filled("blue", 4, 1)], between=1)
    assert joined.size == (7, 3)
    assert [joined.getpixel((x, 0)) for x in (1, 2, 3)] == [(255, 0, 0), WHITE, (0, 0, 255)]
    assert joined.getpixel((6, 2)) == WHITE


def test_pixels_keep_their_channels_and_their_shape() -> None:
    pixels = np.zeros((3, 8, 4), dtype=np.uint8)
    pixels[0, :4], pixels[2, 4:] = 255, 255  # red above blue, as two shoes in one photo
    image = shoe_image(pixels, 100)
    assert image.size == (100, 200)
    assert image.getpixel((50, 20)) == (255, 0, 0) and image.getpixel((50, 180)) == (0, 0, 255)
    cut_out = np.concatenate([pixels, np.full((1, 8, 4), 127, dtype=np.uint8)])  # and how much of each the shoe covers
    assert np.array_equal(np.asarray(shoe_image(cut_out, 100)), np.asarray(image))


def test_the_surest_pairs_come_first_wrong_ones_apart() -> None:
    label = np.array([1, 1, 0, 0, 1, 0])
    logit = np.array([2.0, 5.0, 1.0, -3.0, -0.5, 4.0])
    images = np.arange(12, dtype=np.uint8)[:, None, None, None].repeat(3, 1).repeat(2, 2).repeat(2, 3)
    names = [f"u{i}" for i in range(6)]
    left, right = np.arange(6), np.arange(6, 12)
    rows = confident_pairs(Predictions(names, names, names, label, logit), images, left, right, num=2)
    assert [(heading, [item.title for item in items]) for heading, items in rows] == [
        ("Wrong, and surest of it", ["u5: same, 98 %", "u2: same, 73 %"]),
        ("Right, and surest of it: same pairs", ["u1: same, 99 %", "u0: same, 88 %"]),
        ("Right, and surest of it: different pairs", ["u3: different, 95 %"]),
    ]
    assert [item.colour for _, items in rows for item in items] == [RED, RED, "black", "black", "black"]
    shown = [image.getpixel((64, 64)) for image in rows[0][1][0].images]
    assert shown == [(5, 5, 5), (11, 11, 11)]
    none_wrong = confident_pairs(Predictions(names, names, names, label, 2.0 * label - 1), images, left, right)
    assert none_wrong[0] == ("Wrong, and surest of it: none", [])


def test_a_picture_of_pairs_is_a_png(tmp_path: Path) -> None:
    draw_pairs(tmp_path / "pairs.png", [("Same pairs", [Item([filled("red"), filled("blue")])])])
    with Image.open(tmp_path / "pairs.png") as sheet:
        assert sheet.format == "PNG" and box_of(sheet, "blue")[2] - box_of(sheet, "blue")[0] == 20


def test_a_sheet_of_drawn_shoes_shows_each_pair_of_each_person(tmp_path: Path) -> None:
    sets = draw_shoes(num_people=3, num_test_people=0, image_size=112, seed=0, hardness=0.5, cache_dir=tmp_path)
    sheet = np.asarray(draw_sheet(sets))
    images = sets["train"].images.permute(0, 2, 3, 1).numpy()
    for person in range(3):
        for pair in range(3):
            for side in range(2):
                left = 14 + person % 2 * (3 * 224 + 2 * 7 + 14) + pair * (224 + 7) + side * 112
                top = 14 + person // 2 * (112 + 14)
                shown = sheet[top : top + 112, left : left + 112]
                assert np.array_equal(shown, images[6 * person + 2 * pair + side])
