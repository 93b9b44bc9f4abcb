from click.testing import CliRunner

from pipeline.show import show


def test_the_screen_tells_whether_the_system_works(tiny_run):
    run, _ = tiny_run
    done = CliRunner().invoke(show, [str(run.folder), "--users", "1"])
    assert done.exit_code == 0, done.output
    for part in (
        "mercato - popularity",
        "personal_frequency",
        "found by",
        "Reranker:",
        "verified:",
        "report.html",
        "mlflow ui",
    ):
        assert part in done.output, part


def test_without_the_key_it_still_tells_what_was_measured(tiny_run, monkeypatch):
    run, _ = tiny_run
    monkeypatch.delenv("MERCATO_HASH_KEY")
    done = CliRunner().invoke(show, [str(run.folder)])
    assert done.exit_code == 0, done.output
    assert "No recommendations shown: the bundle holds its users under keyed hashes" in done.output
    assert "verified:" in done.output


def test_a_folder_without_a_run_is_named(tmp_path):
    done = CliRunner().invoke(show, [str(tmp_path)])
    assert done.exit_code != 0
    assert "metrics.json is not there; run `mercato run CONFIG` to its end first" in str(done.exception)
