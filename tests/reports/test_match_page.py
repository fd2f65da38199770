"""The page of a heap: what it says, its parts, its languages; and in a real browser, what its buttons and keys do."""

import io
import os
import re
import string
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from PIL import Image
from real_browser import Browser

from shoepair.inference.doubts import REMEDIES
from shoepair.reports.match_page import ONE_PAGE, PAIRS_A_PART, write_page
from shoepair.reports.matches import ShownMatch, ShownShoe, ShownSingle, write_tables
from shoepair.texts import languages, load_texts


def shown(name: str, colour: str = "red", doubt: str | None = None, path: Path | None = None) -> ShownShoe:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "JPEG")
    return ShownShoe(name, file.getvalue(), doubt=doubt, path=path)


def pairs(num_pairs: int) -> list[ShownMatch]:
    left, right = shown("l", "red"), shown("r", "blue")
    return [
        ShownMatch(ShownShoe(f"l{i}.jpg", left.jpeg), ShownShoe(f"r{i}.jpg", right.jpeg), 0.9, None, None, unsure=False)
        for i in range(1, num_pairs + 1)
    ]


def texts_of(table: object) -> dict[str, str]:
    if isinstance(table, dict):
        return {f"{name}.{rest}": text for name, part in table.items() for rest, text in texts_of(part).items()}
    return {"": str(table)}


@pytest.mark.parametrize("language", set(languages()) - {"en"})
def test_a_language_says_all_that_english_says(language: str) -> None:
    english, other = texts_of(load_texts("en")), texts_of(load_texts(language))
    assert other.keys() == english.keys()
    for name, text in english.items():
        fields = {field for _, field, _, _ in string.Formatter().parse(text) if field}
        assert {field for _, field, _, _ in string.Formatter().parse(other[name]) if field} == fields, name


@pytest.mark.parametrize("language", languages())
def test_a_language_knows_every_doubt_and_gives_each_key_one_meaning(language: str) -> None:
    texts = load_texts(language)
    assert list(texts["doubts"]) == list(REMEDIES)
    letters = [key.lower() for key in texts["keys"].values()]
    assert len(set(letters)) == len(letters) and all(len(key) == 1 for key in letters)


def test_a_doubtful_pair_says_why(tmp_path: Path) -> None:
    matches = [
        ShownMatch(shown("a.jpg"), shown("b.jpg"), 0.95, shown("c.jpg"), 0.94, unsure=True),
        ShownMatch(shown("d.jpg"), shown("e.jpg"), 0.55, shown("f.jpg"), 0.0001, unsure=True),
        ShownMatch(shown("g.jpg"), shown("h.jpg", doubt="is blurred"), 0.99, None, None, unsure=True),
        ShownMatch(shown("i.jpg"), shown("j.jpg"), 0.99, shown("k.jpg"), 0.2, unsure=False),
        ShownMatch(shown("l.jpg"), shown("m.jpg"), 0.8, None, None, unsure=True),
        ShownMatch(shown("n.jpg"), shown("o.jpg"), 0.4, None, None, unsure=True),
        ShownMatch(shown("p.jpg"), shown("q.jpg"), 0.02, shown("r.jpg"), 0.9, unsure=False),  # a person said so
    ]
    write_page(tmp_path / "match.html", matches, [], gallery="a heap", threshold=0.5)
    said = re.findall(r"<li.*?</li>", (tmp_path / "match.html").read_text(), re.DOTALL)
    assert "Look again: the next best is nearly as likely." in said[0]
    assert "Look again: it lies hardly above 50 %." in said[1] and "Next best: f.jpg, under 1 %." in said[1]
    assert "Look again: the right photo is blurred." in said[2]
    assert "Look again" not in said[3] and "Next best: k.jpg, 20 %." in said[3]
    assert "Look again: the network is not sure of it." in said[4]
    assert "Look again: it lies below 50 %." in said[5] and "Look again" not in said[6]


def test_the_page_speaks_german(tmp_path: Path) -> None:
    match = ShownMatch(shown("a.jpg", doubt="is too dark"), shown("b.jpg"), 0.9, None, None, unsure=True)
    write_page(tmp_path / "match.html", [match], [], gallery="Haufen", threshold=0.5, language="de")
    text = (tmp_path / "match.html").read_text()
    assert '<html lang="de">' in text and "1 Paar, 0 einzelne Schuhe." in text
    assert "Bitte ansehen: das linke Foto ist zu dunkel." in text and 'alt="linker Schuh von Paar 1, Foto a"' in text


def test_a_large_heap_comes_in_parts_with_its_pictures_beside_them(tmp_path: Path) -> None:
    many = pairs(ONE_PAGE // 2)
    path = tmp_path / "match.html"
    assert write_page(path, many, [], gallery="a heap", threshold=0.5) == [path]
    assert not (tmp_path / "match_photos").exists()
    files = write_page(path, many, [ShownSingle(shown("s.jpg"), None, None)], gallery="a heap", threshold=0.5)
    assert [file.name for file in files] == ["match.html", "match_2.html", "match_3.html"]
    assert "data:image" not in path.read_text() and f'id="pair-{PAIRS_A_PART}"' in path.read_text()
    for file in files:
        text = file.read_text()
        sources = re.findall(r'<img src="([^"]+)"', text)
        assert sources
        for source in sources:
            with Image.open(tmp_path / source) as photo:
                assert photo.size == (40, 30)
        assert all((tmp_path / link).is_file() for link in re.findall(r'<a href="([^"]+)"', text))
    assert "251 pairs" not in path.read_text() and "250 pairs, 1 single shoe." in files[2].read_text()
    write_page(path, pairs(2), [], gallery="a heap", threshold=0.5)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["match.html"]


def test_photos_in_a_folder_whose_name_is_not_utf8_are_linked_to(tmp_path: Path) -> None:
    photo = tmp_path / os.fsdecode(b"caf\xe9 #1") / "l1.jpg"
    matches = pairs(ONE_PAGE // 2 + 1)
    matches[0] = ShownMatch(shown("l1.jpg", path=photo), matches[0].right, 0.9, None, None, unsure=False)
    write_page(tmp_path / "match.html", matches, [], gallery="a heap", threshold=0.5)
    linked = re.search(r'data-large="([^"]+)"', (tmp_path / "match.html").read_text())
    assert linked is not None and unquote_to_bytes(linked[1]) == b"caf\xe9 #1/l1.jpg"


def test_what_was_said_is_of_these_photos_only(tmp_path: Path) -> None:
    """Cameras begin to count anew: another heap may have the same names."""

    def key(left: ShownShoe, right: ShownShoe) -> str:
        matches = [ShownMatch(left, right, 0.9, None, None, unsure=False)]
        write_page(tmp_path / "match.html", matches, [], gallery="a heap", threshold=0.5)
        found = re.search(r'data-key="(\w+)"', (tmp_path / "match.html").read_text())
        assert found is not None
        return found[1]

    first = key(shown("l.jpg"), shown("r.jpg"))
    assert key(shown("l.jpg"), shown("r.jpg")) == first
    others = [
        key(shown("l.jpg"), shown("r.jpg", "blue")),
        key(shown("l.jpg", "blue"), shown("r.jpg")),
        key(shown("r.jpg"), shown("l.jpg")),
        key(shown(os.fsdecode(b"\xe9.jpg")), shown("r.jpg")),
    ]
    assert len({first, *others}) == 5


def test_no_table_is_certain(tmp_path: Path) -> None:
    match = ShownMatch(shown("l.jpg"), shown("r.jpg"), 0.999999, shown("s.jpg"), 0.00001, unsure=False)
    write_tables(tmp_path, [match], [])
    assert "l.jpg,r.jpg,0.9999,s.jpg,0.0001,true" in (tmp_path / "pairs.csv").read_text()


NASTY = '"><script>document.title="taken"</script><img src=x onerror=document.title="taken">, {left}.jpg'


@pytest.mark.slow
def test_names_are_only_ever_text(tmp_path: Path, browser: Browser) -> None:
    match = ShownMatch(shown(NASTY), shown("</script>'`.jpg"), 0.9, shown(NASTY), 0.8, unsure=True)
    write_page(tmp_path / "match.html", [match], [ShownSingle(shown(NASTY), None, None)], gallery=NASTY, threshold=0.5)
    page = browser.open((tmp_path / "match.html").as_uri())
    page.click("li [data-act=swap]")
    page.click("li .photos")
    assert NASTY in page.inner_text("#at")
    assert page.title().startswith("Pairs found in") and browser.outside == [] and browser.complaints == []


@pytest.mark.slow
def test_pairs_are_reviewed_with_mouse_and_keys_and_saved(tmp_path: Path, browser: Browser) -> None:
    matches = pairs(3) + [ShownMatch(shown('a, "b".jpg'), shown("c.jpg"), 0.9, None, None, unsure=False)]
    write_page(tmp_path / "match.html", matches, [], gallery="a heap", threshold=0.5)
    page = browser.open((tmp_path / "match.html").as_uri())
    assert page.inner_text(".progress") == "0 right, 0 wrong, 4 not looked at"
    page.click("#pair-1 [data-act=wrong]")
    page.focus("#pair-2 [data-act=right]")
    page.keyboard.press("s")
    assert page.inner_text("#pair-2 .left") == "r2.jpg"
    assert page.get_attribute("#pair-2 .photos img", "alt") == "left shoe of pair 2, photo r2"
    page.keyboard.press("n")
    page.keyboard.press("e")
    assert page.inner_text("#at") == "Pair 3, 90 %. Left l3.jpg, right r3.jpg."
    page.keyboard.press("r")  # and on to the next one
    assert page.inner_text("#at").startswith("Pair 4")
    assert page.inner_text("dialog .said") == page.inner_text("#at")
    page.click("dialog [data-act=right]")
    page.keyboard.press("Escape")
    browser.until("document.activeElement.closest('li')?.id === 'pair-4'")
    page.reload()
    assert page.inner_text(".progress") == "3 right, 1 wrong, 0 not looked at"
    with page.expect_download() as download:
        page.click("[data-tool=save]")
    assert download.value.suggested_filename == "reviewed.csv"
    assert Path(download.value.path()).read_text() == (
        "left,right,verdict\nl1.jpg,r1.jpg,wrong\nr2.jpg,l2.jpg,right\nl3.jpg,r3.jpg,right\n"
        '"a, ""b"".jpg",c.jpg,right\n'
    )
    page.keyboard.press("w")  # no pair has the focus
    assert page.inner_text(".progress") == "3 right, 1 wrong, 0 not looked at"
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("[data-tool=forget]")
    assert page.inner_text(".progress") == "0 right, 0 wrong, 4 not looked at"
    assert page.inner_text("#pair-2 .left") == "l2.jpg"
    assert browser.outside == [] and browser.complaints == []


@pytest.mark.slow
def test_what_is_said_in_one_part_is_saved_from_another(tmp_path: Path, browser: Browser) -> None:
    photo = tmp_path / "my photo #1.jpg"
    Image.new("RGB", (90, 60), "green").save(photo)
    matches = pairs(ONE_PAGE // 2 + 1)
    matches[0] = ShownMatch(shown("l1.jpg", path=photo), matches[0].right, 0.9, None, None, unsure=False)
    (tmp_path / "out").mkdir()
    files = write_page(tmp_path / "out" / "match.html", matches, [], gallery="a heap", threshold=0.5)
    page = browser.open(files[0].as_uri())
    page.click("#pair-1 .photos")
    browser.until("document.querySelector('dialog img').naturalWidth === 90")  # the photo itself
    page.keyboard.press("w")
    page.keyboard.press("Escape")
    page.click("nav a >> text=Next part")
    page.click("#pair-201 [data-act=right]")
    with page.expect_download() as download:
        page.click("[data-tool=save]")
    text = Path(download.value.path()).read_text()
    assert text == "left,right,verdict\nl1.jpg,r1.jpg,wrong\nl201.jpg,r201.jpg,right\n"
    assert browser.outside == [] and browser.complaints == []


@pytest.mark.slow
def test_two_open_parts_hear_of_each_other_once(tmp_path: Path, browser: Browser) -> None:
    files = write_page(tmp_path / "match.html", pairs(ONE_PAGE // 2 + 1), [], gallery="a heap", threshold=0.5)
    page = browser.open(files[0].as_uri())
    other = page.context.new_page()
    other.goto(files[1].as_uri())
    for part in (page, other):
        part.evaluate("window.heard = []; addEventListener('storage', (event) => heard.push(event.key))")
    other.click("#pair-201 [data-act=right]")
    browser.until("heard.length > 0")
    page.click("#pair-1 [data-act=wrong]")
    page.wait_for_timeout(500)
    assert [len(part.evaluate("heard")) for part in (page, other)] == [1, 1]
    assert page.inner_text(".progress") == other.inner_text(".progress") == "1 right, 1 wrong, 249 not looked at"
    page.evaluate("localStorage.clear()")
    other.wait_for_timeout(500)
    assert other.inner_text(".progress") == "0 right, 0 wrong, 251 not looked at"


@pytest.mark.slow
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_page_has_no_fault_that_axe_finds(tmp_path: Path, browser: Browser, colours: str) -> None:
    match = ShownMatch(shown("a.jpg"), shown("b.jpg"), 0.6, shown("c.jpg"), 0.59, unsure=True)
    singles = [ShownSingle(shown("c.jpg", doubt="is blurred"), shown("a.jpg"), 0.3)]
    write_page(tmp_path / "match.html", [match, *pairs(2)], singles, gallery="a heap", threshold=0.5)
    page = browser.open((tmp_path / "match.html").as_uri(), width=390, colours=colours)
    page.click("#pair-1 [data-act=right]")
    assert browser.axe() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#pair-1 [data-act=enlarge]")
    assert browser.axe() == []
