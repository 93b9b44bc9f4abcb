"""A serving machine has numpy, faiss, onnxruntime, tokenizers, click and rich, and nothing else of ours.

The bundle of these tests finds items by search terms too, for which it has bm25s and jieba.
"""

import subprocess
import sys
import time

import pytest

HEAVY = (
    "bm25s", "duckdb", "ibis", "jieba", "lightning", "mlflow", "omegaconf", "onnx", "onnxscript", "pandas", "pyarrow",
    "scipy", "sqlglot", "torch", "torchmetrics", "tqdm", "transformers", "yaml",
)  # fmt: skip
LEXICAL = ("bm25s", "jieba")

WITHOUT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted({*HEAVY} - {*LEXICAL})!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(code, *arguments):
    return subprocess.run([sys.executable, "-c", WITHOUT + code, *arguments], capture_output=True, text=True)


def test_serving_imports_nothing_heavy():
    done = run(
        "import serving.commands, serving.golden, serving.runtime, serving.verify\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_verify_and_recommend_run_without_the_training_packages(bundle):
    command = "from pipeline.cli import main; main()"
    verified = run(command, "verify", str(bundle))
    assert verified.returncode == 0, verified.stderr
    assert "60 golden requests answered as by torch, 12 of them reranked" in verified.stdout
    answered = run(command, "recommend", str(bundle), "--user", "u000003", "--query", "红色 tea", "-k", "4")
    assert answered.returncode == 0, answered.stderr
    assert "For user u000003, searching '红色 tea'" in answered.stdout
    assert "popularity #" in answered.stdout.replace("\n", "")


def test_items_are_added_without_the_training_packages(bundle, tmp_path):
    (tmp_path / "new.csv").write_text("item_id,title\nn1,zq-4711 desk lamp\n")
    added = run("from pipeline.cli import main; main()", "add-items", str(bundle), str(tmp_path / "new.csv"))
    assert added.returncode == 0, added.stderr
    assert "1 items added" in added.stdout


@pytest.mark.parametrize("verb", ["verify", "recommend"])
def test_damage_ends_in_one_sentence_and_a_failing_exit_code(bundle, verb):
    path = bundle / "statistics" / "popularity.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    options = ["--user", "u000003"] if verb == "recommend" else []
    done = run("from pipeline.cli import main; main()", verb, str(bundle), *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("mercato: ")
    assert "file statistics/popularity.npy was changed" in done.stderr


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    done = run("from pipeline.cli import main; main()", "verify", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "make one with `mercato export CONFIG`" in done.stderr


def test_the_commands_answer_within_seconds(bundle):
    started = time.perf_counter()
    run("from pipeline.cli import main; main()", "verify", str(bundle))
    assert time.perf_counter() - started < 10  # 1 s on an idle machine; tests run beside others
