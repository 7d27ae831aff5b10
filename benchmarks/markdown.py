"""Tables of text cells, written as Markdown or as a LaTeX tabular.

A row is a list of cells; the first row is the heading. Text columns are aligned to the left,
columns of numbers to the right; a last column "Source" is text.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BLANK = "-"
SOURCE, MODEL = "Source", "Model"  # headings with a format of their own
OURS = "this suite"  # the source of a measured row begins with this

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A table with its title; the first `texts` columns are text, `note` stands below."""

    title: str
    rows: Rows
    texts: int = 2
    note: str = ""


def markdown(rows: Rows, texts: int = 2) -> str:
    """A Markdown table; the model is in bold in rows measured by this suite."""
    head, *body = rows
    model = head.index(MODEL) if MODEL in head else None
    body = [
        [
            f"**{cell}**" if column == model and is_ours(row) else cell
            for column, cell in enumerate(row)
        ]
        for row in body
    ]
    rule = ["---" if is_text else "--:" for is_text in text_columns(head, texts)]
    lines = [[cell.replace("|", r"\|") for cell in row] for row in (head, rule, *body)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def latex(rows: Rows, texts: int = 2) -> str:
    """A tabular with rules above, below and between published rows and those of this suite."""
    head, *body = rows
    columns = "".join("l" if is_text else "r" for is_text in text_columns(head, texts))
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\hline", _latex_row(head), r"\hline"]
    for index, row in enumerate(body):
        if index and is_ours(row) and not is_ours(body[index - 1]):
            lines.append(r"\hline")
        lines.append(_latex_row(row))
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def markdown_section(table: Table) -> str:
    """Title, table and note."""
    note = f"\n{table.note}\n" if table.note else ""
    return f"## {table.title}\n\n{markdown(table.rows, table.texts)}{note}"


def latex_section(table: Table) -> str:
    """Title and note as comments, around the tabular."""
    return f"% {table.title}\n\n{latex(table.rows, table.texts)}{latex_comment(table.note)}"


def latex_comment(text: str) -> str:
    return "".join(f"% {line}\n" for line in text.splitlines())


def text_columns(head: Sequence[str], texts: int) -> list[bool]:
    last = len(head) - 1
    return [
        column < texts or (column == last and name == SOURCE) for column, name in enumerate(head)
    ]


def is_ours(row: Sequence[str]) -> bool:
    """Whether a row was measured by this suite, by its last cell."""
    return row[-1].startswith(OURS)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(cell: str) -> str:
    """Text with its special characters escaped, except between dollars."""
    if cell.startswith("1/eB("):
        return r"$1/\varepsilon_B$" + _latex_cell(cell.removeprefix("1/eB"))
    parts = cell.split("$")
    parts[::2] = [_escaped(part) for part in parts[::2]]
    return "$".join(parts)


def _escaped(text: str) -> str:
    for plain, written in (
        ("_", r"\_"),
        ("%", r"\%"),
        ("&", r"\&"),
        ("#", r"\#"),
        ("±", r"$\pm$"),
        ("> ", "$>$ "),
    ):
        text = text.replace(plain, written)
    return re.sub(r"\^(-?\d+)", r"$^{\1}$", text)


SECTIONS: dict[str, Callable[[Table], str]] = {"markdown": markdown_section, "latex": latex_section}
