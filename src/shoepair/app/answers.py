"""What the app says of two shoes: a verdict in plain words, what to do if it is not sure, and pictures of why."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shoepair.data.layout import LEFT, RIGHT
from shoepair.errors import UserError
from shoepair.inference.classifier import ShoeClassifier, Verdict, open_photo
from shoepair.inference.doubts import REMEDIES
from shoepair.metrics.scores import probability_in_percent
from shoepair.reports.explanation import UNLIKE_BELOW, shaded_shoes
from shoepair.texts import Texts


def answer(classifier: ShoeClassifier, left: Path, right: Path, texts: Texts) -> dict[str, Any]:
    """The verdict on two photos in one language, as plain values.

    Returns:
        answer: "same", "different" or "not sure"; headline, detail: of it; advice: what to do, sentences;
        pictures: each with src (a data URL) and alt.
    Raises:
        UserError: if a photo cannot be used; in that language.
    """
    try:
        verdict = classifier.compare(left, right)
    except UserError as error:
        unreadable = [side for side, path in ((LEFT, left), (RIGHT, right)) if not _readable(path)]
        raise UserError(" ".join(texts["two"]["unreadable"][side] for side in unreadable) or str(error)) from error
    return {**_words(verdict, texts), "pictures": _pictures(classifier, left, right, texts)}


def about(classifier: ShoeClassifier, texts: Texts) -> str:
    """What the network was trained on, in one sentence."""
    return str(texts["app"]["learned_drawn" if classifier.trained.learned_from_drawn else "learned_photos"])


def _readable(path: Path) -> bool:
    try:
        open_photo(path)
    except UserError:
        return False
    return True


def _words(verdict: Verdict, texts: Texts) -> dict[str, Any]:
    two, under_one = texts["two"], texts["percent"]["under_one"]
    answered = verdict.answer.replace(" ", "_")
    probable = 1 - verdict.probability if verdict.answer == "different" else verdict.probability
    percent = probability_in_percent(probable, under_one)
    wrong = doubts_of(verdict)
    reasons = [texts["photos"][side].format(doubt=texts["doubts"][doubt]) for side, doubt in wrong]
    advice = [two["because"].format(reasons=texts["match"]["and"].join(reasons))] if reasons else []
    if answered == "not_sure":
        advice += [texts["remedies"][doubt] for doubt in dict.fromkeys(doubt for _, doubt in wrong)] or [two["retake"]]
    return {
        "answer": verdict.answer,
        "headline": two["headline"][answered],
        "detail": two["detail"][answered].format(percent=percent),
        "advice": advice,
    }


def doubts_of(verdict: Verdict) -> list[tuple[str, str]]:
    """What is wrong with the photos: the side, and a key of REMEDIES."""
    known = {f"the {side} photo {doubt}": (side, doubt) for side in (LEFT, RIGHT) for doubt in REMEDIES}
    return [known[reason] for reason in verdict.reasons]


def _pictures(classifier: ShoeClassifier, left: Path, right: Path, texts: Texts) -> list[dict[str, str]]:
    """Of a network that compares places of cut-outs: the shoes cut out, and the same with what differs shaded."""
    two = texts["two"]
    try:
        seen = classifier.explain(left, right)
    except UserError:  # another kind of network: there is nothing to show
        return []
    pictures = []
    for side, (cut_out, shaded), alike in zip(
        (LEFT, RIGHT), shaded_shoes(seen.cut_outs, seen.alike), seen.alike, strict=True
    ):
        shoe = alike[np.isfinite(alike)]
        unlike = 100 * float((shoe < UNLIKE_BELOW).mean()) if shoe.size else 0.0
        pictures.append({"src": _data_url(cut_out), "alt": two["alt_cut_out"][side]})
        pictures.append({"src": _data_url(shaded), "alt": two["alt_shaded"][side].format(percent=f"{unlike:.0f} %")})
    return pictures


def _data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
