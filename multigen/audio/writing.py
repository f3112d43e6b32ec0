"""Restoring sound files: block by block, so that an hour takes no more memory than a minute."""

import math
from pathlib import Path

from multigen.audio.files import check_written, write_blocks
from multigen.audio.sound_to_sound import SoundRestorer
from multigen.audio.store import Store
from multigen.console import say
from multigen.errors import ConfigError, DataError
from multigen.storage.files import writing
from multigen.storage.provenance import NO_PROVENANCE, Provenance, text

__all__ = ["restore_file"]


def restore_file(
    restorer: SoundRestorer, source: Path, target: Path, rate: int = 0, about: Provenance = NO_PROVENANCE
) -> None:
    """Writes the restored sound of a file, as loud as the model makes it; less loud as a whole, and
    a message says so, where its peaks would be clipped.

    Args:
        rate: of the result, Hz; 0: what the model gives for that of the source.

    Raises DataError for a file that cannot be read, and for one of more channels, or of another
    rate, than the format of the result has; ConfigError for a `rate` that the model cannot reach.
    """
    with restorer.restored(source, rate) as result:
        try:
            check_written(target, result.rate, result.channels)
        except ConfigError as error:  # of a number of channels or a rate that only this source has
            raise DataError(f"{source}: {error}, or skip it: --skip-bad") from error
        sound, peak = Store(result.channels), 0.0
        for block in result.blocks:
            sound.append(block)
            peak = max(peak, float(block.abs().max()) if block.numel() else 0.0)
    gain = 1 / max(peak, 1.0)
    if gain < 1:
        say(f"{target}: {-20 * math.log10(gain):.2g} dB less loud, since its peak of {peak:.3g} would be clipped")
    with writing(target, "another folder for --out"):
        target.parent.mkdir(parents=True, exist_ok=True)
    blocks = (block * gain for _, block in sound.blocks())
    if not result.by_model:
        about = {name: value for name, value in about.items() if name not in ("model", "method", "blend")}
    write_blocks(target, blocks, result.rate, result.channels, text(about), result.subtype)
