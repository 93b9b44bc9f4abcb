"""Taking over a finished stage of another run, where running it here would write the same."""

from __future__ import annotations

import os
import shutil

from commerce.durable import replace_folder
from configs.schema import Config
from pipeline.run_folder import RunFolder
from pipeline.stage import STAGES
from pipeline.stage_key import stage_key


def take_over(config: Config, run: RunFolder, donor: RunFolder) -> list[str]:
    """Put into ``run`` every stage that ``donor`` has finished under the very key it would have here.

    A key tells settings, package version and inputs, so the files are those that the stage would write. They are
    linked, not copied, where the file system allows it: sealed files are never written again. Stages that publish
    files outside their folder are left out.

    Returns: names of the stages taken over, in their natural order.
    """
    taken = []
    for stage in STAGES:
        manifest = donor.manifest(stage.name)
        if manifest is None or manifest["published"] or run.manifest(stage.name) is not None:
            continue
        if all(run.manifest(name) is not None for name in stage.after) and manifest["key"] == stage_key(
            stage, config, run
        ):
            temporary = run.open_temporary(stage.name)
            shutil.copytree(donor.stage(stage.name), temporary, copy_function=_link, dirs_exist_ok=True)
            replace_folder(temporary, run.root / stage.name)
            taken.append(stage.name)
    return taken


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
