"""For eyes: tables, figures, contact sheets, pages."""
