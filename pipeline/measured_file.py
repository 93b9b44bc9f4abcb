"""Files in the run folder's root that a verb beside the stages measured, and whether they are still of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commerce.durable import write_atomic
from configs.errors import InputError
from pipeline.run_folder import RunFolder
from pipeline.stage_key import outputs_digest


@dataclass(frozen=True)
class MeasuredFile:
    """One kind of them."""

    name: str
    format: int
    """Version of what it holds."""
    inputs: tuple[str, ...]
    """Stages whose files are measured."""
    verb: str
    """Of ``mercato``, which writes it."""

    def write(self, run: RunFolder, told: Mapping[str, Any]) -> dict[str, Any]:
        """Write it into a run folder, and return what it holds: ``told``, and what it was measured on."""
        whole = {"format": self.format, **told, "inputs": self._digests(run)}
        write_atomic(run.root / self.name, json.dumps(whole, indent=1, ensure_ascii=False))
        return whole

    def read(self, run: RunFolder) -> tuple[dict[str, Any], bool] | None:
        """Return what it holds, and whether it was measured on the run's files as they are; None without a file.

        Raises:
            InputError: if the file is of another format.
        """
        path = run.root / self.name
        if not path.is_file():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format") != self.format:
            raise InputError(
                f"{path} has format {found.get('format')!r}, and {self.format} is read; run `mercato {self.verb} "
                "CONFIG` again, or remove the file"
            )
        return found, found["inputs"] == self._digests(run)

    def _digests(self, run: RunFolder) -> dict[str, str]:
        return {name: outputs_digest(run, name) for name in self.inputs}
