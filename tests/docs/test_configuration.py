"""docs/configuration.md is what the schema and conf/ say."""

import runpy
from pathlib import Path

from shoepair.config.schema import known_keys

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    written = runpy.run_path(str(DOCS / "write_configuration.py"))["page"]()
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == written, "run `make docs`"


def test_every_key_stands_on_the_page_with_its_meaning() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for key, field in known_keys().items():
        if not key.endswith("data.name"):
            assert f"| `{key}` | " in page and field.description, key
