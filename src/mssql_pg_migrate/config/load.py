"""From a file or plain data to a checked ``Config``: parse, expand ``${NAME}``, validate, report everything at once."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ..errors import IoError
from .document import Document, parse
from .expand import ExpansionError, expand, has_variables
from .keys import KeyProblems, Section
from .problems import InvalidConfig, Problem
from .values import source_problems

C = TypeVar("C", bound=Section)
"""A whole configuration: a model of sections."""

_SECRET_KEYS = frozenset({"password", "access_token"})
_Place = tuple[str, ...]


def read_file(model: type[C], path: str | Path, *, environment: Mapping[str, str] | None = None) -> C:
    """Read and check a configuration file; ``environment`` replaces the process's own.

    Raises InvalidConfig naming file, line, key and reason of every problem, IoError when the file cannot be read.
    """
    path = Path(path)
    text = _read(path)
    document = parse(text, file=str(path), suffix=path.suffix)
    return _build(model, document, file=str(path), base=path.parent, environment=environment)


def read_document(model: type[C], data: Mapping[str, Any], *, environment: Mapping[str, str] | None = None) -> C:
    """Check plain data with the same rules as a file. Raises InvalidConfig."""
    return _build(model, Document(dict(data)), file="configuration", base=Path(), environment=environment)


def with_values(config: C, values: Mapping[str, tuple[str, object]]) -> C:
    """A copy with other values: key (``section.key``) -> (flag, value). Raises InvalidConfig naming the flag."""
    model = type(config)
    given = {name: getattr(config, name) for name in sections(model)}
    data = {name: values_set(section) for name, section in given.items() if section is not None}
    for key, (_, value) in values.items():
        section, _, name = key.partition(".")
        data[section][name] = value
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [
            Problem(values[problem.key][0] if problem.key in values else problem.key, problem.reason)
            for problem in _problems(model, error, data, Document(data), frozenset())
        ]
        raise InvalidConfig("command line", problems) from None


def sections(model: type[BaseModel]) -> dict[str, type[Section]]:
    """The parts of a configuration that are sections themselves, by name."""
    found = {}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):  # itself, or itself or None
            if isinstance(kind, type) and issubclass(kind, Section):
                found[name] = kind
    return found


def values_set(section: Section) -> dict[str, Any]:
    """The keys whose values are not the defaults."""
    return {
        field.alias or name: getattr(section, name)
        for name, field in type(section).model_fields.items()
        if getattr(section, name) != field.get_default(call_default_factory=True)
    }


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        what = "is a directory" if isinstance(error, IsADirectoryError) else "there is no such file"
        raise InvalidConfig(
            str(path), [Problem("", what)], hint="name it with -c, or make one with: mssql-pg-migrate init"
        ) from None
    except UnicodeDecodeError:
        raise InvalidConfig(str(path), [Problem("", "is not UTF-8 text")]) from None
    except OSError as error:
        raise IoError(f"{path}: cannot be read: {error.strerror or error}", retryable=False) from None


def _build(model: type[C], document: Document, *, file: str, base: Path, environment: Mapping[str, str] | None) -> C:
    problems = list(document.problems)
    if document.data is None or document.data == {}:
        raise InvalidConfig(file, [*problems, Problem("", "is empty; the sections source and target are required")])
    if not isinstance(document.data, dict):
        reason = "must consist of the sections source, target and migration"
        raise InvalidConfig(file, [*problems, Problem("", reason)])
    expanded: set[_Place] = set()
    broken: dict[_Place, str] = {}
    variables = os.environ if environment is None else environment
    data = _expand_all(document.data, (), variables, expanded, broken)
    for place, reason in broken.items():
        problems.append(Problem(key_path(place), reason, _line(document, place)))
    try:
        config = model.model_validate(data, context={"base": str(base)})
    except ValidationError as error:
        found = _problems(model, error, data, document, frozenset(expanded))
        named = {problem.key for problem in problems}
        problems += [problem for problem in found if not _covered(problem.key, named)]
    else:
        if not problems:
            return config
    problems.sort(key=lambda problem: (problem.line is None, problem.line or 0))
    raise InvalidConfig(file, problems)


def _covered(key: str, named: set[str]) -> bool:
    return any(key == name or key.startswith((f"{name}.", f"{name}[")) for name in named)


def _expand_all(
    value: Any, place: _Place, environment: Mapping[str, str], expanded: set[_Place], broken: dict[_Place, str]
) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _expand_all(item, (*place, str(key)), environment, expanded, broken)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            _expand_all(item, (*place, str(index)), environment, expanded, broken) for index, item in enumerate(value)
        ]
    if isinstance(value, str) and has_variables(value):
        expanded.add(place)
        try:
            return _as_utf8(expand(value, environment))
        except ExpansionError as error:
            broken[place] = str(error)
            return "x"  # whatever else is found about this value is not reported
    return value


def _as_utf8(text: str) -> str:
    """The text with bytes that the locale could not decode taken as UTF-8. Raises ExpansionError."""
    if not any("\udc80" <= char <= "\udcff" for char in text):
        return text
    try:
        return text.encode(sys.getfilesystemencoding(), "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise ExpansionError("the environment variable holds bytes that are not UTF-8") from None


def key_path(place: tuple[str | int, ...]) -> str:
    """``("migration", "include_tables", "1")`` -> ``migration.include_tables[1]``."""
    text = ""
    for part in place:
        if isinstance(part, int) or part.isdigit():
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _line(document: Document, place: tuple[str | int, ...]) -> int | None:
    """The line of the key, or of the nearest one around it."""
    names = tuple(str(part) for part in place)
    while names:
        if names in document.lines:
            return document.lines[names]
        names = names[:-1]
    return None


def _problems(
    model: type[BaseModel],
    error: ValidationError,
    data: Mapping[str, Any],
    document: Document,
    expanded: frozenset[_Place],
) -> list[Problem]:
    """Pydantic's findings in words of the configuration."""
    found: list[Problem] = []
    meant: set[str] = set()
    for item in error.errors(include_url=False):
        place = tuple(part for part in item["loc"] if part != "[key]")
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, KeyProblems) and place == ("source",):
            continue  # said below, of the text as it was written
        if isinstance(cause, KeyProblems):
            for key, reason in cause.items:
                found.append(Problem(key_path((*place, key)), reason, _line(document, (*place, key))))
            continue
        if item["type"] == "extra_forbidden":
            reason, suggestion = _unknown_key(model, place)
            if suggestion:
                meant.add(suggestion)
        else:
            hidden = bool(_SECRET_KEYS & {str(part) for part in place}) or tuple(map(str, place)) in expanded
            reason = _reason(dict(item), hidden)
        found.append(Problem(key_path(place), reason, _line(document, place)))
    found += _source(data, document, {problem.key for problem in found})
    # A misspelt key is one mistake: do not also say that the right one is missing.
    return [problem for problem in found if not (problem.reason == "is required" and problem.key in meant)]


def _source(data: Mapping[str, Any], document: Document, named: set[str]) -> list[Problem]:
    """The model checks how the source's keys fit together only once each is right; say it together with the rest."""
    source = data.get("source")
    if not isinstance(source, Mapping) or "source.type" in named:
        return []
    login = {"source.user", "source.password", "source.access_token"}
    found = [
        Problem(f"source.{key}", reason, _line(document, ("source", key))) for key, reason in source_problems(source)
    ]
    return [one for one in found if one.key not in named and not (one.key in login and login & named)]


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _unknown_key(model: type[BaseModel], place: tuple[str | int, ...]) -> tuple[str, str | None]:
    """Reason, and the path of the key that was probably meant."""
    name = str(place[-1])
    prefix = ".".join(str(part) for part in place[:-1])
    inside: type[BaseModel] | None = model
    for part in place[:-1]:
        inside = sections(inside).get(str(part)) if inside is not None else None
    siblings = _keys(inside) if inside is not None else []
    wanted = re.sub(r"[-\s]", "_", name.strip().lower())
    close = difflib.get_close_matches(wanted, siblings, n=1, cutoff=0.6)
    if close:
        path = f"{prefix}.{close[0]}" if prefix else close[0]
        return f"unknown key; did you mean {close[0]}?", path
    elsewhere = [f"{other}.{wanted}" for other, section in sections(model).items() if wanted in _keys(section)]
    if elsewhere:
        return f"unknown key here; did you mean {' or '.join(elsewhere)}?", elsewhere[0]
    return f"unknown key; known are {', '.join(siblings)}", None


_PLAIN_REASONS = {
    "missing": "is required",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_from_float": "must be a whole number",
    "string_type": "must be text",
    "string_sub_type": "must be text",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of names to names",
}
_SHOW_NOTHING = frozenset({"model_type", "model_attributes_type", "dict_type", "tuple_type", "list_type"})
"""Where a whole section is expected, a text may be a connection URL with a password in it."""
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}


def _reason(item: dict[str, Any], hidden: bool) -> str:
    """One finding in words; the value itself only when it is short, no secret and not from the environment."""
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind != "missing" and (value is None or value == ""):
        return "has no value" if value is None else "must not be empty"
    shown = ""
    if not hidden and kind not in _SHOW_NOTHING and isinstance(value, (str, int, float)) and len(str(value)) <= 40:
        shown = f", not {value!r}" if isinstance(value, str) else f", not {value}"
    if kind in _PLAIN_REASONS:
        plain = _PLAIN_REASONS[kind]
        return f"{plain}{shown}" if plain.startswith("must be") else plain
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]}{shown}"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        text = f"must be one of {', '.join(choices)}{shown}"
        close = difflib.get_close_matches(str(value).strip().lower(), choices, n=1)
        return f"{text}; did you mean {close[0]}?" if close and not hidden else text
    if kind == "value_error":
        return str(context["error"])
    return str(item["msg"])
