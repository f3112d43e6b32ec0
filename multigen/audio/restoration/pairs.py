"""Pairs of mels and recordings: mels that a model made, or others made by hand, for fine-tuning a
vocoder on them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import torch
from torch import Tensor

from multigen.audio.mel_files import read_mels
from multigen.audio.mels import MelSpec
from multigen.audio.recordings import Recording
from multigen.data.locate import locate
from multigen.errors import DataError

__all__ = ["MelPairs"]

SLACK = 1  # frames that mels may have more or less than the recording: analyses differ in how they end


class MelPairs:
    """Log-mels (bands, N) in .npy files of a folder, each under the path of a recording, whatever
    its suffix.

    Args:
        skip_bad: leave out recordings without usable mels, and list them in `skipped`.

    Raises DataError for a recording without mels, mels of another definition, or of another length;
    ConfigError where there is no such folder.
    """

    def __init__(self, folder: str, spec: MelSpec, recordings: Sequence[Recording], skip_bad: bool = False):
        self.spec, self.root = spec, locate(folder, "a folder of log-mels (.npy)")
        self.recordings: list[Recording] = []
        self.skipped: list[tuple[Path, str]] = []
        self._mels: dict[str, np.ndarray] = {}
        for recording in recordings:
            path = self.root / PurePath(recording.name).with_suffix(".npy")
            try:
                mels = self._read(path, recording)
            except DataError as error:
                if not skip_bad:
                    raise
                self.skipped.append((path, str(error)))
                continue
            length = min(len(recording), (mels.shape[1] - 1) * spec.hop)
            self._mels[recording.name] = mels
            self.recordings.append(replace(recording, end=recording.first + length))
        if not self.recordings:
            raise DataError(f"{folder}: no usable mels for {len(recordings)} recordings. {self.skipped[0][1]}")

    def beside(self, recording: Recording, first: int, count: int) -> dict[str, Tensor]:
        """The mels (bands, count / hop + 1) of a part of a recording that begins at a multiple of
        the hop."""
        at, frames = first // self.spec.hop, count // self.spec.hop + 1
        return {"mels": torch.from_numpy(self._mels[recording.name][:, at : at + frames].astype(np.float32))}

    def fingerprint(self) -> str:
        """Hash of the mels."""
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(self._mels):
            digest.update(f"{name}\0".encode())
            digest.update(np.ascontiguousarray(self._mels[name]).data)
        return digest.hexdigest()

    def _read(self, path: Path, recording: Recording) -> np.ndarray:
        if not path.exists():
            raise DataError(f"{path}: no such file, for {recording.name}; add its mels, or skip it: --skip-bad")
        mels = read_mels(path)
        self.spec.check(torch.from_numpy(np.array(mels)), str(path))
        expected = self.spec.frames(len(recording))
        if abs(mels.shape[1] - expected) > SLACK:
            raise DataError(
                f"{path}: {mels.shape[1]} frames, but {recording.name} has {expected} of {self.spec.hop} samples; make them of "
                "the same recording, at the same hop, or skip it: --skip-bad"
            )
        return mels
