"""Joins the encoded segments of a video with the copied streams, chapters and metadata of its
source."""

import contextlib
import heapq
import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from multigen.console import say_once
from multigen.errors import DataError
from multigen.storage.media import open_media
from multigen.storage.provenance import NO_PROVENANCE, Provenance, mark_mp4, text
from multigen.video.encoders import CONTAINERS
from multigen.video.files import Looks, is_cover
from multigen.video.writing import Format, Segment, writing_errors

__all__ = ["check_copies", "join"]

LATE = 10  # seconds by which streams of a file may lag behind each other
OWN_TAGS = {
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "duration",
    "handler_name",
    "vendor_id",
    "xmp",
}
"""Tags that muxers write themselves, or that are written otherwise, in lower case."""
BOXES = ("mp4", "mov")
"""ffmpeg's formats that consist of the boxes of MP4."""


Part = tuple[Fraction, Fraction | None] | None
"""Beginning and end of the part of the source, seconds; None: all of it, with its own time
stamps."""


COMMON_TAGS = {
    "title",
    "artist",
    "album_artist",
    "album",
    "composer",
    "grouping",
    "genre",
    "date",
    "comment",
    "copyright",
}
COMMON_TAGS |= {"description", "synopsis", "lyrics", "show", "network", "episode_id", "keywords", "track", "disc"}
COMMON_TAGS |= {"creation_time", "timecode", "hd_video", "media_type"}
"""Metadata tags that MP4 files can hold."""


def join(
    target: Path,
    segments: Sequence[Segment],
    form: Format,
    source: Path | None = None,
    part: Part = None,
    metadata: bool = True,
    about: Provenance = NO_PROVENANCE,
    xmp: bytes = b"",
) -> None:
    """Writes a video from segments, with the other streams, chapters and metadata of `source`,
    copied without encoding.

    Args:
        target: the file; its suffix says the format.
        source: the video that the segments were made from; None: nothing is copied.
        part: the part of the source that is copied.
        xmp: for formats that hold such a packet, MP4 and MOV.

    Raises OSError.
    """
    import av

    with contextlib.ExitStack() as stack:
        stack.enter_context(writing_errors())
        given = stack.enter_context(open_media(source)) if source else None
        file = stack.enter_context(_output(target, given))
        first = stack.enter_context(av.open(str(segments[0].path.absolute())))
        video = _video_stream(file, first, form, given, metadata)
        copies = copied_streams(file, given, target, metadata) if given else {}
        _describe(file, given, part, metadata, about)
        file.start_encoding()
        encoded = _segment_packets(segments, form.looks, video, part[0] if part else Fraction(0))
        merged = heapq.merge(encoded, _copies(given, copies, part), key=_when)
        for _, packet in merged:
            file.mux_one(packet)
        moving = file.format.name in BOXES
    if moving:
        mark_mp4(target, xmp)


def _output(target: Path, given: Any) -> Any:
    import av

    options = {"avoid_negative_ts": "disabled"}  # else Matroska's times would all be moved by the encoder's delay
    if CONTAINERS[target.suffix.lower()] in BOXES:
        # Tags that iTunes has no name for are written in Apple's other form, which fewer players show.
        own = given is not None and not COMMON_TAGS.issuperset(name.lower() for name in _tags(given.metadata))
        options["movflags"] = "+faststart+use_metadata_tags" if own else "+faststart"
    return av.open(str(target.absolute()), "w", format=CONTAINERS[target.suffix.lower()], container_options=options)


def _video_stream(file: Any, first: Any, form: Format, given: Any, metadata: bool) -> Any:
    looks = form.looks
    video = file.add_stream_from_template(first.streams.video[0], opaque=True)
    video.time_base = looks.time_base
    video.codec_context.framerate = looks.rate
    if form.encoder.tag and file.format.name in BOXES:
        video.codec_context.codec_tag = form.encoder.tag
    if looks.turn:
        ratio = video.codec_context.width / looks.width  # the matrix moves by pixels too
        video.set_display_matrix([*looks.turn[:6], *(round(value * ratio) for value in looks.turn[6:8]), looks.turn[8]])
    old = next((stream for stream in given.streams.video if not is_cover(stream)), None) if given else None
    if old is not None:
        video.metadata.update(_stream_tags(old, metadata))
        video.disposition = old.disposition
    return video


def check_copies(target: Path, source: Path | None, metadata: bool = True) -> None:
    """Raises DataError if the output format cannot hold a stream of the source."""
    import av

    if source:
        with open_media(source) as given, av.open(io.BytesIO(), "w", format=CONTAINERS[target.suffix.lower()]) as file:
            copied_streams(file, given, target, metadata)


def copied_streams(file: Any, given: Any, target: Path, metadata: bool = True) -> dict[int, Any]:
    """Adds all streams of a source but its video (and data, without `metadata`) to a file; returns
    index in the source -> new stream.

    Raises DataError for a stream that the output format cannot hold.
    """
    main = next(stream for stream in given.streams.video if not is_cover(stream))
    copies = {}
    for stream in given.streams:
        if stream.index == main.index or (stream.type == "data" and not metadata):
            continue
        if _holds(file.format.name, stream):
            if (copy := _copy_of(file, stream, given, metadata)) is not None:
                copies[stream.index] = copy
        elif stream.type == "data":
            made_by_muxer = "timecode" in stream.metadata or (given.chapters() and stream.name == "bin_data")
            if not made_by_muxer:
                say_once(
                    f"{target}: stream {stream.index} of the source, data, is not kept: {target.suffix} holds none"
                )
        else:
            kind = f"{stream.codec_context.name} " if stream.codec_context else ""
            raise DataError(
                f"{target}: stream {stream.index} of the source ({kind}{stream.type}) cannot be copied into {target.suffix}; "
                "give a file ending in .mkv for --out"
            )
    return copies


def _holds(name: str, stream: Any) -> bool:
    """Whether a container format can hold a copy of a stream."""
    import av
    from av.error import FFmpegError

    if stream.type == "attachment" or (is_cover_stream(stream) and name == "matroska"):
        return name == "matroska"
    try:
        with av.open(io.BytesIO(), "w", format=name) as file:
            copy = file.add_stream_from_template(stream, opaque=True)
            copy.time_base = stream.time_base
            file.start_encoding()
        return True
    except (FFmpegError, ValueError):
        return False


def _copy_of(file: Any, stream: Any, given: Any, metadata: bool) -> Any:
    """A new stream like one of the source; None for one that has no packets, as attachments, and
    covers in Matroska."""
    if stream.type == "attachment" or (is_cover_stream(stream) and file.format.name == "matroska"):
        file.add_attachment(*_attachment(stream, given))
        return None
    copy = file.add_stream_from_template(stream, opaque=True)
    copy.time_base = stream.time_base
    copy.disposition = stream.disposition
    copy.metadata.update(_stream_tags(stream, metadata))
    return copy


def is_cover_stream(stream: Any) -> bool:
    return stream.type == "video" and is_cover(stream)


def _attachment(stream: Any, given: Any) -> tuple[str, str, bytes]:
    """Name, MIME type and content of an attachment or a cover image."""
    if stream.type == "attachment":
        return stream.metadata.get("filename", "attachment"), stream.mimetype or "application/octet-stream", stream.data
    content = next(bytes(packet) for packet in given.demux(stream) if packet.size)
    given.seek(0)
    png = stream.codec_context.name == "png"
    name = stream.metadata.get("filename") or f"cover.{'png' if png else 'jpg'}"
    return name, "image/png" if png else "image/jpeg", content


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without the tags that the muxer writes itself."""
    return {
        name: value
        for name, value in metadata.items()
        if name.lower() not in OWN_TAGS and not name.startswith(("_STATISTICS", "BPS", "NUMBER_OF_", "DURATION"))
    }


def _stream_tags(stream: Any, metadata: bool) -> dict[str, str]:
    """Tags of a stream; without `metadata` only its language, by which players choose."""
    return {name: value for name, value in _tags(stream.metadata).items() if metadata or name.lower() == "language"}


def _describe(file: Any, given: Any, part: Part, metadata: bool, about: Provenance) -> None:
    """Writes chapters and metadata."""
    tags = _tags(given.metadata) if given and metadata else {}
    if message := text(about):
        old = next((tags.pop(name) for name in list(tags) if name.lower() == "comment"), "")
        tags["comment"] = f"{old} {message}" if old else message
    file.metadata.update(tags)
    if given and (chapters := given.chapters()):
        chapters = chapters if metadata else [{**chapter, "metadata": {}} for chapter in chapters]
        file.set_chapters(chapters if part is None else _cut_chapters(chapters, *part))


def _cut_chapters(chapters: list[Any], start: Fraction, end: Fraction | None) -> list[Any]:
    made = []
    for chapter in chapters:
        base = chapter["time_base"]
        first = max(chapter["start"], round(start / base))
        last = chapter["end"] if end is None else min(chapter["end"], round(end / base))
        if first < last:
            shift = round(start / base)
            made.append({**chapter, "start": first - shift, "end": last - shift})
    return made


def _when(item: tuple[Fraction, Any]) -> Fraction:
    return item[0]


def _segment_packets(
    segments: Sequence[Segment], looks: Looks, video: Any, start: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """(decoding time, packet) of the video. Decoding times are set so that they increase
    across segments at any rate: that of a packet is the presentation time of the packet d places
    before, d being the delay by which the encoder reorders frames."""
    import av

    base, shift = looks.time_base, round(start / looks.time_base)
    delay = max(_delay(segment) for segment in segments)
    step = max(1, round(1 / (looks.rate * base)))
    tail = [segments[0].start - (delay - i) * step for i in range(delay)]
    for segment in segments:
        with av.open(str(segment.path.absolute())) as file:
            packets: list[Any] = [packet for packet in file.demux(video=0) if packet.size]
            places = [segment.start + round(packet.pts * packet.time_base / base) for packet in packets]
        times = [*tail, *sorted(places)]
        ends = times[-1] + segment.length
        for i, (packet, pts) in enumerate(zip(packets, places, strict=True)):
            packet.duration = [*times, ends][bisect_left(times, pts) + 1] - pts
            packet.time_base, packet.stream = base, video
            packet.pts, packet.dts = pts - shift, times[i] - shift
            yield packet.dts * base, packet
        tail = times[len(times) - delay :]


def _delay(segment: Segment) -> int:
    """The delay, in frames, by which the encoder reordered them."""
    import av

    with av.open(str(segment.path.absolute())) as file:
        places: list[Any] = [packet.pts for packet in file.demux(video=0) if packet.size]
    order = sorted(places)
    return max(i - bisect_left(order, pts) for i, pts in enumerate(places))


def _copies(given: Any, copies: dict[int, Any], part: Part) -> Iterator[tuple[Fraction, Any]]:
    """(decoding time, packet) of the copied streams; times of a part are shifted to begin at 0."""
    if not copies:
        return
    start, end = part or (None, None)
    given.seek(0) if start is None else given.seek(int(start * 1_000_000), backward=True)
    for packet in given.demux([given.streams[index] for index in copies]):
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None and is_cover_stream(packet.stream):
            time = 0
        if not packet.size or time is None:
            continue
        base, shift = packet.time_base, 0
        if start is not None and not is_cover_stream(packet.stream):
            if end is not None and time * base >= end + LATE:
                return
            if time * base < start or (end is not None and time * base >= end):
                continue
            shift = round(start / base)
        packet.pts, packet.dts = (packet.pts if packet.pts is not None else time) - shift, time - shift
        packet.stream = copies[packet.stream_index]
        yield packet.dts * base, packet
