"""Reports of real runs in a real browser: nothing fails to load, everything shows or plays, and a
phone is wide enough."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import multigen, python

pytestmark = pytest.mark.browser

RECIPES = ("srgan", "dcgan", "seqgan", "wavegan")
MEDIA = """async () => {
    const ready = player => new Promise(done => {
        if (player.readyState >= 1 || player.error) done();
        player.addEventListener("loadedmetadata", done);
        player.addEventListener("error", done);
    });
    for (const each of document.querySelectorAll("details")) each.open = true;
    const players = [...document.querySelectorAll("audio")];
    await Promise.all(players.map(ready));
    return {
        pictures: [...document.images].map(image => [image.complete, image.naturalWidth, image.naturalHeight]),
        players: players.map(player => [player.error ? player.error.message : null, player.duration]),
        curves: [...document.querySelectorAll("svg .line, svg .dot")].map(x => x.getBoundingClientRect().width),
        texts: [...document.querySelectorAll(".sample pre")].map(text => text.textContent.length),
        widths: [document.documentElement.scrollWidth, window.innerWidth],
        small: [...document.querySelectorAll("svg text")].map(x => x.getBoundingClientRect().height),
    };
}"""
"""What has loaded, with everything unfolded."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"there is no Chromium: none of {', '.join(names)} is installed")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    with sync.sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox does not work for root
        result = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if root else [])
        yield result
        result.close()


def opened(browser: Any, path: Path, width: int, scheme: str) -> dict[str, Any]:
    """What the page at `path` has loaded; asserts that nothing was complained of or fetched."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, faults, requests = context.new_page(), [], []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url[:80]}"))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    result = page.evaluate(MEDIA)
    context.close()
    assert faults == []
    assert [url[:300] for url in requests if not url.startswith("data:")] == [path.as_uri()]
    return result


def assert_shown(browser: Any, path: Path) -> dict[str, Any]:
    """All widths and schemes; returns what the page holds."""
    assert path.stat().st_size < 5_000_000
    result: dict[str, Any] = {}
    for width, scheme in ((360, "light"), (360, "dark"), (1200, "light")):
        result = opened(browser, path, width, scheme)
        assert all(complete and w > 0 and h > 0 for complete, w, h in result["pictures"])
        assert all(error is None and duration > 0.05 for error, duration in result["players"])
        assert result["widths"] == [width, width]
        assert result["curves"] and min(result["small"]) > 9
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    for recipe in RECIPES:
        words = ["tiny", "--log-every", "2", "--preview-every", "10", "--out", recipe]
        done = python("-m", f"multigen.recipes.{recipe}", *words, cwd=place)
        assert done.returncode == 0, done.stderr
    return place


@pytest.mark.parametrize(
    ("recipe", "pictures", "players", "texts"),
    [("srgan", 4, 0, 0), ("dcgan", 4, 0, 0), ("seqgan", 1, 0, 7), ("wavegan", 4, 4, 0)],
)
def test_a_report_shows_all_that_it_has(
    browser: Any, runs: Path, recipe: str, pictures: int, players: int, texts: int
) -> None:
    result = assert_shown(browser, (runs / recipe / "report.html").resolve())
    assert len(result["pictures"]) == pictures
    assert len(result["players"]) == players
    assert len(result["texts"]) == texts and all(length > 50 for length in result["texts"])


def test_a_run_killed_half_way_has_a_report(browser: Any, tmp_path: Path) -> None:
    words = ["--steps", "100000", "--log-every", "5", "--preview-every", "20", "--save-every", "20", "--out", "cut"]
    command = [sys.executable, "-m", "multigen.recipes.dcgan", "tiny", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = tmp_path / "cut"
    until = time.monotonic() + 240
    while not (run / "checkpoints" / "step-000000040" / "run.json").exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9
    assert not (run / "report.html").exists() and not (run / "model").exists()
    assert multigen(["report", run]) == 0
    result = assert_shown(browser, (run / "report.html").resolve())
    assert len(result["pictures"]) >= 2
    text = (run / "report.html").read_text(encoding="utf-8")
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert f"last activity at step {last} of stage adversarial" in text and "--resume" in text
