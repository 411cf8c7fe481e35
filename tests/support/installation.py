"""An installed package, and the empty folder that its user works in."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Installation:
    programs: Path
    folder: Path
    environment: Mapping[str, str]

    def run(self, program: str, *words: str, within_s: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.programs / program, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
