"""HTML templates: one jinja2 environment for the report, the evaluation page and the listening test.

Values are escaped, and an undefined variable is an error, not an empty string.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


def load_template(path: Path, filters: Mapping[str, Callable[..., Any]] | None = None) -> "Template":
    """Compile a template. `filters`: name -> filter, beside those of jinja2."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters or {})
    return environment.get_template(path.name)


def render(path: Path, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Return the page that a template makes of the values."""
    return load_template(path, filters).render(values)
