"""What a notebook and an editor show: objects as tables, one live line for training, types of what
is loaded."""

import builtins
import inspect
import json
import subprocess
import sys
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

import multigen
from multigen.config import field_docs
from multigen.console import Progress
from multigen.console.notebook import html_table
from multigen.engine.evaluation import Evaluation
from multigen.image import DCGANConfig
from multigen.image.restoration.upscaler import Restorer, Upscaler
from multigen.image.synthesis import dcgan
from multigen.image.synthesis.sampler import ImageSampler
from multigen.tasks.ready import Loaded, Ready
from multigen.tasks.synthesis.sampler import Sampler
from multigen.text.synthesis.writer import Writer
from tests import tiny
from tests.engine.toys import ToyConfig, Whole, options

HOSTILE = "<script>alert(1)</script>\x1b[2J"


def cells_of(shown: Any) -> str:
    html = shown._repr_html_()
    assert "<script" not in html and "\x1b" not in html
    return html


def test_every_text_of_a_table_is_escaped() -> None:
    html = html_table([(HOSTILE, HOSTILE)], (HOSTILE, HOSTILE), HOSTILE)
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J") == 5 and "<script" not in html
    assert html_table([]) == "<table><tbody></tbody></table>"


def test_a_ready_object_is_a_table(tmp_path: Path) -> None:
    model = multigen.load(tiny.untrained(tmp_path / "faces", dcgan.DCGANTrainer(dcgan.PRESETS["tiny"])))
    html = cells_of(model)
    assert all(text in html for text in ("ImageSampler", "dcgan", "faces", "images = model.sample(16, seed=0)"))
    model.origin = {**model.origin, "model": HOSTILE}
    assert "&lt;script&gt;" in cells_of(model)
    sampler = ImageSampler(nn.Identity(), 4, classes=(HOSTILE, *(f"class {i}" for i in range(1_000))))
    assert len(cells_of(sampler)) < 2_000
    assert "enlarges photographs" in cells_of(Upscaler.__new__(Upscaler))
    assert "writes texts" in cells_of(Writer.__new__(Writer))


def test_settings_and_options_are_tables() -> None:
    assert escape(field_docs(multigen.Run)["seed"]) in cells_of(multigen.Run(out=HOSTILE))
    assert "&lt;script&gt;" in cells_of(DCGANConfig(data=HOSTILE))


def test_a_trainer_and_its_evaluation_are_tables(tmp_path: Path) -> None:
    trainer = Whole(ToyConfig(), options(tmp_path / "run"))
    assert "not yet" in cells_of(trainer)
    trainer.fit()
    assert str(tmp_path / "run") in cells_of(trainer)
    trainer.evaluation = Evaluation({HOSTILE: {"fd": 1.5}, "real": {"fd": 0.25, HOSTILE: 2.0}})
    assert "1.5000" in cells_of(trainer) and "&lt;script&gt;" in cells_of(trainer.evaluation)


def test_a_ready_object_says_what_it_does_when_something_else_is_asked() -> None:
    model = Upscaler.__new__(Upscaler)
    with pytest.raises(AttributeError, match=r"Upscaler has no 'sample'; it enlarges photographs: image = model\.upsc"):
        model.sample(4)  # pyright: ignore[reportAttributeAccessIssue]
    assert not hasattr(model, "_repr_png_")


# ---------------------------------------------------------------------------------------------- progress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a notebook's kernel is asked to show, one after another, by a shell like its own."""
    published: list[dict[str, Any]] = []

    class ZMQInteractiveShell:
        display_pub = SimpleNamespace(publish=lambda **what: published.append(what))

    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    return published


def test_training_in_a_notebook_is_one_live_line_per_stage(
    shown: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Whole(ToyConfig(), options(tmp_path / "run", log_every=1)).fit()
    assert len([each for each in shown if not each["update"]]) == len(trainer.plan) < len(shown)
    assert len({each["transient"]["display_id"] for each in shown}) == len(trainer.plan)
    assert "left" in (last := shown[-1]["data"]["text/plain"]) and "items/s" in last
    assert "items/s" not in capsys.readouterr().err


def test_what_a_live_line_shows_is_escaped(shown: list[dict[str, Any]]) -> None:
    progress = Progress(HOSTILE, 10, 0)
    progress.show(5, HOSTILE)
    progress.close()
    data = shown[0]["data"]
    assert "\x1b" not in str(data) and "<script" not in data["text/html"] and "<pre" in data["text/html"]


# ---------------------------------------------------------------------------------------------- types


def test_an_editor_knows_what_a_loaded_model_can_do() -> None:
    for kind, name in (
        (Sampler, "sample"),
        (Upscaler, "upscale"),
        (Restorer, "restore"),
        (Writer, "generate"),
        (Sampler, "sheet"),
    ):
        known, real = (inspect.signature(getattr(each, name)) for each in (Loaded, kind))
        assert known.parameters == real.parameters, name
    assert issubclass(Sampler, Ready) and issubclass(Upscaler, Ready) and issubclass(Writer, Ready)


@pytest.mark.slow
def test_a_user_s_script_has_no_unknown_types(tmp_path: Path) -> None:
    script = Path(__file__).with_name("user_script.py").read_text()
    (tmp_path / "script.py").write_text(f"# pyright: strict\n{script}reveal_type(images)\nreveal_type(trainer)\n")
    result = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "script.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    report = json.loads(result.stdout)["generalDiagnostics"]
    assert [line["message"] for line in report] == [
        'Type of "images" is "Tensor"',
        'Type of "trainer" is "DCGANTrainer"',
    ]
