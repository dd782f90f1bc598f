"""Configuration files as plain data: YAML or JSON in, mappings, lists and texts out, with the line of each key.

YAML scalars stay exactly the text that was written: ``password: 0123`` is not a number and ``database: no`` is not a
boolean. The models turn text into numbers and booleans where a key wants one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .problems import InvalidConfig, Problem

Path: TypeAlias = tuple[str, ...]

_MAX_DEPTH = 20


@dataclass(slots=True)
class Document:
    """``data`` is the parsed file, ``lines`` the 1-based line of each key path (YAML only)."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    """Duplicate keys and other faults that do not hinder reading on."""


def parse(text: str, *, file: str, suffix: str) -> Document:
    """Parse by suffix (``.json``, ``.yaml``, ``.yml``); another suffix is taken as JSON when it begins like it.

    Raises InvalidConfig for text that is neither.
    """
    if suffix.lower() == ".json" or (suffix.lower() not in (".yaml", ".yml") and text.lstrip().startswith("{")):
        return _parse_json(text, file)
    return _parse_yaml(text, file)


def _parse_json(text: str, file: str) -> Document:
    document = Document(None)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in items:
            if key in seen:
                document.problems.append(Problem(key, "the key is given twice in the same object"))
            seen[key] = value
        return seen

    try:
        document.data = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise InvalidConfig(file, [Problem("", f"not valid JSON: {error.msg}", error.lineno)]) from None
    except RecursionError:
        raise InvalidConfig(file, [Problem("", "not valid JSON: nested too deeply")]) from None
    return document


def _parse_yaml(text: str, file: str) -> Document:
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InvalidConfig(file, [_syntax_problem(error)]) from None
    except RecursionError:
        raise InvalidConfig(file, [Problem("", "not valid YAML: nested too deeply")]) from None
    document = Document(None)
    if node is not None:
        document.data = _convert(node, (), document)
    return document


_HINTS = (
    ("found undefined alias", "a value that begins with * must be quoted"),
    ("found duplicate anchor", "a value that begins with & must be quoted"),
    ("found undefined tag handle", "a value that begins with ! must be quoted"),
    ("expected a single document", "only one YAML document is allowed, '---' begins a second one"),
    ("mapping values are not allowed", "unexpected ':' - check the indentation, and quote values that hold ': '"),
    ("found character '\\t'", "a tab is used for indentation; use blanks"),
    ("found character '%'", "a value that begins with % must be quoted"),
    ("found character '@'", "a value that begins with @ must be quoted"),
    ("found character '`'", "a value that begins with ` must be quoted"),
    ("found unknown escape character", "a backslash inside \"...\" must be doubled, or use '...'"),
    ("could not find expected ':'", "a key is not followed by ':'"),
)


def _syntax_problem(error: Exception) -> Problem:
    """The reason and place of a syntax error, without any text of the file: that may be a password."""
    import yaml

    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem("", "not valid YAML: the file holds characters that are not allowed in a text file")
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else None
    said = f"{error.context or ''} {error.problem or ''}".strip()
    for sign, hint in _HINTS:
        if sign in said:
            return Problem("", f"not valid YAML: {hint}", line)
    # What PyYAML quotes is a token kind ('<block end>') or text of the file; only the first may be shown.
    said = re.sub(r"'(?!<[a-z ]+>')[^']*'|\"[^\"]*\"", "...", said)
    return Problem("", f"not valid YAML: {said}", line)


def _convert(node: Any, path: Path, document: Document) -> Any:
    import yaml

    if len(path) > _MAX_DEPTH:
        document.problems.append(Problem(".".join(path[:3]), "nested too deeply", _line(node)))
        return None
    if isinstance(node, yaml.MappingNode):
        return _convert_mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_convert(item, (*path, str(index)), document) for index, item in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:null" and node.style is None:
        return None
    if not node.tag.startswith("tag:yaml.org,2002:"):
        document.problems.append(
            Problem(".".join(path), "YAML tags are not supported; quote a value that begins with !", _line(node))
        )
    return node.value


def _convert_mapping(node: Any, path: Path, document: Document) -> dict[str, Any]:
    import yaml

    result: dict[str, Any] = {}
    inherited: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(Problem(".".join(path), "a key must be a plain word", _line(key_node)))
            continue
        if key_node.tag == "tag:yaml.org,2002:merge":
            for mapping in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                merged = _convert(mapping, path, document)
                if isinstance(merged, dict):
                    inherited = {**merged, **inherited}
                else:
                    document.problems.append(Problem(".".join(path), "<< needs a mapping", _line(key_node)))
            continue
        key = str(key_node.value)
        inner = (*path, key)
        if key in result:
            document.problems.append(
                Problem(
                    ".".join(inner), f"the key is given twice, first in line {document.lines[inner]}", _line(key_node)
                )
            )
            continue
        document.lines[inner] = _line(key_node)
        result[key] = _convert(value_node, inner, document)
    return {**inherited, **result}


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
