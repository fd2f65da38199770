import errno
import io
import logging
import os
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from settings import train_settings

from shoepair.data import photos as photos_module
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.data.photos import open_upright, pad_to_square, read_photos, read_square, to_square, upright
from shoepair.data.synthetic.collection import draw_shoes
from shoepair.errors import UserError


@pytest.fixture
def photos(drawn_photos: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(drawn_photos, tmp_path / "photos"))


def test_photos_are_read_back_as_they_were_drawn(drawn_photos: Path) -> None:
    drawn = draw_shoes(num_people=4, num_test_people=1, image_size=64, seed=0, hardness=0.5)
    read = read_photos(drawn_photos, 64)
    assert list(read) == ["train", "test_m", "test_w"]
    for split in drawn:
        assert read[split].shoes == drawn[split].shoes
        assert torch.equal(read[split].images, drawn[split].images)


def test_absent_test_folders_are_noted_and_only_train_is_required(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(photos / "test_m")
    shutil.rmtree(photos / "test_w")
    with caplog.at_level(logging.INFO):
        assert list(read_photos(photos, 64)) == ["train"]
    assert "test_m" in caplog.text and "test_w" in caplog.text
    shutil.rmtree(photos / "train")
    with pytest.raises(UserError, match="no folder train/"):
        read_photos(photos, 64)


def test_what_is_left_out_is_named(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = photos / "train"
    a_photo = next(train.glob("u001_1_left_*.png"))
    duplicate = train / f"{a_photo.stem} (1).jpg"
    shutil.copy(a_photo, duplicate)
    same_shoe = train / "u001_1_left_w.jpeg" if "_m" in a_photo.name else train / "u001_1_left_m.jpeg"
    Image.open(a_photo).save(same_shoe)
    broken = next(train.glob("u002_1_left_*.png"))
    broken.write_bytes(b"no image at all")
    (train / "notes.txt").write_text("shoes")
    dangling = train / "u009_1_left_m.jpg"
    dangling.symlink_to(train / "nowhere.jpg")
    lonely = next(train.glob("u003_3_right_*.png"))
    missing = next(train.glob("u003_3_left_*.png"))
    missing.unlink()
    shoes = read_photos(photos, 64)["train"]
    for left_out in (duplicate, broken, dangling, train / "notes.txt", lonely):
        assert str(left_out) in caplog.text
    assert "a second photo of the shoe" in caplog.text
    assert len(shoes.images) == 24 - 2 - 2
    assert len(shoes.pairs_of["u001"]) == 3 and len(shoes.pairs_of["u002"]) == 2 and len(shoes.pairs_of["u003"]) == 2


def test_a_person_in_two_folders_is_refused(photos: Path) -> None:
    for photo in (photos / "train").glob("u001_*"):
        shutil.copy(photo, photos / "test_w" / photo.name)
    with pytest.raises(UserError, match="u001 stands in both train and test_w"):
        read_photos(photos, 64)


def test_a_folder_without_a_pair_is_one_clear_error(photos: Path) -> None:
    for photo in (photos / "test_m").iterdir():
        photo.unlink()
    with pytest.raises(UserError, match="test_m: no complete pair"):
        read_photos(photos, 64)


def test_rgba_inside_a_jpg_loses_its_alpha(tmp_path: Path) -> None:
    path = tmp_path / "shoe.jpg"
    Image.new("RGBA", (8, 8), (200, 100, 50, 0)).save(path, format="PNG")
    assert read_square(path, 8)[:, 0, 0].tolist() == [200, 100, 50]


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), "black")
    image.paste("white", (0, 0, 16, 8))  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = read_square(tmp_path / "turned.png", 16)
    assert upright[:, :, 12:].min() == 255 and upright[:, :, :4].max() == 0  # white to the right


def test_a_photo_that_is_not_square_is_padded_with_its_edge_colour() -> None:
    image = Image.new("RGB", (10, 4), (10, 20, 30))
    image.putpixel((0, 0), (255, 0, 0))
    padded = np.asarray(pad_to_square(image))
    assert padded.shape == (10, 10, 3)
    assert padded[:4, 0].tolist() == [[255, 0, 0]] * 4  # three rows above repeat the first
    assert padded[4:, :].reshape(-1, 3).tolist() == [[10, 20, 30]] * 60
    assert pad_to_square(image.rotate(90, expand=True)).size == (10, 10)


@pytest.mark.parametrize("fold", [None, 0, 1, 2, 3, 4])
def test_no_person_appears_in_two_splits_of_the_real_photos(real_photos: Path, fold: int | None) -> None:
    typed = ("data=photos", f"data.root={real_photos}", "data.image_size=16")
    datamodule = ShoePairDataModule(
        train_settings(*typed, f"data.fold={'null' if fold is None else fold}").data, seed=0
    )
    datamodule.setup()
    people = datamodule.people
    assert sum(len(names) for names in people.values()) == 113 == len(set().union(*people.values()))
    assert (len(people["test_m"]), len(people["test_w"])) == (10, 10)
    if fold is None:
        assert (len(people["train"]), len(people["val"])) == (74, 19)
        assert len(datamodule.pairs["val"]) == 114
    for split, pairs in datamodule.pairs.items():
        shoes = datamodule.shoes[split].shoes
        for left, right, label in zip(pairs.left, pairs.right, pairs.label, strict=True):
            assert shoes[left].person == shoes[right].person and shoes[left].person in people[split]
            assert (shoes[left].pair == shoes[right].pair) == (label == 1)
            assert (shoes[left].side, shoes[right].side) == ("left", "right")


@pytest.mark.parametrize("mode", Image.MODES)
def test_every_kind_of_pixels_keeps_its_brightness_or_is_refused_by_name(mode: str) -> None:
    """What pillow makes of the same picture in each of its modes; of 16 bits, the same in 16 bits."""
    picture = Image.fromarray(np.linspace(40, 200, 32 * 32).reshape(32, 32).astype(np.uint8))
    if mode.startswith("I"):
        image = Image.fromarray(np.asarray(picture).astype(np.uint16 if ";" in mode else np.int32) * 257)
    elif mode == "LAB":
        image = Image.new("LAB", (32, 32))
    else:
        through = {"RGBa": "RGBA", "La": "LA", "PA": "P"}.get(mode)
        image = (picture.convert(through) if through else picture).convert(mode)
    if mode in ("F", "LAB"):
        with pytest.raises(UserError, match=f"of the kind {mode}, which does not say what is white"):
            upright(image)
        return
    assert np.asarray(upright(image)).mean() == pytest.approx(120, abs=8 if mode in ("1", "P", "PA") else 2)


def test_sixteen_bits_in_a_file_are_not_cut_off(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    for name in ("photo.png", "photo.tif"):
        Image.fromarray(values).save(tmp_path / name)
        square = read_square(tmp_path / name, 64)
        assert square.mean() == pytest.approx(127, abs=1.5) and len(np.unique(square)) > 200


@pytest.mark.parametrize(("width", "height"), [(20_000, 10), (1, 60_000), (3, 2), (1, 1), (101, 100)])
def test_a_strip_is_scaled_before_it_is_padded(width: int, height: int) -> None:
    started = time.perf_counter()
    square = to_square(Image.new("RGB", (width, height), (200, 100, 50)), 56)
    assert square.shape == (3, 56, 56) and (square == np.array([200, 100, 50])[:, None, None]).all()
    assert time.perf_counter() - started < 2


def test_what_is_no_regular_file_is_left_out_and_nothing_hangs(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = photos / "train" / "u777_1_left_m.jpg"
    os.mkfifo(pipe)
    (photos / "train" / "u777_1_right_m.jpg").symlink_to("/dev/zero")
    assert len(read_photos(photos, 64)["train"].images) == 24
    assert caplog.text.count("it is no regular file") == 2


@pytest.mark.parametrize(
    "odd",
    [(0x0100, 2, 4, 0x00313233), (0x011A, 2, 4, 0x31323334), (0x0111, 2, 3, 0x00414243), (0x010E, 5, 1, 2),
     (0x0131, 12, 1, 3), (0x8769, 4, 1, 999)],
)  # fmt: skip
def test_a_turned_photo_with_another_odd_tag_is_upright(tmp_path: Path, odd: tuple[int, int, int, int]) -> None:
    """Most of these pillow's own exif_transpose cannot write back."""
    tags = b"".join(struct.pack("<HHII", *tag) for tag in ((0x0112, 3, 1, 6), odd))
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 2) + tags + b"\0\0\0\0"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    seen = open_upright(tmp_path / "turned.png")
    assert seen.size == (8, 12) and np.array_equal(np.asarray(seen), np.rot90(pixels, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)).save(file, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    assert np.array_equal(np.asarray(upright(Image.open(file))), expected)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_photo_is_turned_once_however_often_it_is_looked_at(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stripes = Image.new("RGB", (40, 24), "white")
    stripes.paste("black", (0, 0, 40, 8))
    stripes.save(tmp_path / "photo", kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(as_png(stripes, exif)))).convert("L")
    seen = open_upright(tmp_path / "photo")
    for again in (seen, upright(seen), upright(seen.crop((0, 0, *seen.size)))):
        assert again.size == expected.size
        assert np.abs(np.asarray(again.convert("L")).astype(int) - np.asarray(expected)).mean() < 8


def as_png(image: Image.Image, exif: Image.Exif) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    return file.getvalue()


def test_what_the_machine_lacked_is_not_said_of_the_photo(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"  # empty: other tests have read the same photos
    for error, raised in ((MemoryError(), MemoryError), (OSError(errno.EMFILE, ""), UserError)):

        def lacking(*arguments: object, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch, pytest.raises(raised):
            patch.setattr(photos_module, "read_square", lacking)
            read_photos(photos, 64, cache)
    assert len(read_photos(photos, 64, cache)["train"].images) == 24


def test_a_photo_too_large_for_pillow_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (20_000, 10_000), (10, 200, 30)).save(tmp_path / "huge.jpg", quality=50)
    square = read_square(tmp_path / "huge.jpg", 32)
    assert np.abs(square.astype(int) - np.array([10, 200, 30])[:, None, None]).max() < 4


@pytest.mark.parametrize(
    ("size", "longest", "decoded"),
    [((1600, 1200), 200, (200, 150)), ((1600, 1200), 201, (400, 300)), ((1201, 1600), 448, (601, 800)),
     ((300, 400), 401, (300, 400)), ((1600, 9), 100, (200, 2))],
)  # fmt: skip
def test_a_jpeg_file_is_decoded_at_the_smallest_size_that_is_enough(
    tmp_path: Path, size: tuple[int, int], longest: int, decoded: tuple[int, int]
) -> None:
    for mode in ("RGB", "L", "CMYK"):
        Image.new(mode, size).save(tmp_path / "photo.jpg")
        assert open_upright(tmp_path / "photo.jpg", longest).size == decoded
    assert open_upright(tmp_path / "photo.jpg").size == size
    Image.new("RGB", size).save(tmp_path / "photo.png")
    assert open_upright(tmp_path / "photo.png", longest).size == size


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_file_looks_as_if_it_were_decoded_whole(tmp_path: Path, orientation: int) -> None:
    small = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(small).resize((1600, 1200), Image.Resampling.BICUBIC)
    image.save(tmp_path / "photo.jpg", quality=92, exif=exif)
    quick, whole = read_square(tmp_path / "photo.jpg", 64), to_square(open_upright(tmp_path / "photo.jpg"), 64)
    difference = np.abs(quick.astype(int) - whole)
    assert difference.mean() < 1 and difference.max() < 12
