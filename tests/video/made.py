"""Films that tests make: a few small frames, with what films have beside frames."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

COLOUR = (200, 60, 30)
"""Of the frames' left half: BT.709 and BT.601 give it YCbCr values far apart."""
STEPS = (3003, 4000, 1001)
"""Units between the frames of a film of variable rate, of 1/90000 second."""


def frame(number: int, height: int = 24, width: int = 32, colour: Sequence[int] = COLOUR) -> np.ndarray:
    """uint8 (H, W, 3): one colour on the left, and on the right a grey that tells the frame's
    number."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = colour
    pixels[:, width // 2 :] = 40 + 3 * (number % 60)
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """The number of a frame, uint8 (H, W, 3)."""
    height, width, _ = pixels.shape
    return round((pixels[height // 4 : -height // 4, 3 * width // 4 - 2 : 3 * width // 4 + 2].mean() - 40) / 3)


def film(
    path: Path,
    count: int = 6,
    size: tuple[int, int] = (24, 32),
    pixels: str = "yuv420p",
    codec: str = "libx264",
    steps: Sequence[int] = (3600,),
    base: Fraction = Fraction(1, 90000),
    colours: tuple[int, int, int] = (1, 1, 1),
    limited: bool = True,
    aspect: Fraction | None = None,
    turn: int | None = None,
    sounds: int = 0,
    seconds: float = 0,
    subtitles: bool = False,
    chapters: bool = False,
    attachment: bool = False,
    title: str = "",
    **options: Any,
) -> Path:
    """A film of frames as `frame` draws them.

    Args:
        colours: primaries, transfer and matrix, as H.273 numbers them; 2 states none.
        seconds: of sound; 0: as long as the video.
    """
    import av

    with av.open(str(path), "w", options=options) as out:
        video: Any = out.add_stream(codec, options={"crf": "1"} if codec.startswith("libx") else {})
        context = video.codec_context
        video.height, video.width, video.pix_fmt = *size, pixels
        video.time_base = context.time_base = base
        context.framerate = Fraction(25)
        context.color_primaries, context.color_trc, context.colorspace = colours
        context.color_range = 1 if limited else 2
        if aspect:
            context.sample_aspect_ratio = aspect
        if turn is not None:
            video.set_display_rotation(turn)
        out.metadata["title"] = title
        tracks = [
            sound_track(out, f"track {number}", lang)
            for number, lang in zip(range(sounds), ("eng", "deu"), strict=False)
        ]
        texts = text_track(out) if subtitles else None
        if attachment:
            out.add_attachment("font.ttf", "font/ttf", b"not really a font")
        if chapters:
            half: Any = {"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
            both: list[Any] = [half, {**half, "id": 2, "start": 100, "end": 240, "metadata": {"title": "two"}}]
            out.set_chapters(both)
        pts = 0
        for number in range(count):
            made = coded(frame(number, *size), pixels, colours[2], limited)
            made.pts, made.time_base = pts, base
            pts += steps[number % len(steps)]
            out.mux(video.encode(made))
        out.mux(video.encode(None))
        for track in tracks:
            sound(out, track, seconds or float(pts * base))
        if texts is not None:
            subtitle(out, texts)
    return path


def coded(pixels: np.ndarray, form: str, matrix: int, limited: bool) -> Any:
    import av
    from av.video.reformatter import Interpolation

    exact = (
        Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    )
    given = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return given.reformat(
        format=form,
        interpolation=exact,
        dst_colorspace=matrix if matrix != 2 else 5,
        dst_color_range=1 if limited else 2,
    )


def sound_track(out: Any, title: str, language: str) -> Any:
    track = out.add_stream("aac", rate=16000)
    track.metadata.update({"title": title, "language": language})
    return track


def sound(out: Any, track: Any, seconds: float) -> None:
    """A tone."""
    import av

    expected = round(seconds * 16000)
    for start in range(0, expected, 1024):
        samples = np.sin(np.arange(start, min(start + 1024, expected)) / 8)[None].astype(np.float32)
        block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = 16000, start, Fraction(1, 16000)
        out.mux(track.encode(block))
    out.mux(track.encode(None))


def text_track(out: Any) -> Any:
    mp4 = out.format.name in ("mp4", "mov")
    import av

    given = av.open(
        io.BytesIO(b"1\n00:00:00,040 --> 00:00:00,120\nHello\n\n2\n00:00:00,160 --> 00:00:00,200\nBye\n"), format="srt"
    )
    track = out.add_stream_from_template(given.streams[0]) if not mp4 else None
    return (given, track)


def subtitle(out: Any, texts: Any) -> None:
    given, track = texts
    for packet in given.demux():
        if packet.dts is not None:
            packet.stream = track
            out.mux(packet)
    given.close()


def facts(path: Path) -> dict[str, Any]:
    """What a player finds in a film: as ffprobe says it."""
    import av

    given: Any
    with av.open(str(path)) as given:
        video = next(stream for stream in given.streams.video)
        frames = list(given.decode(video))
        first = frames[0]
        about = {
            "codec": video.codec_context.name,
            "pixels": video.codec_context.pix_fmt,
            "size": (first.width, first.height),
            "times": [each.pts * video.time_base for each in frames],
            "aspect": video.sample_aspect_ratio,
            "rotation": first.rotation,
            "colours": (first.color_primaries, first.color_trc, first.colorspace),
            "range": first.color_range,
            "rate": video.average_rate,
            "metadata": dict(given.metadata),
            "chapters": [
                (c["metadata"].get("title"), c["start"] * c["time_base"], c["end"] * c["time_base"])
                for c in given.chapters()
            ],
            "attachments": [(s.metadata["filename"], s.data) for s in given.streams if s.type == "attachment"],
        }
    with av.open(str(path)) as given:
        others = [stream for stream in given.streams if stream.type in ("audio", "subtitle")]
        packets: dict[int, list[Any]] = {stream.index: [] for stream in others}
        for packet in given.demux(others) if others else ():
            if packet.size:
                packets[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
        about["others"] = [
            (stream.type, stream.codec_context.name, stream.metadata.get("language"), packets[stream.index])
            for stream in others
        ]
    return about


def colour(path: Path) -> np.ndarray:
    """RGB of a pixel of the left half of the first frame, as a player shows it that converts as the
    film says."""
    import av

    with av.open(str(path)) as given:
        first = next(given.decode(video=0))
        matrix = first.colorspace if first.colorspace != 2 else 1 if first.height >= 720 else 5
        shown = first.reformat(format="rgb24", src_colorspace=matrix, src_color_range=first.color_range or 1)
        return shown.to_ndarray()[first.height // 2, first.width // 4].astype(int)
