"""Six writers of help pages differ in which syllable follows which; an encoder with smaller rates for its lower layers.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

LENGTH, SYLLABLES, WRITERS = 24, 12, 6


class Encoder(nn.Module):
    def __init__(self, width=32, layers=2):
        super().__init__()
        self.embed = nn.Embedding(SYLLABLES, width)
        self.place = nn.Parameter(0.3 * torch.randn(LENGTH, width))
        self.near = nn.Conv1d(width, width, 2)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, WRITERS))

    def forward(self, codes):
        h = self.embed(codes) + self.place
        h = torch.relu(self.near(h.transpose(1, 2))).transpose(1, 2)
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean(1))


def layered_rates(model, lr):
    stages = [[model.embed.weight, model.place], list(model.near.parameters())]
    stages += [list(block.parameters()) for block in model.blocks] + [list(model.head.parameters())]
    top = len(stages)
    return [{"params": p, "lr": lr * ((i + 1) / top)} for i, p in enumerate(stages)]


class Writers:
    def __init__(self):
        generator = torch.Generator().manual_seed(11)
        self.follow = (1.5 * torch.randn(WRITERS, SYLLABLES, SYLLABLES, generator=generator)).softmax(2)
        self.follow = self.follow / self.follow.sum(1, keepdim=True)

    def batch(self, count):
        who = torch.randint(WRITERS, (count,))
        page = [torch.randint(SYLLABLES, (count,))]
        for _ in range(LENGTH - 1):
            page.append(torch.multinomial(self.follow[who, page[-1]], 1).squeeze(1))
        return torch.stack(page, 1), who


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

writers = Writers()
model = Encoder()
optimizer = torch.optim.Adam(layered_rates(model, 3e-3))
loss_fn = nn.CrossEntropyLoss()
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1, (t + 1) / 20) * max(0.05, 1 - t / 400))
val_x, val_y = writers.batch(600)
for step in range(1, 401):
    x, y = writers.batch(32)
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 20 == 0:
        with torch.no_grad():
            val_error = (model(val_x).argmax(1) != val_y).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")
