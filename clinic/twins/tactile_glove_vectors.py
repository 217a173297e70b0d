"""What a hand holds, from the force vectors of a tactile glove, in float16 with a gradient scaler.

Firm grips are recorded first; light grips, in which some pads touch nothing, are added later.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

PADS, THINGS = 14, 7


def grips(count, light, shapes, generator):
    """Forces of the pads: a pattern of the thing, turned and scaled by the hand; light grips hang and leave pads off."""
    thing = torch.randint(THINGS, (count,), generator=generator)
    strength = torch.exp(0.4 * torch.randn(count, 1, 1, generator=generator))
    angle = (1.3 if light else 0.0) + 0.4 * torch.randn(count, 1, generator=generator)
    force = shapes[thing]
    x, y, z = force.unbind(-1)
    force = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y, z], -1)
    force = strength * (force + 0.9 * torch.randn(force.shape, generator=generator))
    if light:
        touches = torch.rand(count, PADS, 1, generator=generator) < 0.5
        force = 0.4 * force * touches
    return force, thing


class PadNet(nn.Module):
    """Each pad's force is mixed into eight vectors, whose lengths and directions go on."""

    def __init__(self, vectors=8, width=96):
        super().__init__()
        self.mix = nn.Linear(3, 3 * vectors, bias=False)
        self.pad = nn.Parameter(0.1 * torch.randn(PADS, 16))
        self.local = nn.Sequential(nn.Linear(4 * vectors + 16, 32), nn.SiLU())
        self.head = nn.Sequential(nn.Linear(32 * PADS, width), nn.SiLU(), nn.Linear(width, THINGS))

    def forward(self, force):
        vectors = self.mix(force).float().unflatten(-1, (-1, 3))
        length = (vectors.pow(2).sum(-1, keepdim=True) + 1e-4).sqrt()
        direction = vectors / (length + 0.1)
        features = torch.cat([length, direction], -1).flatten(-2)
        place = self.pad.expand(len(force), -1, -1)
        return self.head(self.local(torch.cat([features, place], -1)).flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=700)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    shapes = torch.randn(THINGS, PADS, 3, generator=generator)
    firm, light = grips(3000, False, shapes, generator), grips(3000, True, shapes, generator)
    test_force, test_thing = grips(600, True, shapes, generator)

    model = PadNet()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=500)
    for step in range(1, arguments.steps + 1):
        rows = torch.randint(3000, (48,), generator=generator)
        force, thing = firm[0][rows], firm[1][rows]
        if step > 200:
            force, thing = torch.cat([force, light[0][rows]]), torch.cat([thing, light[1][rows]])
        with torch.autocast("cpu", dtype=torch.float16):
            logits = model(force)
        loss = loss_fn(logits.float(), thing)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(test_force).argmax(1) == test_thing).float().mean().item()
            print(f"step {step:4d}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
