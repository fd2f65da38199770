"""Where the pages lie, and how they are filled in."""

from pathlib import Path

import jinja2

PAGES = Path(__file__).parent / "pages"


def environment() -> jinja2.Environment:
    """Whatever is put into a page is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
