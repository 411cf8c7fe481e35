"""Writes run.svg, a real run as a terminal shows it, in the middle and at the end, and verify.svg, what is checked then.

It needs a running stack that knows the demo source, with enough records that the middle can be caught:

    make demo ROWS=300000
    .venv/bin/python docs/pictures/record_run.py
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent
COLUMNS, ROWS = 88, 40
RUN = ("run", "posts", "users", "--wait")
VERIFY = ("verify",)

CONTROL = re.compile(r"\x1b\[\??(\d*)([A-HJKSTf-z])")
"""A control sequence other than colterminal: how much of it, and what."""

SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="A terminal">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, SFMono-Regular, Menlo, Consolas,
 "DejaVu Sans Mono", monospace; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich draws it, with fonts that every machine has: a picture loads nothing from the network."""


class Screen:
    """What a terminal shows of a program that writes lines, and goes back up to write them anew."""

    def __init__(self) -> None:
        self._lines = [""]
        self._row = 0

    def feed(self, text: str) -> None:
        for part in re.split(r"(\n|\r|\x1b\[\??\d*[A-HJKSTf-ln-z])", text):
            if part == "\n":
                self._row += 1
                if self._row == len(self._lines):
                    self._lines.append("")
            elif (control := CONTROL.fullmatch(part)) is not None:
                self._control(control[2], int(control[1] or 1))
            elif part != "\r":
                self._lines[self._row] += part

    def _control(self, command: str, number: int) -> None:
        if command == "A":
            self._row = max(0, self._row - number)
        elif command == "K":
            self._lines[self._row] = ""

    @property
    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n")


def screens(arguments: Sequence[str]) -> Iterator[str]:
    """What the terminal shows of a command, each time it has changed."""
    terminal, child_side = pty.openpty()
    fcntl.ioctl(child_side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-m", "console", *arguments],
        stdin=child_side,
        stdout=child_side,
        stderr=child_side,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(child_side)
    screen = Screen()
    while True:
        try:
            written = os.read(terminal, 2**20)
        except OSError:  # the last one who wrote has gone
            break
        screen.feed(written.decode())
        yield screen.text
    os.close(terminal)
    if process.wait() != 0:
        sys.exit(screen.text)


def busiest(seen: Sequence[str]) -> str:
    """The moment at which most stages have a rate: the middle of the run."""
    return max(seen, key=lambda text: (text.count("/s"), len(text)))


def main() -> None:
    seen = list(screens(RUN))
    draw("run.svg", (RUN, busiest(seen)), (None, seen[-1]))
    draw("verify.svg", (VERIFY, list(screens(VERIFY))[-1]))


def draw(name: str, *shown: tuple[Sequence[str] | None, str]) -> None:
    """Commands and what the terminal showed of them; without a command: the end of the one before."""
    console = Console(
        record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    for arguments, text in shown:
        if arguments is None:
            console.print(Text("\n… and when it is done:\n", "dim italic"))
        else:
            console.print(Text("$ ", "bold green") + Text("onpoint " + " ".join(arguments)))
        console.print(Text.from_ansi(text))
    picture = console.export_svg(title="OnPoint", code_format=SVG, unique_id=name.partition(".")[0])
    lines = (line.rstrip() for line in picture.splitlines())
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
