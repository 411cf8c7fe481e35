"""A dataset's steps on the rows of a batch: an Arrow file in, an Arrow file out."""

import hmac
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from shared.datasets.transform import Step
from shared.transforms.errors import StepError
from shared.transforms.frames import read_pieces, schema_of, write_pieces
from shared.transforms.mask import MaskError, apply_masks, mask_schema
from shared.transforms.sandbox import Limits, Sandbox

NO_SECRET = "ONPOINT_MASK_SECRET is not set: a hash without a secret can be undone by trying values"  # noqa: S105 - a sentence


@dataclass(slots=True)
class Transformer:
    """Runs steps within limits. Safe for threads, as its sandbox is."""

    limits: Limits = field(default_factory=Limits)
    secret: bytes | None = None
    """Of the masks that hash."""
    sandbox: Sandbox = field(default_factory=Sandbox)

    @property
    def digest(self) -> str:
        """Equal for two that have the same secret and limits. Does not tell the secret."""
        told = f"{self.limits.memory_mib} {self.limits.timeout_s}"
        return hmac.digest(self.secret or b"none", told.encode(), "sha256").hex()[:16]

    def run(self, steps: Sequence[Step], source: Path, folder: Path, names: Sequence[str]) -> Path:
        """The file with the rows after the last step, in the order of their positions, in `folder`.

        Where they have the columns `names`, they have those alone, in that order.
        Raises `StepError` where a step is to blame, `SystemLackError` where the machine is.
        """
        ends_at = time.monotonic() + self.limits.timeout_s
        rows = source
        for number, step in enumerate(steps, 1):
            target = folder / f"step-{number}.arrow"
            if step.mask is not None:
                self._mask(number, step, rows, target)
            else:
                wanted = names if number == len(steps) else None
                self._ask(number, step, rows, target, wanted, ends_at)
            if rows != source:
                rows.unlink()
            rows = target
        return rows

    def load(self, number: int, step: Step) -> None:
        """Loads the module of a function in a process of its own. Raises as `run`."""
        with tempfile.TemporaryDirectory(prefix="onpoint-") as name:
            file = Path(name) / "none.arrow"
            file.touch()
            ends_at = time.monotonic() + self.limits.timeout_s
            self._send(number, step, {**_job(step), "kind": "load"}, file, file, None, ends_at)

    def _ask(
        self,
        number: int,
        step: Step,
        rows: Path,
        target: Path,
        names: Sequence[str] | None,
        ends_at: float,
    ) -> None:
        self._send(number, step, _job(step), rows, target, names, ends_at)

    def _send(
        self,
        number: int,
        step: Step,
        job: Mapping[str, Any],
        rows: Path,
        target: Path,
        names: Sequence[str] | None,
        ends_at: float,
    ) -> None:
        answer = self.sandbox.run(
            {
                **job,
                "names": names,
                "source": str(rows.resolve()),
                "target": str(target.resolve()),
                "folder": str(target.parent.resolve()),
                "memory_mib": self.limits.memory_mib,
                "limit_s": self.limits.timeout_s,
                "timeout_s": max(0.0, ends_at - time.monotonic()),
            }
        )
        if "reason" in answer:
            raise StepError(number, step.kind, str(answer["reason"]))

    def _mask(self, number: int, step: Step, rows: Path, target: Path) -> None:
        masks = step.mask or ()
        if self.secret is None and any(mask.how == "hash" for mask in masks):
            raise StepError(number, step.kind, NO_SECRET)
        secret = self.secret or b""
        try:
            schema = mask_schema(schema_of(rows), masks)
            pieces = (apply_masks(piece, schema, masks, secret) for piece in read_pieces(rows))
            write_pieces(target, schema, pieces)
        except (MaskError, pa.ArrowInvalid) as error:
            raise StepError(number, step.kind, str(error)) from error


def _job(step: Step) -> Mapping[str, Any]:
    match step.kind:
        case "sql":
            return {"kind": "sql", "sql": step.sql}
        case "explode":
            return {"kind": "explode", "column": step.explode}
        case _:
            module, _, function = (step.python or "").partition(":")
            code = step.code
            return {
                "kind": "python",
                "frame": step.frame,
                "module": module,
                "function": function,
                "text": None if code is None else code.text,
                "sha256": None if code is None else code.sha256,
            }
