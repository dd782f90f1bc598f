"""Building blocks of the configuration models: what a key says about itself, and the checks keys share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo


@dataclass(frozen=True, slots=True)
class Key:
    """What a key means: read by the configuration hash and by the generated reference."""

    about: str
    in_hash: bool = False
    """Whether a different value is a different migration, so that ``resume`` refuses it."""
    automatic: str | None = None
    """How the value is found when the key is not set."""
    extra: bool = True
    """Whether the key goes beyond the guide's complete example."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a key takes, for the reference, where the annotation does not tell."""

    text: str


class KeyProblems(ValueError):
    """Faults of several keys of one section, found together: ``items`` is (key, reason)."""

    def __init__(self, items: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {reason}" for key, reason in items))
        self.items = tuple(items)


class Section(BaseModel):
    """Base of the models: unknown keys are refused, values are immutable, inputs never show up in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        protected_namespaces=(),
    )


def key_of(section: type[BaseModel], name: str) -> Key:
    """The ``Key`` of a field (by its Python name)."""
    for item in section.model_fields[name].metadata:
        if isinstance(item, Key):
            return item
    raise LookupError(f"{section.__name__}.{name} has no Key")


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a zero character")
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_no_nul)]
"""A text that is not empty."""


def _secret(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value


Secret = Annotated[SecretStr, BeforeValidator(_secret)]
"""A password or token: hidden from every repr, log and error; may be empty."""


def _auto(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() == "auto" else value


Auto = BeforeValidator(_auto)
"""``auto`` means: not set."""


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


AnyCase = BeforeValidator(_lower)
"""The value's case does not matter."""


def _list(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


OneOrMany = BeforeValidator(_list)
"""A single text may stand for a list of one; nothing for an empty list."""


def _base(info: ValidationInfo) -> Path:
    context = info.context
    base = context.get("base") if isinstance(context, Mapping) else None
    return Path(base) if base else Path()


def resolve(path: str, info: ValidationInfo) -> Path:
    """A path of the configuration: ``~`` expanded, relative ones taken from the configuration file's folder.

    Raises ValueError where ``~`` has no meaning: an unknown user, or a process without a home directory.
    """
    try:
        return _base(info) / Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"the home directory in {path} is not known; write the path out") from None


def _file(value: str | None, info: ValidationInfo) -> str | None:
    if value is None:
        return None
    path = resolve(value, info)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return str(path)


ExistingFile = Annotated[Text | None, AfterValidator(_file), Kind("path")]
"""The path of a file that must exist; kept with the configuration's folder in front."""


_HOST_PORT = re.compile(r"^(?:tcp:)?(?P<host>[^,:]+)[,:](?P<port>\d+)$")


def bare_host(value: str) -> str:
    """A host name, an IP address or a socket directory, and nothing else."""
    text = value.strip()
    if "://" in text:
        raise ValueError("must be a host name or IP address, not a URL")
    match = _HOST_PORT.match(text)
    if match is not None:
        raise ValueError(f"must be a host name alone; set port: {match['port']}")
    if text.lower().startswith("tcp:"):
        raise ValueError("must be a host name alone, without 'tcp:'")
    if not text or any(char.isspace() or char in ";{}=" for char in text):
        raise ValueError("must be a host name or IP address, without blanks")
    return text


Host = Annotated[Text, AfterValidator(bare_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
