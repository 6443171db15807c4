"""What ``pycarp top`` asks before it changes anything, and its help."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static

_CANCEL: BindingType = Binding("escape", "cancel", "Cancel")


class Confirmation(ModalScreen[bool]):
    """Asks whether to go on; True only if the user said yes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "yes", "Yes"), Binding("n", "cancel", "No"), _CANCEL]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question, and two buttons of which No has the focus."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            with Horizontal():
                yield Button("No (n)", id="no")
                yield Button("Yes (y)", id="yes")

    def on_mount(self) -> None:
        """Have Enter mean No."""
        self.query_one("#no").focus()

    def on_button_pressed(self, pressed: Button.Pressed) -> None:
        """Answer with the button."""
        self.dismiss(pressed.button.id == "yes")

    def action_yes(self) -> None:
        """Go on."""
        self.dismiss(True)

    def action_cancel(self) -> None:
        """Change nothing."""
        self.dismiss(False)


class Form(ModalScreen[list[str] | None]):
    """Asks for texts, one line each; Enter in the last one goes on, Escape changes nothing (None)."""

    BINDINGS: ClassVar[list[BindingType]] = [_CANCEL]

    def __init__(self, question: str, fields: Sequence[tuple[str, str]]) -> None:
        """``fields`` are what is asked for, and the answer that is there already."""
        super().__init__()
        self._question = question
        self._fields = fields

    def compose(self) -> ComposeResult:
        """Show the question and the lines."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            for label, value in self._fields:
                yield Static(label, markup=False)
                yield Input(value, compact=True)
            yield Static("Enter goes on, Escape changes nothing", markup=False)

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        """Go to the next line, or answer."""
        inputs = list(self.query(Input))
        if submitted.input is inputs[-1]:
            self.dismiss([each.value for each in inputs])
        else:
            inputs[inputs.index(submitted.input) + 1].focus()

    def action_cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


class Choice(ModalScreen[str | None]):
    """Asks for one of several texts; Escape changes nothing (None)."""

    BINDINGS: ClassVar[list[BindingType]] = [_CANCEL]

    def __init__(self, question: str, options: Sequence[str]) -> None:
        super().__init__()
        self._question = question
        self._options = options

    def compose(self) -> ComposeResult:
        """Show the question and a list."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            yield OptionList(*self._options, markup=False, compact=True)
            yield Static("Enter goes on, Escape changes nothing", markup=False)

    def on_option_list_option_selected(self, selected: OptionList.OptionSelected) -> None:
        """Answer with the option."""
        self.dismiss(self._options[selected.option_index])

    def action_cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


class Help(ModalScreen[None]):
    """Says what the keys do; any of a few keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "close", "Close")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the text."""
        with Vertical(classes="dialog"):
            yield Static(self._text, markup=False)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
