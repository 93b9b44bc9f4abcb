import re

from click.testing import CliRunner

from commerce.columns import INTENTS
from pipeline.show_intents import intents


def test_rules_shares_and_examples_are_read_as_a_person_would(tiny_run):
    run, _ = tiny_run
    done = CliRunner().invoke(intents, [str(run.folder), "--examples", "1"])
    assert done.exit_code == 0, done.output
    assert "intents by rule: buy: a cart or a purchase follows in the session" in done.output
    for intent in INTENTS:
        (example,) = re.findall(rf"\n{intent}: user u\d+ at 2026-\S+ \S+ UTC, .*\n.*\n.*\n", done.output)
        then = example.split("then:")[1]
        assert ("cart" in then or "purchase" in then) == (intent == "buy")
        # What the label is made of lies after the moment, what it was foretold from before.
        assert not re.search(r"-\d+\.\d min", then)
        assert not re.search(r"\+0*[1-9]", example.split("so far:")[1].split("then:")[0])
    assert len(re.findall("foretold: browse .*compare .*buy", done.output)) == 3


def test_a_folder_without_labels_is_told_what_to_run(tmp_path):
    done = CliRunner().invoke(intents, [str(tmp_path)])
    assert "run `mercato prepare CONFIG`" in str(done.exception)
