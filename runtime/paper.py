"""Paper that statements and reports are printed on: a running head, page numbers, titles, texts
and tables.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout

FONT = "helvetica"
MARGIN = 18
#: Height of a line.
LINE = 5
_GREY = (90, 90, 90)
#: Letters of Latin alphabets that do not come apart into one of ours and an accent.
_LETTERS = str.maketrans("\u0142\u0141\u0111\u0110\u0131", "lLdDi")
#: Dashes and quotation marks.
_MARKS = str.maketrans("\u2013\u2014\u2018\u2019\u201c\u201d", "--''\"\"")
Align = Literal["LEFT", "RIGHT"]
Rows = list[tuple[str, ...]]


class Paper(FPDF):
    """Letter paper; every page says what it belongs to."""

    def __init__(self, about: str, made: datetime) -> None:
        super().__init__(format="letter")
        self._about = about
        self.set_creation_date(made)
        self.set_title(about)
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=True, margin=MARGIN + 4)

    def header(self) -> None:
        """On every page but the first."""
        if self.page_no() > 1:
            self.set_font(FONT, size=8)
            self.set_text_color(*_GREY)
            self.cell(text=self._about, new_x="LMARGIN", new_y="NEXT")
            self.ln(3)
            self.set_text_color(0)

    def footer(self) -> None:
        """Page 1 of 2."""
        self.set_y(-MARGIN)
        self.set_font(FONT, size=8)
        self.set_text_color(*_GREY)
        self.cell(w=0, text=f"Page {self.page_no()} of {{nb}}", align="R")
        self.set_text_color(0)

    def line_of(self, text: str, *, size: int, bold: bool = False) -> None:
        """One line of text."""
        self.set_font(FONT, "B" if bold else "", size)
        self.cell(text=latin(text), new_x="LMARGIN", new_y="NEXT")

    def title_of(self, text: str) -> None:
        """A title; it does not stand alone at the end of a page."""
        if self.will_page_break(5 * LINE):
            self.add_page()
        self.line_of(text, size=11, bold=True)
        self.ln(1)

    def paragraph(self, text: str) -> None:
        """A text with `**bold**` words."""
        self.set_font(FONT, size=9)
        self.multi_cell(
            w=0, text=latin(text), align="L", markdown=True, new_x="LMARGIN", new_y="NEXT"
        )
        self.ln(2)

    def grid(
        self,
        head: tuple[str, ...] | None,
        rows: Rows,
        widths: tuple[int, ...],
        *,
        aligns: tuple[Align, ...] = ("LEFT", "LEFT", "RIGHT"),
        bold: Sequence[int] = (),
        ruled: bool = False,
    ) -> None:
        """A table across the page; `bold` are numbers of rows."""
        self.set_font(FONT, size=9)
        borders = TableBordersLayout.ALL if ruled else TableBordersLayout.SINGLE_TOP_LINE
        strong = FontFace(emphasis="BOLD")
        with self.table(
            col_widths=widths,
            text_align=aligns,
            borders_layout=borders if head else TableBordersLayout.NONE,
            first_row_as_headings=head is not None,
            headings_style=strong,
            line_height=LINE,
            width=self.epw,
        ) as table:
            if head:
                table.row(head)
            for number, row in enumerate(rows):
                table.row([latin(cell) for cell in row], style=strong if number in bold else None)


def latin(text: str) -> str:
    """The standard fonts of PDF know Latin-1 only. Letters of other Latin alphabets lose their
    accents; what is left is shown as `?`.
    """
    found = []
    for one in text.translate(_LETTERS).translate(_MARKS):
        try:
            one.encode("latin-1")
        except UnicodeEncodeError:
            found.append(unicodedata.normalize("NFKD", one))
        else:
            found.append(one)
    kept = "".join(one for one in "".join(found) if not unicodedata.combining(one))
    return kept.encode("latin-1", "replace").decode("latin-1")
