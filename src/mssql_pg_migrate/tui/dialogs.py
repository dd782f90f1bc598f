"""Small windows over the screen: a question, one table in detail, the keys."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Label, Static

_FRAME = """
    align: center middle;
    & > Vertical {
        width: auto; max-width: 90%; height: auto; max-height: 90%; padding: 1 2;
        background: $surface; border: round $primary;
    }
"""


class Question(ModalScreen[bool]):
    """Yes or no; Escape is no."""

    DEFAULT_CSS = (
        "Question {"
        + _FRAME
        + """
    Label { width: auto; max-width: 68; margin-bottom: 1; }
    Horizontal { width: auto; height: auto; }
    Button { margin-right: 2; }
    }"""
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, text: str, yes: str, *, danger: bool = False) -> None:
        super().__init__()
        self._text = text
        self._yes = yes
        self._danger = danger

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self._text, markup=False)
            with Horizontal():
                yield Button(f"{self._yes} (y)", id="yes", variant="error" if self._danger else "primary")
                yield Button("No (n)", id="no")

    def on_mount(self) -> None:
        self.query_one("#no" if self._danger else "#yes", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Reading(ModalScreen[None]):
    """A text to read; any of the usual keys closes it."""

    DEFAULT_CSS = (
        "Reading {"
        + _FRAME
        + """
    .title { text-style: bold; margin-bottom: 1; }
    VerticalScroll { width: auto; max-width: 72; height: auto; max-height: 16; }
    Static { width: auto; max-width: 66; }
    .hint { color: $text-muted; margin-top: 1; }
    }"""
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,space,question_mark", "dismiss", "Close")]

    def __init__(self, title: str, body: Text) -> None:
        super().__init__()
        self._title = title
        self._body = body

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self._title, classes="title", markup=False)
            with VerticalScroll():
                yield Static(self._body)
            yield Label("Esc closes", classes="hint")
