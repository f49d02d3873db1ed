"""Sizes of a network in the header of our own checkpoints: {"sizes": {field: value}}, beside other entries.

Official files state their sizes in a form of their own, or by their version; networks that we trained may have any.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_type_hints

from voicemill.storage.errors import CheckpointError, ConfigError

Sizes = TypeVar("Sizes")

KEY = "sizes"
LARGEST = 1 << 20
"""Largest plausible size; larger ones are damage."""
MOST = 256
"""Largest number of layers or couplings, and of entries of a list."""
COUNTED = ("layers", "posterior_layers", "flow_layers", "couplings", "recurrent_layers", "scale")
OPTIONAL = ("speaker_dim", "window")
"""Sizes that may be 0."""


def header(config: Any) -> dict[str, Any]:
    """Entry of a checkpoint's `config` for the config of a network, in types of JSON."""
    return {KEY: {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}}


def from_header(kind: type[Sizes], config: Mapping[str, Any], name: str = "this checkpoint") -> Sizes | None:
    """Config of a network from its header (the inverse of `header`); None where `config` has no "sizes".

    A missing field has its default, so that files older than the field stay readable.

    Raises:
        CheckpointError: an unknown field, one of another type or out of range, or sizes that contradict each other; the
            message names `name` and the field.
    """
    if KEY not in config:
        return None
    stated = config[KEY]
    if not isinstance(stated, Mapping):
        raise CheckpointError(f"{name}: its sizes are a {type(stated).__name__}, expected a table of fields")
    hints = get_type_hints(kind)
    known = {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    if unknown := sorted(str(key)[:40] for key in stated if key not in known):
        raise CheckpointError(
            f"{name}: {len(unknown)} sizes that {kind.__name__} does not have: {', '.join(unknown[:3])}: it was "
            "written by a later version of voicemill, or is damaged"
        )
    values = {field: _check(name, field, known[field], value) for field, value in stated.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise CheckpointError(f"{name}: {error}") from error


def _check(name: str, field: str, kind: Any, value: Any) -> Any:
    """Return the value in the field's type; raise CheckpointError where it is of another type or out of range."""
    least, most = 0 if field in OPTIONAL else 1, MOST if field in COUNTED else LARGEST
    if kind is int:
        good, expected = type(value) is int and least <= value <= most, f"a whole number from {least} to {most}"
    elif kind is float:  # all of them are dropout
        good, expected = type(value) in (int, float) and 0 <= value < 1, "a number from 0 to 1, 1 excluded"
    elif kind in (str, bool):
        good, expected = type(value) is kind, "a text" if kind is str else "true or false"
    else:
        good = isinstance(value, list | tuple) and 0 < len(value) <= MOST
        good = good and all(type(item) is int and 0 < item <= LARGEST for item in value)
        expected = f"a list of 1 to {MOST} whole numbers from 1 to {LARGEST}"
    if not good:
        raise CheckpointError(f"{name}: size {field} = {str(value)[:40]}: expected {expected}")
    return tuple(value) if isinstance(value, list) else value
