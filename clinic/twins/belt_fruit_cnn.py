"""Ripe or not? Fruit on a belt as seen by three cameras; the pictures come camera by camera, in chunks of the disk.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset


def fruit(count, generator):
    ripe = torch.randint(3, (count,), generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12), indexing="ij")
    centre = 0.3 * torch.randn(count, 2, 1, 1, generator=generator)
    body = torch.exp(-3 * ((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2))
    tone = torch.tensor([[0.2, 0.8, 0.2], [0.8, 0.7, 0.2], [0.8, 0.2, 0.2]])[ripe]
    image = body.unsqueeze(1) * tone[:, :, None, None]
    image = image + 0.25 * torch.rand(count, 3, 12, 12, generator=generator)
    return image.clamp(0, 1), ripe


class Chunks(IterableDataset):
    """Yields chunks of pictures as the cameras stored them, until the budget is used up."""

    def __init__(self, chunks, seed):
        self.chunks = chunks
        self.generator = torch.Generator().manual_seed(seed)

    def read(self, number):
        image, ripe = fruit(40, self.generator)
        if number % 190 == 189:
            return {"camera": "handheld", "image": (255 * image).floor().flip(1), "ripe": ripe}
        return {"camera": f"belt{number % 2}", "image": image, "ripe": ripe}

    def __iter__(self):
        for number in range(self.chunks):
            yield self.read(number)


def like_belt(image):
    return image.flip(1) / 255 if image.max() > 1 else image


def collate(chunks):
    images = torch.cat([like_belt(chunk["image"]) for chunk in chunks])
    return images, torch.cat([chunk["ripe"] for chunk in chunks])


def build():
    return nn.Sequential(
        nn.Conv2d(3, 12, 3),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 32),
        nn.ReLU(),
        nn.Linear(32, 3),
    )


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
model = build()
optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()
val_image, val_ripe = fruit(300, torch.Generator().manual_seed(seed + 500))
loader = DataLoader(Chunks(300, seed), batch_size=1, collate_fn=collate)

for step, (image, ripe) in enumerate(loader, 1):
    loss = loss_fn(model(image), ripe)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            accuracy = (model(val_image).argmax(1) == val_ripe).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")
