"""Where the pages lie; reports/match_page.py says how such pages are filled in."""

from pathlib import Path

PAGES = Path(__file__).parent / "pages"
