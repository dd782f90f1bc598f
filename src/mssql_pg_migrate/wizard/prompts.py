"""Questions on the terminal (questionary). Ctrl-C raises KeyboardInterrupt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Check = Callable[[str], "str | None"]
"""Text -> why it cannot be taken, None when it can."""


def say(text: str = "", *, style: str = "") -> None:
    """A line between the questions; ``style`` is ``good``, ``bad``, ``head`` or empty."""
    import questionary

    questionary.print(text, style={"good": "fg:ansigreen", "bad": "fg:ansired", "head": "bold"}.get(style, ""))


def text(question: str, default: str = "", *, check: Check | None = None, offers: Sequence[str] = ()) -> str:
    """One line of text; ``offers`` are completed with Tab."""
    import questionary

    validate = _validator(check)
    prompt = (
        questionary.autocomplete(question, list(offers), default=default, validate=validate, style=_style())
        if offers
        else questionary.text(question, default=default, validate=validate, style=_style())
    )
    return str(prompt.unsafe_ask()).strip()


def number(question: str, default: str, *, check: Check) -> str:
    """A number as text (``auto`` may be one too, where ``check`` lets it pass)."""
    return text(question, default, check=check)


def secret(question: str) -> str:
    """A line that is not shown."""
    import questionary

    return str(questionary.password(question, style=_style()).unsafe_ask())


def confirm(question: str, *, default: bool) -> bool:
    """Yes or no."""
    import questionary

    return bool(questionary.confirm(question, default=default, style=_style()).unsafe_ask())


def choose(question: str, choices: Sequence[tuple[str, T]], *, default: T | None = None) -> T:
    """One of several (title, value)."""
    import questionary

    items = [questionary.Choice(title, value=value) for title, value in choices]
    first = next((item for item in items if item.value == default), None)
    answer: T = questionary.select(question, items, default=first, style=_style()).unsafe_ask()
    return answer


def pick(
    question: str, choices: Sequence[tuple[str, T]], *, checked: Sequence[T] = (), check: str | None = None
) -> list[T]:
    """Any number of (title, value); ``check`` is the reason why none is not enough."""
    import questionary

    items = [questionary.Choice(title, value=value, checked=value in checked) for title, value in choices]
    many = len(items) > 8
    answer: list[T] = questionary.checkbox(
        question,
        items,
        validate=lambda chosen: True if chosen or check is None else check,
        use_search_filter=many,
        use_jk_keys=not many,
        instruction="(space: pick, a: all, i: invert, type to search)" if many else "(space: pick, a: all, i: invert)",
        style=_style(),
    ).unsafe_ask()
    return answer


def _validator(check: Check | None) -> Any:
    if check is None:
        return None

    def validate(value: str) -> bool | str:
        return check(value.strip()) or True

    return validate


def _style() -> Any:
    import questionary

    return questionary.Style(
        [
            ("qmark", "fg:ansicyan bold"),
            ("question", "bold"),
            ("answer", "fg:ansicyan"),
            ("pointer", "fg:ansicyan bold"),
            ("highlighted", "fg:ansicyan"),
            ("selected", "fg:ansicyan"),
            ("instruction", "fg:ansibrightblack"),
        ]
    )
