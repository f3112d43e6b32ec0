"""Run folders that somebody else made: files that are none, lead elsewhere, never end, or hold more
than a run writes."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import multigen.runs.facts
from multigen.errors import MultigenError
from multigen.runs.comparison import compare, read_runs
from multigen.runs.comparison.curves import draw
from multigen.runs.facts import gather
from multigen.runs.report import media
from multigen.runs.runner import report_on
from multigen.storage.files import to_json
from tests.special import replace_by

SECRET = "a secret of another folder"
KINDS = ["a named pipe", "a socket", "a device", "a link", "too large"]


def lines(*records: dict[str, Any]) -> str:
    return "".join(to_json(record) + "\n" for record in records)


def made(folder: Path, metrics: Iterable[dict[str, Any]] = (), log: Iterable[dict[str, Any]] = ()) -> Path:
    """A run folder with a line of each sort, or with these lines."""
    (folder / "checkpoints" / "step-000000001").mkdir(parents=True)
    (folder / "previews").mkdir()
    (folder / "config.toml").write_text(f'version = "0.2.0"\nmethod = "dcgan"\ntitle = "{SECRET}"\n[config]\n[run]\n')
    (folder / "metrics.jsonl").write_text(lines(*(metrics or [{"step": 1, "stage": "a", "D/loss": 0.5}])))
    (folder / "log.jsonl").write_text(lines(*(log or [{"step": 1, "time": "", "said": SECRET}])))
    (folder / "evaluation.json").write_text(json.dumps({"rows": {"a/last": {"fd": 1.0}}, "remarks": {"x": SECRET}}))
    (folder / "checkpoints" / "step-000000001" / "run.json").write_text("{}")
    Image.new("L", (4, 4)).save(folder / "previews" / "step-1.png")
    (folder / "previews" / "step-1.txt").write_text(SECRET)
    (folder / "samples.txt").write_text(SECRET)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "config.toml",
        "metrics.jsonl",
        "log.jsonl",
        "evaluation.json",
        "checkpoints/step-000000001/run.json",
        "previews/step-1.txt",
        "previews/step-1.png",
        "samples.txt",
    ],
)
def test_a_report_shows_nothing_but_regular_files_of_the_run(
    name: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(tmp_path / "run")
    replace_by(kind, run / name, tmp_path)
    for file in ("config.toml", "log.jsonl", "evaluation.json", "previews/step-1.txt", "samples.txt"):
        if file != name:  # the others do not hold the secret
            (run / file).write_text((run / file).read_text().replace(SECRET, "mine"))
    if name == "config.toml":
        with pytest.raises(MultigenError, match=r"^[^\n]*config\.toml cannot be read as TOML \([^\n]*\)[^\n]*$"):
            report_on(run)
        return
    page = report_on(run).read_text()
    assert "mine" in page
    assert SECRET not in page or kind == "too large"  # of a long text of its own the beginning is shown
    if name.endswith(("jsonl", "evaluation.json")):
        assert f"{run / name}: ignored (" in capsys.readouterr().err


def test_previews_and_seeds_that_are_links_to_elsewhere_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = made(tmp_path / "run"), made(tmp_path / "other")
    (run / "previews").rename(tmp_path / "previews")
    (run / "previews").symlink_to(other / "previews")
    page = report_on(run).read_text()
    assert f"{run / 'previews'}: ignored, as it is a link that leads out of {run}" in capsys.readouterr().err
    assert "step 1</figcaption>" not in page
    above = tmp_path / "above"
    made(above / "seed-0")
    (above / "seed-1").symlink_to(other)
    assert [seed.folder.name for seed in gather(above).seeds] == ["seed-0"]


def test_a_run_folder_that_is_a_link_is_a_run_folder(tmp_path: Path) -> None:
    made(tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    page = report_on(tmp_path / "link").read_text()
    assert page.count(SECRET) >= 4 and "step 1</figcaption>" in page


def test_media_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path / "run")
    Image.new("1", (9000, 9000)).save(run / "samples.png")
    (run / "nearest.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (run / "curves.png").write_text("<svg onload='alert(1)'></svg>")
    for step in range(2, 9):
        (run / "previews" / f"step-{step}.txt").write_text("x" * 10**6)
    for i in range(40):
        (run / f"extra-{i:02d}.txt").write_text("x")
    (run / "previews" / "step-\u00b2.txt").write_text("no number")
    page = report_on(run).read_text()
    assert "samples.png cannot be read: 9,000 x 9,000 pixels; expected at most 50,000,000 in all" in page
    assert page.count("cannot identify image file") == 2 and "<svg onload" not in page
    assert len(page) < 10**6 and page.count("extra-") < 60
    monkeypatch.setattr(media, "LARGEST", 10)
    assert "step-1.png cannot be read: " in report_on(run).read_text()


HUGE = [
    {"step": 10**30, "stage": "a", "D/loss": 1.0},
    {"step": -5, "stage": "a", "D/loss": 1.0},
    {"step": 1, "stage": "a", "D/loss": 1e308},
    {"step": 2, "stage": "a", "D/loss": float("inf")},
    {"step": 3, "stage": "a", "D/loss": float("nan"), "G/loss": 10**400},
    {"step": 4 * 10**15, "stage": "a", "D/loss": -1e308, "validation": {"x": 1e308}},
    {"step": 5, "control": "lr", "reason": "r" * 10**4, "rollback": 10**30},
]


def test_absurd_steps_values_and_times_are_drawn(tmp_path: Path) -> None:
    log = [{"step": 10**15, "time": "9999-99-99T99", "rates": {"G": 1e308}}, {"step": 1, "time": 1e300, "said": 5}]
    runs = [str(made(tmp_path / name, HUGE, log)) for name in "ab"]
    assert "4,000,000,000,000,000" in report_on(Path(runs[0])).read_text()
    result = read_runs(runs)
    compare(result)
    assert draw(tmp_path / "c.png", {name: run.stages for name, run in result.items()})


def test_more_lines_than_are_kept_lose_means_and_no_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multigen.runs.facts, "ENTRIES", 3_000)
    metrics = [{"step": i, "stage": "a", "D/loss": float(i)} for i in range(5_000)]
    metrics[100:100] = [{"step": 99, "control": "lr", "reason": "why"}]
    result = gather(made(tmp_path / "run", metrics))
    (stage,) = result.stages
    steps = [step for step, _ in stage.curves["D/loss"]]
    assert 300 < len(steps) < 1_000 and steps == sorted(steps) and steps[-1] > 4_900
    assert [line["reason"] for line in result.controls] == ["why"]


def test_more_events_than_a_run_has_end_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(multigen.runs.facts, "ENTRIES", 3_000)
    run = made(tmp_path / "run", log=[{"step": i, "time": "", "said": "s"} for i in range(5_000)])
    assert len(gather(run).messages) < 1_100
    assert "log.jsonl: longer than any run writes; lines after step" in capsys.readouterr().err


def test_stages_and_curves_without_number_are_cut(tmp_path: Path) -> None:
    metrics = [{"step": i, "stage": f"s{i}", **{f"u{j}/x": 1.0 for j in range(300)}} for i in range(40)]
    result = gather(made(tmp_path / "run", metrics))
    assert len(result.stages) == 16 and all(len(stage.curves) == 100 for stage in result.stages)


def test_a_long_curve_is_compared_by_few_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multigen.runs.comparison import curves

    drawn: list[int] = []
    monkeypatch.setattr(curves, "add_curve", lambda axes, points, **_: drawn.append(len(points)))
    metrics = [{"step": i, "stage": "a", "D/loss": float(i % 7)} for i in range(9_000)]
    runs = read_runs([str(made(tmp_path / name, metrics)) for name in "ab"])
    assert draw(tmp_path / "c.png", {name: run.stages for name, run in runs.items()})
    assert len(drawn) == 4 and max(drawn) <= 2_001


def test_the_newest_run_is_found_among_named_pipes(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "a")
    os.mkfifo(tmp_path / "runs" / "pipe")
    assert len(gather(tmp_path / "runs" / "a").stages) == 1
