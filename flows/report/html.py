"""Rendering of HTML pages: one jinja2 environment for the report, the evaluation page and the listening test.

Values are escaped, and an undefined variable is an error, not an empty string.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def render(template: Path, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Return the page that a template makes of the values. `filters`: name -> filter, beside those of jinja2."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters or {})
    return environment.get_template(template.name).render(values)
