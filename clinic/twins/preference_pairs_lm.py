"""A tiny decoder learns the shop's replies from text, then which of two replies customers prefer (DPO).

condition: healthy
metric: exam_loss min
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn

TOKENS, LENGTH = 24, 12


class Decoder(nn.Module):
    def __init__(self, width=48, heads=4):
        super().__init__()
        self.token, self.place = nn.Embedding(TOKENS, width), nn.Parameter(0.1 * torch.randn(LENGTH, width))
        make = lambda: nn.TransformerEncoderLayer(width, heads, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.ModuleList(make() for _ in range(2))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, TOKENS)
        self.register_buffer("mask", torch.full((LENGTH, LENGTH), float("-inf")).triu(1))

    def forward(self, x):
        h = self.token(x) + self.place[: x.shape[1]]
        for block in self.blocks:
            h = block(h, src_mask=self.mask[: x.shape[1], : x.shape[1]])
        return self.out(self.norm(h))

    def log_likelihood(self, x):
        return -F.cross_entropy(self(x[:, :-1]).transpose(1, 2), x[:, 1:], reduction="none").sum(1)


class Replies:
    """A Markov chain of second order; the friendly replies lean towards the even tokens."""

    def __init__(self, rng):
        self.rng = rng
        self.table = 2 * torch.randn(TOKENS, TOKENS, generator=rng)
        self.lean = (torch.arange(TOKENS) % 2 == 0).float()

    def write(self, count, friendly):
        text = torch.randint(0, TOKENS, (count, 1), generator=self.rng)
        for _ in range(LENGTH - 1):
            logits = self.table[text[:, -1]] + friendly * self.lean
            text = torch.cat([text, torch.multinomial(torch.softmax(logits, 1), 1, generator=self.rng)], 1)
        return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    replies = Replies(torch.Generator().manual_seed(seed))
    model = Decoder()
    exam = replies.write(300, 1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 250)
    for step in range(1, 451):
        if step == 251:
            reference = copy.deepcopy(model).eval().requires_grad_(False)
            optimizer = torch.optim.AdamW(model.parameters(), lr=4e-5)
        if step <= 250:
            loss = -model.log_likelihood(replies.write(64, 0.0)).mean() / (LENGTH - 1)
        else:
            chosen, rejected = replies.write(64, 1.0), replies.write(64, -1.0)
            ours = model.log_likelihood(chosen) - model.log_likelihood(rejected)
            theirs = reference.log_likelihood(chosen) - reference.log_likelihood(rejected)
            loss = -F.logsigmoid(0.3 * (ours - theirs)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step <= 250:
            rate.step()
        if step % 25 == 0:
            with torch.no_grad():
                exam_loss = -model.log_likelihood(exam).mean().item() / (LENGTH - 1)
            print(f"step {step}  loss {loss.item():.4f}  exam_loss {exam_loss:.4f}")


if __name__ == "__main__":
    main()
