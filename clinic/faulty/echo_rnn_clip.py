"""A recurrent net repeats the symbol of four places ago; gradients are clipped because recurrent nets need that.

condition: always-clipping
accepts: always-clipping
allows: learning-rate-too-low, stalled
metric: accuracy max
"""

import argparse

import torch
from torch import nn

KINDS, LENGTH, LAG = 4, 16, 4


class EchoRNN(nn.Module):
    def __init__(self, hidden_size=64):
        super().__init__()
        self.embed = nn.Embedding(KINDS, 16)
        self.rnn = nn.RNN(16, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, KINDS)

    def forward(self, tokens):
        out, _ = self.rnn(self.embed(tokens))
        return self.head(out[:, LAG:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = EchoRNN()
    nn.init.orthogonal_(model.rnn.weight_hh_l0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()

    for step in range(1, 501):
        tokens = torch.randint(KINDS, (64, LENGTH))
        logits, target = model(tokens), tokens[:, :-LAG]
        loss = loss_fn(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 1e-6)
        optimizer.step()
        if step % 25 == 0:
            accuracy = (logits.argmax(-1) == target).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
