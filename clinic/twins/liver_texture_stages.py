"""Fibrosis from ultrasound patches by a small vision transformer: pretrained on phantoms, then adapted to patients.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

SIDE, PATCH, GRADES = 16, 4, 4


def speckle(n, gen, patient):
    """Grade sets the grain of the texture; in patients the grain runs along one direction and shadows fall in."""
    grade = torch.randint(GRADES, (n,), generator=gen)
    f = (0.5 + 0.5 * grade + 0.1 * torch.randn(n, generator=gen)).view(n, 1, 1)
    r = torch.arange(SIDE, dtype=torch.float32)
    y, x = r.view(1, SIDE, 1), r.view(1, 1, SIDE)
    image = torch.zeros(n, SIDE, SIDE)
    for _ in range(3):
        angle = math.pi * (0.15 * torch.randn(n, 1, 1, generator=gen) + (0.25 if patient else 0))
        if not patient:
            angle = angle + math.pi / 2 * torch.randint(2, (n, 1, 1), generator=gen)
        phase = 2 * math.pi * torch.rand(n, 1, 1, generator=gen)
        image += torch.sin((f * 1.1 if patient else f) * (x * angle.cos() + y * angle.sin()) + phase)
    if patient:
        image = image * (x > 12 * torch.rand(n, 1, 1, generator=gen) - 6)
    return 0.8 * image + (0.9 if patient else 0.4) * torch.randn(n, SIDE, SIDE, generator=gen), grade


class Trunk(nn.Module):
    def __init__(self, d=48, depth=2):
        super().__init__()
        self.patch = nn.Conv2d(1, d, PATCH, PATCH)
        self.place = nn.Parameter(0.02 * torch.randn((SIDE // PATCH) ** 2, d))
        layer = nn.TransformerEncoderLayer(d, 4, 2 * d, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, nn.LayerNorm(d), enable_nested_tensor=False)

    def forward(self, image):
        tokens = self.patch(image.unsqueeze(1)).flatten(2).transpose(1, 2)
        return self.blocks(tokens + self.place).mean(1)


class Grader(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.head = Trunk(), nn.Linear(48, GRADES)
        self.fixed_trunk = False

    def features(self, image):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.fixed_trunk):
            return self.trunk(image)

    def forward(self, image):
        return self.head(self.features(image))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    val_x, val_y = speckle(600, gen, True)
    model = Grader()
    for stage, (steps, lr) in enumerate([(200, 1e-3), (40, 3e-3), (320, 7e-4)]):
        if stage == 1:
            model.head.reset_parameters()
        model.fixed_trunk = stage == 1
        params = model.head.parameters() if stage == 1 else model.parameters()
        optimizer = torch.optim.AdamW(params, lr=lr)
        for step in range(1, steps + 1):
            x, y = speckle(40, gen, stage > 0)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 20 == 0:
                with torch.no_grad():
                    val_loss = F.cross_entropy(model(val_x), val_y).item()
                print(f"stage {stage} step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
