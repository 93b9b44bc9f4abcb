"""Do tags foretell purchases? Prepares a config's data, no training needed, and prints what `mercato profiles` would.

python benchmarks/profiles/tags.py configs/demo.yaml [key=value ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from configs.load import load_config
from learning.hardware import machine
from pipeline.limits import limit_process
from pipeline.profiles import Source
from pipeline.provenance import git_commit
from pipeline.run_stages import run_stages
from pipeline.tag_evaluation import evaluate_tags, tag_lines


def main() -> None:
    """Print the measurement."""
    config = load_config(sys.argv[1], sys.argv[2:])
    limit_process(config.run.threads)
    run_stages(config, ("ingest", "prepare"))
    for halflife in (30.0, 60.0, 120.0):
        source = Source.open(Path(config.run.folder), (), halflife)
        print(f"half-life {halflife:g} days")
        print("\n".join(tag_lines(evaluate_tags(source))))
    print(f"seed {config.run.seed}; {machine()}; commit {git_commit()}")


if __name__ == "__main__":
    main()
