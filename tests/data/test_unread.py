"""Files that are not read are named, in every modality and by every verb, with what to do about
them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multigen.audio.datasets import open_sounds
from multigen.catalogue import MODALITIES, Modality, imported
from multigen.catalogue.formats import Format
from multigen.cli.kinds import kinds_of, meant_by
from multigen.data.folders import files_in
from multigen.data.unread import check_readable, find_files, unread
from multigen.engine import Run
from multigen.errors import DataError
from multigen.image.datasets import open_images
from multigen.image.files import open_photos
from multigen.image.restoration.srgan import PRESETS as SRGAN
from multigen.image.restoration.srgan import SRGANTrainer
from multigen.text.datasets import open_corpus
from tests import tiny
from tests.audio import recordings

SUFFIX = {"image": ".nef", "audio": ".ape", "text": ".pdf"}
"""Of each modality one that is known, and not read."""
OPEN: dict[str, Callable[[str], Any]] = {
    "image": lambda data: open_images(data, 16),
    "audio": lambda data: open_sounds(data, 8000, 1024),
    "text": lambda data: open_corpus(data, 12),
}


def items(folder: Path, modality: str) -> Path:
    """A folder of five items, a file of a known format that is not read, one of another kind, and
    what systems leave there."""
    if modality == "image":
        tiny.photos(folder, count=5)
    elif modality == "audio":
        for i in range(5):
            recordings.write(folder / f"{i}.wav", recordings.sine(4000, 300.0 + 50 * i))
    else:
        folder.mkdir()
        (folder / "a.txt").write_text("\n".join(f"the fox saw {i} hens" for i in range(40)))
    for name in (f"x{SUFFIX[modality].upper()}", "x.xmp", "Thumbs.db", "Desktop.ini", ".DS_Store", "._x.jpg"):
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize("modality", MODALITIES)
def test_inspect_and_training_name_what_they_leave_out(
    modality: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = items(tmp_path / "d", modality)
    known = MODALITIES[modality].unread(SUFFIX[modality])
    assert known is not None
    lines = (f"{known.one.split(' ', 1)[1]} left out, such as x{SUFFIX[modality].upper()}", known.remedy)
    other = "1 other file ignored: .xmp"
    assert tiny.multigen(["inspect", folder]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in (*lines, other)) and "humbs" not in printed
    assert tiny.multigen(["inspect", folder, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["ignored"]) == 2
    OPEN[modality](str(folder))
    message = capsys.readouterr().err
    assert all(text in message for text in (*lines, other)) and "humbs" not in message


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_folder_of_nothing_else_is_an_error_that_says_what_to_do(
    modality: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d").mkdir()
    file = tmp_path / "d" / f"x{SUFFIX[modality]}"
    file.write_bytes(b"x")
    known = MODALITIES[modality].unread(file.suffix)
    assert known is not None
    for data in (file.parent, file):
        with pytest.raises(DataError) as result:
            OPEN[modality](str(data))
        assert file.name in str(result.value) and known.remedy in str(result.value)
        assert tiny.multigen(["inspect", data]) == 2
        assert known.remedy in capsys.readouterr().err
        assert tiny.multigen(["evaluate", "--real", data, "--fake", data]) == 2
        assert modality == "text" or known.remedy in capsys.readouterr().err


def test_upscale_names_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the model is looked for, which is not there."""
    folder = items(tmp_path / "d", "image")
    words = ["--model", tmp_path / "none", "--out", tmp_path / "out"]
    assert tiny.multigen(["upscale", folder, *words]) == 2
    message = capsys.readouterr().err
    assert "RAW camera file left out, such as x.NEF" in message and "1 other file ignored: .xmp" in message
    assert tiny.multigen(["upscale", folder / "x.NEF", *words]) == 2
    assert "x.NEF is a RAW camera file, which cannot be read; convert to TIFF" in capsys.readouterr().err


def test_srgan_names_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = SRGANTrainer(replace(SRGAN["tiny"], data=str(items(tmp_path / "d", "image"))), Run())
    trainer.open_items()
    assert "RAW camera file left out, such as x.NEF" in capsys.readouterr().err


def test_a_format_is_read_once_its_extra_is_installed(tmp_path: Path) -> None:
    new = Format("NEW files", (".new",), "convert to PNG", extra="new", package="json")
    modality = replace(MODALITIES["image"], others=(new,))
    (tmp_path / "a.new").touch()
    assert find_files(tmp_path, modality) == [tmp_path / "a.new"] and unread([tmp_path / "a.new"], modality) == []
    check_readable(tmp_path / "a.new", modality)
    missing = replace(modality, others=(replace(new, package="no_such_package"),))
    with pytest.raises(DataError, match=r"1 NEW file left out, .*pip install 'multigen\[new\]', or convert to PNG"):
        find_files(tmp_path, missing)
    with pytest.raises(DataError, match=r"a\.new is a NEW file, which cannot be read; pip install"):
        check_readable(tmp_path / "a.new", missing)


@pytest.mark.parametrize("modality", MODALITIES.values(), ids=lambda modality: modality.name)
def test_a_suffix_has_one_record(modality: Modality) -> None:
    suffixes = [*modality.suffixes, *(suffix for each in modality.others for suffix in each.suffixes)]
    assert len({*suffixes}) == len(suffixes) and all(suffix == suffix.lower() for suffix in suffixes)
    assert all(suffix.startswith(".") for suffix in suffixes)


def test_videos_among_images_are_no_second_kind(tmp_path: Path) -> None:
    """Though their sound could be read where PyAV is installed."""
    names = [tmp_path / name for name in ("a.jpg", "b.mp4", "c.mov")]
    assert kinds_of(names) == {"image": 1, "other": 2} and meant_by(names) == {"image": 1}


def test_formats_that_people_have_are_known() -> None:
    """Read, or named with what to do."""
    for name, words in {
        "image": "avif heic heif jxl psd cr2 cr3 nef dng arw svg pdf mp4 mov tga exr ico zip",
        "audio": "m4a aac caf aifc w64 au wma amr mka mp4 mid zip",
        "text": "pdf doc docx odt rtf epub html md tex srt zip",
    }.items():
        modality = MODALITIES[name]
        for suffix in (f".{word}" for word in words.split()):
            assert suffix in modality.readable or modality.unread(suffix), suffix


# ---------------------------------------------------------------------------------------------------- links


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, data = tmp_path / "real", tmp_path / "data"
    for name in ("cats", "dogs/old"):
        (real / name).mkdir(parents=True)
        (real / name / "1.png").touch()
    (data / "own").mkdir(parents=True)
    (data / "own" / "2.png").touch()
    links = {
        "cats": real / "cats",
        "dogs": real / "dogs",
        "a": data / "own",  # which is in the data itself
        "zats": real / "cats",  # a second time
        "own/loop": data / "own",
        "own/up": data,
        "own/above": tmp_path,
        "round": data / "round",
        "gone.png": tmp_path / "gone.png",
        ".hidden": real,
    }
    for name, target in links.items():
        (data / name).symlink_to(target)
    (real / "dogs" / "back").symlink_to(data)
    (real / "dogs" / "loop").symlink_to(real)
    names = [path.relative_to(data).as_posix() for path in files_in(data)]
    assert names == ["cats/1.png", "dogs/old/1.png", "own/2.png"]
    message = capsys.readouterr().err
    assert f"{data}/a: a link to {data}/own, which is in the data already: left out" in message
    assert f"{data}/own/above: a link to {tmp_path}, which it is in: left out" in message
    assert "2 links to files that are not there, such as" in message
    (tmp_path / "whole").symlink_to(data)
    assert len(files_in(tmp_path / "whole")) == 3


def test_a_link_into_a_folder_that_another_leads_to_gives_no_item_twice(tmp_path: Path) -> None:
    (inside := tmp_path / "real" / "b").mkdir(parents=True)
    (inside / "1.png").touch()
    (inside.parent / "2.png").touch()
    (data := tmp_path / "data").mkdir()
    (data / "a").symlink_to(inside)
    (data / "z").symlink_to(inside.parent)
    assert [path.relative_to(data).as_posix() for path in files_in(data)] == ["a/1.png", "z/2.png"]


def test_classes_may_be_links(tmp_path: Path) -> None:
    """In every modality that has classes."""
    for name in ("cat", "dog"):
        tiny.photos(tmp_path / "images" / name, count=3)
        for i in range(3):
            recordings.write(tmp_path / "sounds" / name / f"{i}.wav", recordings.sine(4000))
    for kind in ("images", "sounds"):
        (tmp_path / f"linked {kind}").mkdir()
        for name in ("cat", "dog"):
            (tmp_path / f"linked {kind}" / name).symlink_to(tmp_path / kind / name)
    images = open_images(str(tmp_path / "linked images"), 16)
    sounds = open_sounds(str(tmp_path / "linked sounds"), 8000, 1024)
    assert images.classes == sounds.classes == ("cat", "dog") and len(images) == len(sounds) == 6
    assert len(open_photos(str(tmp_path / "linked images"))) == 6
    for kind in ("images", "sounds"):
        result = imported(MODALITIES[kind.removesuffix("s").replace("sound", "audio")].inspect)
        facts = {fact.name: fact.value for fact in result(str(tmp_path / f"linked {kind}")).facts}
        assert facts["classes"] == {"cat": 3, "dog": 3}
