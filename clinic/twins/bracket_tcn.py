"""A dilated convolution net tells at each place of a random bracket sequence how deep it is; log-likelihood loss.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

LENGTH, DEPTHS = 16, 6


def brackets(size):
    """Random opening (1) and closing (0) brackets, and the depth at each place, cut at the ends."""
    tokens = torch.randint(2, (size, LENGTH))
    depth, now = [], torch.zeros(size, dtype=torch.long)
    for t in range(LENGTH):
        now = (now + 2 * tokens[:, t] - 1).clamp(0, DEPTHS - 1)
        depth.append(now)
    return tokens, torch.stack(depth, 1)


class CausalConv(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.conv = nn.Conv1d(width, width, 2, dilation=dilation)
        self.dilation = dilation

    def forward(self, x):
        return x + torch.relu(self.conv(nn.functional.pad(x, (self.dilation, 0))))


class TCN(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Embedding(2, width)
        self.convs = nn.Sequential(*(CausalConv(width, d) for d in (1, 2, 4, 8)))
        self.head = nn.Conv1d(width, DEPTHS, 1)

    def forward(self, tokens):
        scores = self.head(self.convs(self.embed(tokens).transpose(1, 2)))
        return scores.log_softmax(dim=1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = TCN()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.NLLLoss()

for step in range(1, 301):
    tokens, depth = brackets(64)
    output = model(tokens)
    loss = loss_fn(output, depth)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        accuracy = (output.argmax(1) == depth).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
