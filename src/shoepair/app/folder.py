"""The page for two shoes as a folder that any static server can serve: the network runs in the browser."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from shoepair.app.answers import about
from shoepair.app.templates import PAGES
from shoepair.errors import UserError
from shoepair.inference.classifier import SURE, load_classifier
from shoepair.inference.doubts import REMEDIES
from shoepair.inference.onnx import export, write_looks
from shoepair.models.cutout import MASK_PX
from shoepair.reports.match_page import templates_in
from shoepair.texts import DEFAULT, Texts, languages, load_texts

RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
TEXTS = ("doubts", "match", "percent", "photos", "remedies", "two")  # that the page itself puts together


def export_page(checkpoint: Path, folder: Path, runtime: Path | None) -> str:
    """Write index.html, a page for each other language, the network and onnxruntime-web.

    Args:
        runtime: the folder of the package onnxruntime-web, or node_modules with it; None: npm fetches it.
    Returns:
        What was written.
    Raises:
        UserError: for what the user can mend.
    """
    written = ("index.html", "app.css", "app.js", "shoes.onnx", "looks.onnx", "judge.js")
    there = [name for name in written if os.path.lexists(folder / name)]
    if there and len(there) < len(written):  # a page of export has all of them
        raise UserError(f"--page {folder}: {there[0]} in it is not of shoepair export; choose another folder.")
    classifier = load_classifier(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    if runtime is None:
        fetch_runtime(folder)
    else:
        copy_runtime(runtime, folder)
    line = export(checkpoint, folder / "shoes.onnx")
    write_looks(classifier.trained, folder / "looks.onnx")
    for file in ("app.css", "app.js", "two.js"):
        shutil.copy(PAGES / "static" / file, folder / file)
    for file in ("judge.js", "photo.js"):
        shutil.copy(PAGES / "folder" / file, folder / file)
    for language in languages():
        texts = load_texts(language)
        facts = {
            "image_size": classifier.trained.image_size,
            "mask_size": MASK_PX,
            "margin": classifier.margin,
            "sure": SURE,
            "doubts": list(REMEDIES),
            "texts": {name: texts[name] for name in TEXTS},
        }
        text = _page(texts, language, about(classifier, texts), facts)
        (folder / _name(language)).write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return f"{line}\nWritten {folder}/index.html, {size / 1e6:.0f} MB in all; serve {folder} with any static server"


def _name(language: str) -> str:
    return "index.html" if language == DEFAULT else f"{language}.html"


def _page(texts: Texts, language: str, learned: str, facts: dict[str, Any]) -> str:
    return templates_in(PAGES).get_template("two.html").render(
        t=texts,
        which="two",
        language=language,
        links=[],
        language_links=[(_name(code), code, name) for code, name in languages().items()],
        assets="",
        policy=POLICY,
        private=texts["app"]["private_folder"],
        about=learned,
        script_texts=texts["script"],
        facts=facts,
    )  # fmt: skip


def copy_runtime(runtime: Path, folder: Path) -> None:
    """Raises UserError if the package is not there."""
    places = (runtime, runtime / "onnxruntime-web", runtime / "node_modules" / "onnxruntime-web")
    dist = next((place / "dist" for place in places if (place / "dist" / RUNTIME_FILES[0]).is_file()), None)
    if dist is None:
        raise UserError(
            f"--onnxruntime-web {runtime}: expected the folder of the npm package, with dist/{RUNTIME_FILES[0]}; "
            f"npm install {RUNTIME} makes one."
        )
    for file in RUNTIME_FILES:
        shutil.copy(dist / file, folder / file)


def fetch_runtime(folder: Path) -> None:
    """Raises UserError if npm does not fetch it."""
    with tempfile.TemporaryDirectory() as place:
        command = ["npm", "pack", RUNTIME, "--json", "--pack-destination", place]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=place)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                f"npm does not fetch {RUNTIME} ({type(error).__name__}); fetch it where npm works, and name its folder "
                "with --onnxruntime-web."
            ) from error
        with tarfile.open(Path(place, json.loads(done.stdout)[0]["filename"])) as package:
            for file in RUNTIME_FILES:
                member = package.extractfile(f"package/dist/{file}")
                assert member is not None
                (folder / file).write_bytes(member.read())
