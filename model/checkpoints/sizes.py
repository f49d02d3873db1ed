"""Sizes of a network in the header of our own checkpoints: {"sizes": {field: value}}, beside whatever else it says.

An official file has its sizes in the form of its makers, or by its version; what we trained may have any.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_type_hints

from voicemill.storage.errors import CheckpointError, ConfigError

Sizes = TypeVar("Sizes")

KEY = "sizes"
LARGEST = 1 << 20
"""Of any size: what is above it is no size of a network but damage."""
MOST = 256
"""Layers, couplings, and entries of a list."""
COUNTED = ("layers", "posterior_layers", "flow_layers", "couplings", "recurrent_layers", "scale")
OPTIONAL = ("speaker_dim", "window")
"""May be 0: none."""


def header(config: Any) -> dict[str, Any]:
    """What stands in a checkpoint's `config` for the config of a network: values of JSON's kinds."""
    return {KEY: {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}}


def from_header(kind: type[Sizes], config: Mapping[str, Any], name: str = "this checkpoint") -> Sizes | None:
    """The inverse of `header`: the config of a network, or None where `config` has no "sizes".

    A field that is left out has its default, so that what was written before a field was added stays readable.

    Raises:
        CheckpointError: an unknown field, one of another type or out of range, or sizes that contradict each other; the
            message names `name` and the field.
    """
    if KEY not in config:
        return None
    given = config[KEY]
    if not isinstance(given, Mapping):
        raise CheckpointError(f"{name}: its sizes are a {type(given).__name__}, expected a table of fields")
    hints = get_type_hints(kind)
    known = {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    if unknown := sorted(str(key)[:40] for key in given if key not in known):
        raise CheckpointError(
            f"{name}: {len(unknown)} sizes that {kind.__name__} does not have: {', '.join(unknown[:3])}: it was "
            "written by a later voicemill, or is damaged"
        )
    values = {field: _checked(name, field, known[field], value) for field, value in given.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise CheckpointError(f"{name}: {error}") from error


def _checked(name: str, field: str, wanted: Any, value: Any) -> Any:
    """The value as the field has it; CheckpointError where it is of another type or out of range."""
    least, most = 0 if field in OPTIONAL else 1, MOST if field in COUNTED else LARGEST
    if wanted is int:
        good, expected = type(value) is int and least <= value <= most, f"a whole number from {least} to {most}"
    elif wanted is float:  # all of them are dropout
        good, expected = type(value) in (int, float) and 0 <= value < 1, "a number from 0 to 1, 1 excluded"
    elif wanted in (str, bool):
        good, expected = type(value) is wanted, "a text" if wanted is str else "true or false"
    else:
        good = isinstance(value, list | tuple) and 0 < len(value) <= MOST
        good = good and all(type(item) is int and 0 < item <= LARGEST for item in value)
        expected = f"a list of 1 to {MOST} whole numbers from 1 to {LARGEST}"
    if not good:
        raise CheckpointError(f"{name}: size {field} = {str(value)[:40]}: expected {expected}")
    return tuple(value) if isinstance(value, list) else value
