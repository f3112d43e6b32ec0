"""The script of a user: it is not run, but read as an editor reads it. pyright reports what is
wrong or unknown in it."""

import multigen
from multigen.image import DCGANConfig, DCGANTrainer

config = DCGANConfig(data="photos/", size=64, lr=(2e-4, 1e-4), steps=5_000)
trainer = DCGANTrainer(config, multigen.Run(out="runs/faces", minutes=30)).fit()
print(trainer.evaluate().rows["real"])
model = multigen.load("runs/faces")
images = model.sample(16, seed=0)
model.pictures(1)[0].save(trainer.folder / "face.png")
print(images.shape, model.sheet(4), trainer.folder / "model")
print(multigen.load("runs/photos").upscale(images[0]), multigen.load("runs/books").generate("A fox", n=5)[0].upper())
