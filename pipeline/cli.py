"""The command line: ``mercato STAGE CONFIG [key=value ...]``; tools that read a run or a bundle take flags.

Heavy libraries are imported inside the verbs, so that ``mercato --help`` answers at once and a serving machine
without torch can ``verify`` and ``recommend``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from configs.errors import InputError

if TYPE_CHECKING:
    from configs.schema import Config

_RUN = "Run all stages; those that are up to date are skipped."
_CURVE = "Train on shares of the users: how much data does this shop need?"
_PARTS = "Say what each part adds: the same config without it, over several seeds."
_FRONT = "Choose the reranker's depth, layers and attention: measure quality and cost of a grid."
_TEACH = "Let the reranker teach the towers, in a run below; say what that was worth."
_ROBUSTNESS = "Say what typos, word order and look-alike scripts do to the shipped order."
_RELEVANCE = "Tune tower and cross-encoder on graded (query, product) pairs, and measure them."
_CONFIG = "Print the config as resolved, every setting in it."
_STAGES = {
    "ingest": "Read the shop's tables, check them, give out integer codes.",
    "prepare": "Make histories, windows, requests, features and texts.",
    "adapt": "Adapt the text encoder to the shop's own texts, where text.adapt_steps says so.",
    "train-towers": "Train the user and item towers.",
    "embed": "Write the vectors of items and of each request's user.",
    "index": "Build the FAISS index over the item vectors.",
    "retrieve": "Find some hundred candidates per request from every source.",
    "train-ranker": "Train the cross-encoder and let the gate judge it.",
    "rank": "Put the candidates in the order that ships.",
    "evaluate": "Measure against the baselines; write metrics.json.",
    "export": "Write the sealed bundle.",
    "register": "Log the run and register its bundle in MLflow.",
}
_TOOLS = {
    "verify": ("serving.commands", "Check a bundle's hashes and replay its golden requests."),
    "recommend": ("serving.commands", "Answer one request from a bundle."),
    "explain": ("serving.explain_command", "Say why an item is recommended, or why not."),
    "add-items": ("serving.commands", "Add new items to a bundle, without torch."),
    "diff": ("serving.commands", "Say what sets two bundles apart."),
    "audit": ("pipeline.audit", "List what could identify a person in a run or a bundle."),
    "forget": ("pipeline.forget", "Remove a user from a run's files and its next bundle."),
    "opt-out": ("serving.rights_commands", "Stop profiling a user in a bundle's answers."),
    "block": ("serving.rights_commands", "Keep an item out of a bundle's answers."),
    "profiles": ("pipeline.profiles", "Write a profile of every user, and how well tags foretell purchases."),
    "profile": ("pipeline.profiles", "Print one user's profile."),
    "compare": ("pipeline.compare", "Say which differences between runs, or systems of one run, are real."),
    "promote": ("pipeline.registry.commands", "Make the candidate the champion, if it is not worse."),
    "rollback": ("pipeline.registry.commands", "Make the former champion the champion again."),
    "retire": ("pipeline.registry.commands", "Keep a version from ever becoming champion again."),
    "history": ("pipeline.registry.commands", "Say who was champion from when to when, and why."),
    "graph": ("pipeline.graph", "Draw what goes with an item."),
    "milvus": ("pipeline.milvus", "Put a run's item vectors into Milvus."),
    "intents": ("pipeline.show_intents", "Print the intent labels' rules, shares and examples."),
    "show": ("pipeline.show", "Print what a finished run found out."),
}


class _Verbs(click.Group):
    """A group that lists its verbs in the order of the data and imports a tool only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = ["learning-curve", "parts", "front", "teach", "robustness", "relevance", "config"]
        return ["run", *_STAGES, *names, *_TOOLS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _TOOLS:
            command: click.Command = getattr(importlib.import_module(_TOOLS[cmd_name][0]), cmd_name.replace("-", "_"))
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        tools = {name: text for name, (_, text) in _TOOLS.items()}
        helps = {"run": _RUN, **_STAGES, "learning-curve": _CURVE, "parts": _PARTS, "front": _FRONT}
        helps |= {"teach": _TEACH, "robustness": _ROBUSTNESS, "relevance": _RELEVANCE, "config": _CONFIG, **tools}
        with formatter.section("Verbs"):
            formatter.write_dl([(name, helps[name]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"did you mean {near[0]}?" if near else "see mercato --help"
            ctx.fail(f"there is no verb {args[0]!r}; {hint}")


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mercato")
def commands() -> None:
    """Turn a shop's logs into personalised retrieval and ranking.

    A stage takes a config and overrides: mercato train-towers configs/bazaar.yaml towers.dim=64
    """


def _stage_command(name: str, short_help: str) -> click.Command:
    def call(config: str, overrides: tuple[str, ...]) -> None:
        _run(config, overrides, (name,))

    return _with_config(call, name, short_help)


def _with_config(function: Callable[..., None], name: str, short_help: str) -> click.Command:
    parameters: list[click.Parameter] = [
        click.Argument(["config"], metavar="CONFIG"),
        click.Argument(["overrides"], nargs=-1, metavar="[KEY=VALUE]..."),
    ]
    return click.Command(name, callback=function, params=parameters, help=short_help, short_help=short_help)


def _evaluate_command(short_help: str) -> click.Command:
    command = _with_config(_evaluate, "evaluate", short_help)
    command.params += [
        click.Option(["--ranking"], metavar="FILE", help="Then measure these ranked lists beside the run's systems."),
        click.Option(["--name"], default="", help="What to call them; the file's name unless said."),
    ]
    return command


def _evaluate(config: str, overrides: tuple[str, ...], ranking: str | None, name: str) -> None:
    if ranking is None:
        if name:
            raise InputError(f"--name {name} names ranked lists, but none are given; add --ranking FILE")
        _run(config, overrides, ("evaluate",))
        return
    _need_training_extra()
    from commerce.given_rankings import read_given
    from configs.load import load_config
    from pipeline.evaluate_ranking import evaluate_ranking, name_of

    # What is wrong with the file is said before any work.
    file = Path(ranking)
    given, system = read_given(file), name_of(file, name)
    _run(config, overrides, ("evaluate",))
    evaluate_ranking(load_config(config, overrides), given, file, system, click.echo)


def _curve_command() -> click.Command:
    command = _with_config(_learning_curve, "learning-curve", _CURVE)
    command.params.append(
        click.Option(["--fractions"], default=".05,.2,1", show_default=True, help="Shares of the users, up to 1.")
    )
    return command


def _learning_curve(config: str, overrides: tuple[str, ...], fractions: str) -> None:
    loaded = _open(config, overrides)
    from pipeline.learning_curve import PAGE, learning_curve, parse_fractions
    from pipeline.report.learning_curve import curve_lines

    found = learning_curve(loaded, parse_fractions(fractions), click.echo)
    click.echo("\n".join(curve_lines(found)))
    click.echo(f"plots: {Path(loaded.run.folder) / PAGE}")


def _parts_command() -> click.Command:
    command = _with_config(_parts, "parts", _PARTS)
    command.params.append(
        click.Option(["--seeds"], default="0,1,2", show_default=True, help="Seeds, each a training of its own.")
    )
    return command


def _parts(config: str, overrides: tuple[str, ...], seeds: str) -> None:
    loaded = _open(config, overrides)
    from pipeline.parts import PAGE, parse_seeds, parts
    from pipeline.report.parts import parts_lines

    found = parts(loaded, parse_seeds(seeds), click.echo)
    click.echo("\n".join(parts_lines(found)))
    click.echo(f"by segment: {Path(loaded.run.folder) / PAGE}")


def _front_command() -> click.Command:
    command = _with_config(_front, "front", _FRONT)
    command.params += [
        click.Option(["--attentions"], help="Of context_once,full; both, as far as possible, unless said."),
        click.Option(["--layers"], help="Lowest layers kept; 1,2,3 unless said."),
        click.Option(["--depths"], help="Candidates that are re-ordered; 10,20,50 unless said."),
    ]
    return command


def _front(
    config: str, overrides: tuple[str, ...], attentions: str | None, layers: str | None, depths: str | None
) -> None:
    loaded = _open(config, overrides)
    from pipeline.front import measure_front
    from pipeline.front_grid import Asked
    from pipeline.report.ranker_choice import front_lines

    found = measure_front(loaded, Asked.parse(attentions, layers, depths), click.echo)
    click.echo("\n".join(front_lines(found)))
    click.echo(f"drawn by the next `mercato evaluate {config}`: {Path(loaded.run.folder) / 'report.html'}")


def _teach_command() -> click.Command:
    command = _with_config(_teach, "teach", _TEACH)
    told = "Also refine once without the teacher: what of the gain is not its own."
    command.params.append(click.Option(["--control"], is_flag=True, help=told))
    return command


def _teach(config: str, overrides: tuple[str, ...], control: bool) -> None:
    loaded = _open(config, overrides)
    from pipeline.teach import FILE, teach, teaching_lines

    found = teach(loaded, control, click.echo)
    click.echo("\n".join(teaching_lines(found)))
    home = Path(loaded.run.folder)
    click.echo(f"all of it: {home / FILE}")
    if found["kept"]:
        taught = f"run.folder={found['taught']} towers.teacher={home}"
        click.echo(f"its bundle: mercato run {' '.join([config, *overrides, taught])}")


def _robustness_command() -> click.Command:
    command = _with_config(_robustness, "robustness", _ROBUSTNESS)
    command.params += [
        click.Option(["--strengths"], default=".1,.3", show_default=True, help="Chances of a word to be changed."),
        click.Option(["--requests"], type=click.IntRange(min=0), default=1000, show_default=True, help="0: all."),
    ]
    return command


def _robustness(config: str, overrides: tuple[str, ...], strengths: str, requests: int) -> None:
    loaded = _open(config, overrides)
    from pipeline.robustness import measure_robustness, parse_strengths, robustness_lines
    from pipeline.stage import NOISE

    found = measure_robustness(loaded, parse_strengths(strengths), requests)
    click.echo("\n".join([*robustness_lines(found), f"all of it: {Path(loaded.run.folder) / NOISE}"]))


def _relevance(config: str, overrides: tuple[str, ...]) -> None:
    loaded = _open(config, overrides)
    from pipeline.relevance.stages import run_relevance

    click.echo(f"measured: {run_relevance(loaded, click.echo)}")


def _run(config: str, overrides: tuple[str, ...], stages: tuple[str, ...]) -> None:
    loaded = _open(config, overrides)
    from pipeline.run_stages import run_stages

    run_stages(loaded, stages, click.echo)


def _run_all(config: str, overrides: tuple[str, ...]) -> None:
    _run(config, overrides, tuple(_STAGES))


def _print_config(config: str, overrides: tuple[str, ...]) -> None:
    _need_training_extra()
    from configs.load import as_yaml, load_config

    click.echo(as_yaml(load_config(config, overrides)), nl=False)


def _open(config: str, overrides: tuple[str, ...]) -> Config:
    """Read the config of a verb that trains or measures, with the process kept to its threads from here on."""
    _need_training_extra()
    from configs.load import load_config
    from pipeline.limits import limit_process

    loaded = load_config(config, overrides)
    limit_process(loaded.run.threads)
    return loaded


def _need_training_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("omegaconf", "ibis", "torch", "lightning") if find_spec(name) is None]
    if missing:
        raise InputError(
            f"this verb needs {', '.join(missing)}, which the serving runtime leaves out; "
            "install with pip install 'mercato[cpu,train]' (or gpu instead of cpu)"
        )


commands.add_command(_with_config(_run_all, "run", _RUN))
for _name, _help in _STAGES.items():
    commands.add_command(_stage_command(_name, _help) if _name != "evaluate" else _evaluate_command(_help))
commands.add_command(_curve_command())
commands.add_command(_parts_command())
commands.add_command(_front_command())
commands.add_command(_teach_command())
commands.add_command(_robustness_command())
commands.add_command(_with_config(_relevance, "relevance", _RELEVANCE))
commands.add_command(_with_config(_print_config, "config", _CONFIG))


def main() -> None:
    """Run the command line; what a person can mend ends in one sentence and exit code 1."""
    # Ids of a Windows or C locale terminal must not kill the output of Chinese titles.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        commands()
    except InputError as error:
        click.echo(f"mercato: {error}", err=True)
        sys.exit(1)


def run_folder_of(path: Path) -> Path:
    """Return the run folder meant by ``path``: the folder itself, or the one that a config names."""
    if path.is_dir():
        return path
    _need_training_extra()
    from configs.load import load_config

    return Path(load_config(path).run.folder)


if __name__ == "__main__":
    main()
