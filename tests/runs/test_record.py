"""evaluation.json: means over seeds, the table, writing whole or not at all, results that say why
there are none."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multigen.bench.recipe import read_result
from multigen.engine import Run, Stage, Update
from multigen.engine.evaluation import Evaluation, RunInfo, mean_and_std
from multigen.runs import card, runner
from multigen.runs import record as records
from multigen.runs.record import not_run, record
from multigen.storage.files import from_json, write_json
from tests.engine.toys import Numbers, ToyConfig
from tests.runs.test_schema import faults
from tests.tiny import KEYS


def test_means_and_sample_deviations_over_seeds() -> None:
    values = np.array([30.0, 31.5, 30.6])
    several = [
        Evaluation({"bicubic": {"psnr": 28.0}, "ours": {"psnr": v, "ssim": v / 40}}, {"psnr": "dB"}) for v in values
    ]
    result = mean_and_std(several)
    assert result.definitions == {"psnr": "dB"}
    assert result.rows["bicubic"] == {"psnr": 28.0, "psnr_std": 0.0}
    expected = {"psnr": values.mean(), "psnr_std": values.std(ddof=1)}
    expected |= {"ssim": values.mean() / 40, "ssim_std": values.std(ddof=1) / 40}
    assert result.rows["ours"] == pytest.approx(expected)


def test_one_seed_has_no_deviation() -> None:
    assert mean_and_std([Evaluation({"ours": {"psnr": 30.0}})]).rows == {"ours": {"psnr": 30.0, "psnr_std": 0.0}}


def test_the_table_has_a_line_a_row_and_a_column_a_metric() -> None:
    rows = {"bicubic": {"Set5/psnr_y": 28.43}, "adversarial/best": {"Set5/psnr_y": 30.12346, "vgg22": 0.5}}
    evaluation = Evaluation(rows)
    assert str(evaluation) == evaluation.table()  # what print(trainer.evaluate()) shows
    head, first, second = evaluation.table().splitlines()
    assert head.split() == ["Set5/psnr_y", "vgg22"]
    assert first.split() == ["bicubic", "28.4300", "-"]
    assert second.split() == ["adversarial/best", "30.1235", "0.5000"]
    assert len(head) == len(first) == len(second)


def test_remarks_are_below_the_table() -> None:
    evaluation = Evaluation({"real": {"fd": 1.0}}, remarks={"few": "word " * 40})
    table, remark = str(evaluation).split("\n\n")
    assert table == evaluation.table() and remark.startswith("few: word word")
    assert max(map(len, remark.splitlines())) <= 80
    assert "few" in evaluation._repr_html_()


def test_a_table_fits_80_columns() -> None:
    names = ["fd_classifier", "kd_classifier", "precision", "recall", "density", "coverage", "variety", "memorisation"]
    rows = {row: dict.fromkeys(names, 14_677.8235) for row in ("real", "real_training", "adversarial/last")}
    lines = (few := Evaluation(rows)).table().splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == 1 + len(names)  # narrower with a line a metric
    assert [line.split() for line in few.table(["recall"]).splitlines()[1:]] == [[row, "14677.8235"] for row in rows]
    many = {f"{stage}/{which} at {t}": rows["real"] for stage in ("mle", "x") for which in ("last",) for t in range(9)}
    lines = Evaluation(many).table().splitlines()
    assert max(map(len, lines)) <= 80 and sum(name in line.split() for line in lines for name in names) == len(names)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results" / "a.json"
    write_json(path, {"rows": {}})
    with pytest.raises(TypeError):
        write_json(path, {"rows": object()})
    assert json.loads(path.read_text()) == {"rows": {}}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def strictly(text: str) -> Any:
    """What other programs' readers take: Python's own is lax."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_figures_that_are_not_finite_are_json_and_come_back(tmp_path: Path) -> None:
    """Of equal pictures the signal-to-noise ratio is infinite."""
    rows = {"same": {"psnr_y": math.inf, "error": math.nan, "ssim": 1.0}, "low": {"log": -math.inf, "n": 3}}
    write_json(tmp_path / "a.json", {"rows": rows, "status": "ok", "seeds": [0], "seconds": 1.0})
    text = (tmp_path / "a.json").read_text()
    assert strictly(text)["rows"] == {
        "same": {"psnr_y": "Infinity", "error": "NaN", "ssim": 1.0},
        "low": {"log": "-Infinity", "n": 3},
    }
    for result in (from_json(text)["rows"], read_result(tmp_path / "a.json")["rows"]):
        assert math.isnan(result["same"].pop("error"))
        assert result == {"same": {"psnr_y": math.inf, "ssim": 1.0}, "low": {"log": -math.inf, "n": 3}}


def test_a_result_that_is_none_has_the_shape_of_one() -> None:
    content = not_run("srgan", "multigen bench a.toml", "it needs a GPU")
    assert list(content) == KEYS
    assert content["status"] == "not run: it needs a GPU"
    assert content["rows"] == {} and content["machine"] and content["commit"]


def test_a_record_states_the_runs_of_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["my_gan.py", "tiny"])
    runs = [RunInfo("my_gan", seed, {"adversarial": 9}, "fp32", seconds) for seed, seconds in ((3, 1.04), (4, 2.0))]
    content = record(Evaluation({"real": {"fd": 0.5}}, {"fd": "a distance"}), runs)
    assert list(content) == KEYS
    assert (content["method"], content["seed"], content["seeds"]) == ("my_gan", 3, [3, 4])
    assert (content["steps"], content["seconds"]) == ({"adversarial": 9}, 3.0)
    assert content["command"].endswith(" tiny") and content["machine"].endswith(", fp32")
    remarked = record(Evaluation(remarks={"verdict": "none"}), runs)
    assert list(remarked) == [*KEYS, "remarks"] and remarked["remarks"] == {"verdict": "none"}


def test_a_record_keeps_what_selected_checkpoints_against_time(tmp_path: Path) -> None:
    lines = [
        {"step": 5, "stage": "first", "G/loss": 1.0, "items_per_second": 9.0},
        {"step": 5, "validation": {"psnr": 1.0}, "seconds": 1.0},
        {"step": 9, "stage": "second", "G/loss": 1.0, "items_per_second": 9.0},
        {"step": 9, "validation": {"fd": 3.0, "d_overfit": 0.0}, "seconds": 2.5},
        {"step": 10, "validation": {"d_overfit": 0.0}, "seconds": 3.0},
        {"step": 12, "validation": {"fd": 2.0, "d_overfit": 0.0}, "seconds": 4.0},
        {"step": 13, "validation": {"fd": 2.0}},  # of an earlier version, which noted no times
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = RunInfo("gan", 7, {"first": 5, "second": 9}, "fp32", 4.0, {"second": "fd"})
    content = record(Evaluation({"real": {"fd": 0.5}}, {"fd": "a distance"}), [run], [tmp_path])
    assert content["curves"] == [
        {"row": "second", "seed": 7, "metric": "fd", "seconds": [2.5, 4.0], "values": [3.0, 2.0]}
    ]
    assert faults(content) == []
    assert "curves" not in record(Evaluation(), [run])


def test_git_is_asked_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first = record(Evaluation(), [RunInfo("gan", 0, {}, "fp32", 0.0)])["commit"]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a second process")

    monkeypatch.setattr(records.subprocess, "run", refuse)
    assert not_run("gan", "multigen bench a.toml", "it needs a GPU")["commit"] == first


class Bare(Numbers):
    """A trainer of no task, to which nothing attaches callbacks."""

    def stages(self) -> list[Stage]:
        return [
            Stage("only", self.config.steps, [Update("g", ["G"], lambda batch, step: {"w": self.G().square().sum()})])
        ]

    def score(self) -> Evaluation:
        return Evaluation({"only/last": {"w": math.inf}}, {"w": "a weight"})


def test_evaluation_json_is_written_once_and_is_what_the_runner_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def noting(path: Path, content: Any) -> None:
        written.append(path)
        write_json(path, content)

    for module in (card, runner):
        monkeypatch.setattr(module, "write_json", noting)
    content = runner.train(Bare, ToyConfig(), Run(out=str(tmp_path / "run"), device="cpu", precision="fp32"))[2]
    assert written == [tmp_path / "run" / "evaluation.json"]
    assert content == from_json(written[0].read_bytes()) and content["rows"] == {"only/last": {"w": math.inf}}


def test_after_a_run_of_seconds_the_headlines_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["fd_classifier", "kd_classifier", "precision", "recall", "density", "coverage", "variety", "memorisation"]
    evaluation = Evaluation({row: dict.fromkeys(names, 0.5) for row in ("real", "adversarial/last")})
    runner._show_table(evaluation, {"adversarial": 20})
    shown = capsys.readouterr().out
    assert [name for name in names if name in shown] == ["fd_classifier", "precision", "coverage", "memorisation"]
    assert shown.endswith("\n\nevaluation.json has 4 more metrics\n")
    runner._show_table(evaluation, {"pretrain": 20, "adversarial": 30})
    shown = capsys.readouterr().out
    assert all(name in shown for name in names) and "more metrics" not in shown
