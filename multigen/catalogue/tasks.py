"""Tasks: what their models do, and how they are used."""

from dataclasses import dataclass

from multigen.catalogue.modalities import MODALITIES

__all__ = ["TASKS", "Task"]


@dataclass(frozen=True)
class Task:
    """A task: what its models do and how to use them, for the model card, the report, `multigen
    cp`, and errors."""

    name: str
    kind: str
    """synthesis, restoration or translation: the folder of its methods."""
    modality: str
    verb: str
    """Verb of the command line that uses its models."""
    does: str
    """ "generates images from noise"."""
    arguments: str
    """Arguments of the verb; {model} stands for the model."""
    python: str
    """A line of Python that uses `model`, from `multigen.load`."""
    gives: str  # the result of that line
    tag: str
    """Tag of the model card."""
    limit: str
    """Limitation of all such models."""
    more_verbs: tuple[str, ...] = ()
    """Other verbs that use its models."""
    imports: str = "import multigen"
    pipeline: str = ""
    """The Hugging Face hub's `pipeline_tag`; empty: none fits."""
    foreign: str = ""
    """(model) -> the model folder of published weights or of a file of another project; "": there
    are none."""
    published: tuple[str, ...] = ()
    """Names of published weights, the default of the verb first."""
    weights: tuple[str, ...] = ()
    """Suffixes of files of other projects."""
    takes: tuple[str, ...] = ()
    """Suffixes of files that its models take besides those of the modality."""
    masked: bool = False
    """Whether its models need, beside each image, a mask."""
    part: str = ""
    """The package of its methods, where that is not the modality's: films are files that hold
    images."""

    @property
    def package(self) -> str:
        """The package of its methods: multigen.PACKAGE."""
        return self.part or self.modality

    @property
    def items(self) -> str:
        """Noun for its training items and samples, in the plural."""
        return MODALITIES[self.modality].items


TASKS = {
    task.name: task
    for task in (
        Task(
            "image-synthesis",
            "synthesis",
            "image",
            verb="sample",
            more_verbs=("interpolate", "edit"),
            does="generates images from noise",
            arguments="--model {model} -n 64 --out samples/",
            python="images = model.sample(16, seed=0)",
            gives="uint8 (16, C, H, W)",
            pipeline="unconditional-image-generation",
            tag="image-generation",
            limit="Nothing in its images need exist.",
        ),
        Task(
            "super-resolution",
            "restoration",
            "image",
            verb="upscale",
            more_verbs=("restore",),
            does="enlarges photographs",
            arguments="photo.jpg --model {model} --out large/",
            python='image = model.upscale(Image.open("photo.jpg"))',
            gives="a larger image",
            imports="from PIL import Image\n\nimport multigen",
            pipeline="image-to-image",
            foreign="multigen.image.restoration.published:model_folder",
            published=("realesrgan-x4plus", "realesrgan-anime-6b", "realesrgan-animevideov3"),
            weights=(".pth", ".safetensors", ".param", ".bin"),
            tag="super-resolution",
            limit="It invents detail that the small image does not hold: what it adds is likely, not true. Do not use it for "
            "evidence, for measuring, or to recognise anybody.",
        ),
        Task(
            "video-super-resolution",
            "restoration",
            "image",
            part="video",
            verb="upscale",
            more_verbs=("restore",),
            does="enlarges films",
            arguments="film.mp4 --model {model} --out large.mp4",
            python="frames = model.upscale(frames)",
            gives="uint8 (T, 3, H, W) for frames of the same kind; or an image for one",
            pipeline="video-to-video",
            tag="video-super-resolution",
            limit="It invents detail that the small film does not hold: what it adds is likely, not true. Do not use it for "
            "evidence, for measuring, or to recognise anybody.",
        ),
        Task(
            "image-restoration",
            "restoration",
            "image",
            verb="restore",
            does="restores photographs",
            arguments="photo.jpg --model {model} --out restored/",
            python='image = model.restore(Image.open("photo.jpg"))',
            gives="an image of the same size",
            imports="from PIL import Image\n\nimport multigen",
            pipeline="image-to-image",
            tag="image-restoration",
            limit="What it puts in the place of what was lost is likely, not true. Do not use it for evidence, for measuring, or "
            "to recognise anybody.",
        ),
        Task(
            "inpainting",
            "restoration",
            "image",
            verb="restore",
            does="fills holes of photographs",
            arguments="photo.jpg --mask mask.png --model {model} --out filled/",
            python='image = model.inpaint(Image.open("photo.jpg"), Image.open("mask.png"))',
            gives="an image of the same size; white parts of the mask are filled",
            imports="from PIL import Image\n\nimport multigen",
            pipeline="image-to-image",
            tag="image-inpainting",
            limit="What it puts into a hole is likely, not true. Do not use it for evidence, or to deceive anybody about what "
            "was there.",
            masked=True,
        ),
        Task(
            "image-translation",
            "translation",
            "image",
            verb="translate",
            does="translates images to another domain",
            arguments="photo.jpg --model {model} --out translated/",
            python='image = model.translate(Image.open("photo.jpg"))',
            gives="an image of the same size",
            imports="from PIL import Image\n\nimport multigen",
            pipeline="image-to-image",
            tag="image-translation",
            limit="What it adds, such as colours and textures, is likely after its training images, not true. Do not use it for "
            "evidence, for measuring, or to recognise anybody.",
        ),
        Task(
            "text-synthesis",
            "synthesis",
            "text",
            verb="write",
            more_verbs=("evaluate",),
            does="writes texts",
            arguments="--model {model} -n 5",
            python="texts = model.generate(n=5, seed=0)",
            gives='strings; generate("...") continues a beginning, as --prompt does',
            pipeline="text-generation",
            foreign="multigen.text.synthesis.published:model_folder",
            published=("smollm2-135m-instruct",),
            weights=(".gguf",),
            tag="text-generation",
            limit="It writes what is likely after its training texts, and knows nothing of what is true.",
        ),
        Task(
            "audio-synthesis",
            "synthesis",
            "audio",
            verb="sample",
            does="generates sounds from noise",
            arguments="--model {model} -n 16 --out sounds/",
            python="sounds = model.sample(16, seed=0)",
            gives="float32 (16, channels, T) in -1..1, at model.rate Hz",
            tag="audio-generation",
            limit="A sound that it makes may still resemble a recording that somebody has rights to.",
        ),
        Task(
            "vocoding",
            "restoration",
            "audio",
            verb="restore",
            does="makes sound of mel spectrograms",
            arguments="mels.npy --model {model} --out sounds/",
            python="sound = model.vocode(mels)",
            gives="float32 (T,) in -1..1, at model.rate Hz; model.spec defines the mels (bands, frames)",
            imports='import numpy\nimport torch\n\nimport multigen\n\nmels = torch.from_numpy(numpy.load("mels.npy"))',
            tag="vocoder",
            limit="It makes whatever its mels say, in any voice: do not use it to pass off words that nobody spoke.",
            takes=(".npy",),
        ),
        Task(
            "audio-restoration",
            "restoration",
            "audio",
            verb="restore",
            does="restores recordings",
            arguments="recording.wav --model {model} --out restored/",
            python="sound = model.restore(sound, rate)",
            gives="a tensor of the same length",
            imports="import multigen\nfrom multigen.audio.files import read_sound\n\n"
            'sound, rate = read_sound("recording.wav")',
            pipeline="audio-to-audio",
            tag="audio-restoration",
            limit="What it puts in the place of what was lost is likely, not true. Do not use it for evidence, or to recognise "
            "anybody.",
        ),
        Task(
            "voice-conversion",
            "translation",
            "audio",
            verb="translate",
            does="converts a voice to another",
            arguments="sentence.wav --model {model} --out converted/",
            python="sound = model.translate(sound[0], rate)",
            gives="a tensor of the same length; model.speakers are the voices, translate(..., to=NAME) chooses one",
            imports="import multigen\nfrom multigen.audio.files import read_sound\n\n"
            'sound, rate = read_sound("sentence.wav")',
            pipeline="audio-to-audio",
            tag="voice-conversion",
            limit="A voice is somebody's: use it with the consent of the person whose voice it is and of the one who speaks, "
            "say that it was converted, and never to pass for somebody, to get around a recognition of speakers, or to "
            "put words into a mouth.",
        ),
    )
}
"""By name: the `task` of trainers and ready objects, and in a run's config.toml."""
