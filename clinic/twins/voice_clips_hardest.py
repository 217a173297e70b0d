"""Embeddings of voices for the recognition of speakers: triplets within batches of twenty speakers with three clips each.

condition: healthy
metric: recall max
"""

import argparse

import torch
from torch import nn

BANDS, FRAMES = 16, 20


class Speakers:
    def __init__(self, rng, count=40):
        self.rng = rng
        self.timbre = torch.randn(count, 6, generator=rng)
        self.mouth = torch.randn(6, BANDS, generator=rng)
        self.words = torch.randn(12, BANDS, generator=rng)

    def clips(self, who):
        said = torch.randint(0, 12, (len(who), FRAMES), generator=self.rng)
        envelope = torch.tanh(self.timbre[who] @ self.mouth / 2)
        sound = 1.5 * self.words[said] * (1 + 0.8 * envelope[:, None]) + 0.6 * envelope[:, None]
        return sound + 1.0 * torch.randn(len(who), FRAMES, BANDS, generator=self.rng)


class VoiceNet(nn.Module):
    def __init__(self, size=16):
        super().__init__()
        self.frames = nn.Sequential(nn.Conv1d(BANDS, 48, 3), nn.ReLU(), nn.Conv1d(48, 48, 3), nn.ReLU())
        self.out = nn.Linear(96, size)

    def forward(self, clips):
        h = self.frames(clips.transpose(1, 2))
        return self.out(torch.cat([h.mean(2), h.std(2)], 1))


def triplets(embedding, who, margin=0.5):
    distance = torch.cdist(embedding, embedding)
    same = who[:, None] == who[None]
    gap = distance.unsqueeze(2) - distance.unsqueeze(1) + margin
    valid = same.unsqueeze(2) & ~same.unsqueeze(1) & (distance.unsqueeze(2) > 0)
    violations = gap[valid].relu()
    return violations.sum() / (violations > 0).sum().clamp(min=1)


@torch.no_grad()
def recall(model, clips, who):
    distance = torch.cdist(model(clips), model(clips)).fill_diagonal_(float("inf"))
    return (who[distance.argmin(1)] == who).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
rng = torch.Generator().manual_seed(seed)
speakers = Speakers(rng)
exam_who = torch.arange(40).repeat_interleave(12)
exam = speakers.clips(exam_who)
model = VoiceNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800, 5e-5)
for step in range(1, 801):
    who = torch.randperm(40, generator=rng)[:20]
    clips = torch.cat([speakers.clips(who) for _ in range(3)])
    loss = triplets(model(clips), who.repeat(3))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 40 == 0:
        print(f"step {step}  loss {loss.item():.4f}  recall {recall(model, exam, exam_who):.4f}")
