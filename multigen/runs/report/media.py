"""Images, sounds and texts of a run's folder as self-contained HTML: small, and safe to show."""

import base64
import io
import itertools
from collections.abc import Collection
from html import escape
from pathlib import Path

from multigen.console import say
from multigen.storage.reading import check_file, check_scans, is_inside, open_regular, read_bounded

__all__ = ["IMAGES", "SOUNDS", "TEXTS", "final_files", "preview_steps", "show"]

IMAGES, SOUNDS, TEXTS = (".png", ".jpg", ".webp"), (".wav", ".flac"), (".txt",)
SMALL = 48_000
"""Maximum bytes of an image file that is embedded unchanged."""
SIDE, CRISP = 1400, 640
"""Pixels: maximum side of an embedded image; side up to which images are enlarged without
smoothing."""
SECONDS, LETTERS = 60, 3000
"""Maximum seconds of a sound and characters of a text."""
MOST = {"images": 6, "sounds": 4, "texts": 6}
"""Maximum number of previews shown, by kind."""
FILES, ALIKE = 24, 4
"""Maximum files shown of the run's own folder, and of one step or name."""
LARGEST, PIXELS = 1 << 28, 50_000_000
"""Maximum bytes of a file, and pixels of an image."""
DIGITS = 15
"""Maximum digits of a step."""
RATE = 1 << 20
"""Maximum samples per second of a sound, over all channels."""
MP3_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}


def preview_steps(folder: Path) -> dict[int, list[Path]]:
    """Step -> its files previews/step-*: the first step, the last, and some evenly between."""
    by_step: dict[int, list[Path]] = {}
    previews = folder / "previews"
    if not is_inside(previews, folder):
        say(f"{previews}: ignored, as it is a link that leads out of {folder}")
        return {}
    for path in sorted(previews.glob("step-*")):
        number = path.stem.removeprefix("step-")
        if number.isdecimal() and len(number) <= DIGITS and _is_shown(path):
            by_step.setdefault(int(number), []).append(path)
    kind = "sounds" if any(p.suffix in SOUNDS for paths in by_step.values() for p in paths) else "images"
    steps, most = sorted(by_step), MOST[kind]
    if len(steps) > most:
        steps = [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]
    return {step: by_step[step][:ALIKE] for step in steps}


def final_files(folder: Path, first: Collection[str] = ()) -> dict[str, list[Path]]:
    """Name -> files of that name directly in the run's folder, such as samples.wav and samples.png;
    if there are many, those of the names `first` before others."""
    files: dict[str, list[Path]] = {}
    for path in itertools.islice(
        filter(_is_shown, sorted(folder.iterdir(), key=lambda p: (p.stem not in first, p))), FILES
    ):
        files.setdefault(path.stem, []).append(path)
    return files


def _is_shown(path: Path) -> bool:
    """Whether a file can be shown. Links are not: a folder from others must not bring other files
    into a report."""
    return path.suffix in (*IMAGES, *SOUNDS, *TEXTS) and path.is_file() and not path.is_symlink()


def show(path: Path, label: str) -> str:
    """One file as HTML; an unreadable one is named instead."""
    try:
        if path.suffix in IMAGES:
            return _image(path, label)
        if path.suffix in SOUNDS:
            return _sound(path, label)
        return _text(path)
    except Exception as error:  # decoders raise errors of many kinds for damaged files
        return f'<p class="muted">{escape(path.name)} cannot be read: {escape(str(error))}</p>'


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _image(path: Path, label: str) -> str:
    """An image; a large file is shrunk to SIDE pixels and compressed as WebP where that is
    smaller."""
    from PIL import Image

    data, kind = read_bounded(path, LARGEST), "image/png" if path.suffix == ".png" else f"image/{path.suffix[1:]}"
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
        if image.width * image.height > PIXELS:
            raise ValueError(f"{image.width:,} x {image.height:,} pixels; expected at most {PIXELS:,} in all")
        if image.format == "JPEG":
            check_scans(path)
        image.load()
        width, height = image.size
        if len(data) > SMALL:
            small = image if image.mode in ("L", "RGB") else image.convert("RGB")
            small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            file = io.BytesIO()
            small.save(file, "WEBP", quality=86, method=4)
            if file.tell() < len(data):
                data, kind, (width, height) = file.getvalue(), "image/webp", small.size
    crisp = ' class="crisp"' if max(width, height) <= CRISP else ""
    return f'<img{crisp} src="{_uri(kind, data)}" width="{width}" height="{height}" alt="{escape(label)}">'


def _sound(path: Path, label: str) -> str:
    """A player with the sound as MP3, which all browsers play, or at unusual rates as Ogg."""
    import soundfile

    check_file(path, LARGEST)
    with soundfile.SoundFile(path) as source:
        rate, frames = source.samplerate, source.frames
        if rate * source.channels > RATE:
            raise ValueError(f"{source.channels} channels at {rate:,} Hz; expected at most {RATE:,} samples a second")
        samples = source.read(SECONDS * rate, dtype="float32", always_2d=True)  # (T, channels)
    kind, form, subtype = (
        ("audio/mpeg", "MP3", "MPEG_LAYER_III") if rate in MP3_RATES else ("audio/ogg", "OGG", "VORBIS")
    )
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, samples.shape[1], format=form, subtype=subtype) as target:
        for start in range(0, len(samples), rate):  # long writes of Vorbis overflow libsndfile's stack
            target.write(samples[start : start + rate])
    cut = f'<span class="muted">the first {SECONDS} of {frames / rate:.0f} s</span>' if frames > SECONDS * rate else ""
    player = (
        f'<audio controls preload="metadata" aria-label="{escape(label)}" src="{_uri(kind, file.getvalue())}"></audio>'
    )
    return player + cut


def _text(path: Path) -> str:
    with open_regular(path) as file:
        text = file.read(4 * (LETTERS + 1)).decode(errors="replace")  # UTF-8 has up to 4 bytes a letter
    return f"<pre>{escape(text[:LETTERS].rstrip())}{' …' if len(text) > LETTERS else ''}</pre>"
