"""Shows a run's progress during a wait: bars on a terminal, lines in a log, nothing beside JSON."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from console.cli.progress import plain_lines, render
from console.client.progress import Snapshot
from console.formatting import duration

PLAIN_EVERY_S = 5.0


class Display(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, snapshot: Snapshot) -> None: ...


class Bars:
    """Drawn anew in place; gone when it is over, so that the result stands alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        size = self._console.size
        self._live.update(render(snapshot, width=size.width, height=size.height), refresh=True)


class Lines:
    """What changed, every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, str] = {}
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        if snapshot.elapsed_s < self._next_s:
            return
        lines = plain_lines(snapshot)
        if snapshot.phase:
            lines["phase"] = snapshot.phase
        if snapshot.note:
            lines["note"] = snapshot.note
        changed = [line for name, line in lines.items() if self._shown.get(name) != line]
        for line in changed:
            self._console.print(
                f"{duration(snapshot.elapsed_s):>12}  {line}", markup=False, highlight=False, soft_wrap=True
            )
        if changed:
            self._shown = lines
            self._next_s = snapshot.elapsed_s + PLAIN_EVERY_S


class Nothing:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        pass


def choose(console: Console, *, as_json: bool) -> Display:
    """`console` is stderr: stdout belongs to the result."""
    if console.is_terminal and not console.is_dumb_terminal:
        return Bars(console)
    return Nothing() if as_json else Lines(console)
