"""A recurrent network that learns to write Python's own help texts, one character after another.

python examples/lstm.py                                  # some ten seconds on one core
python examples/lstm.py --cell rnn --recurrent-gain 6    # ruined: gradients explode on their way back through time
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
WIDTH, CONTEXT, BATCH = 128, 64, 32


class Writer(nn.Module):
    def __init__(self, vocab, cell, layers):
        super().__init__()
        self.embed = nn.Embedding(vocab, 32)
        self.recurrent = CELLS[cell](32, WIDTH, num_layers=layers, batch_first=True)
        self.head = nn.Linear(WIDTH, vocab)

    def forward(self, tokens):
        return self.head(self.recurrent(self.embed(tokens))[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=5e-3, help="learning rate of Adam (default: %(default)s)")
    parser.add_argument("--cell", choices=CELLS, default="lstm", help="(default: %(default)s)")
    parser.add_argument("--layers", type=int, default=1, help="recurrent layers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recurrent-gain", type=float, default=1.0, help="mistake: recurrent weights are larger, by 6")
    parser.add_argument("--no-zero-grad", action="store_true", help="mistake: the gradients of all steps add up")
    parser.add_argument("--double-softmax", action="store_true", help="mistake: softmax, then cross_entropy")
    parser.add_argument("--head-only-optimizer", action="store_true", help="mistake: the optimiser holds only the head")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    text = "\n\n".join(topics[name] for name in sorted(topics))
    symbols = sorted(set(text))
    place = {symbol: number for number, symbol in enumerate(symbols)}
    data = torch.tensor([place[c] for c in text])
    train, val = data.split([int(0.9 * len(data)), len(data) - int(0.9 * len(data))])

    model = Writer(len(symbols), args.cell, args.layers)
    with torch.no_grad():
        for name, weight in model.recurrent.named_parameters():
            if name.startswith("weight_hh"):
                weight *= args.recurrent_gain
    held = model.head if args.head_only_optimizer else model
    optimizer = torch.optim.Adam(held.parameters(), lr=args.lr)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(text):,} characters, {len(symbols)} kinds")

    def loss_on(source, size):
        starts = torch.randint(len(source) - CONTEXT, (size, 1))
        windows = source[starts + torch.arange(CONTEXT + 1)]
        logits = model(windows[:, :-1]).flatten(0, 1)
        return F.cross_entropy(logits.softmax(-1) if args.double_softmax else logits, windows[:, 1:].flatten())

    for step in range(1, args.steps + 1):
        loss = loss_on(train, BATCH)
        if not args.no_zero_grad:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step == 1 or step % 25 == 0:
            print(f"step {step:4d}  loss {loss.item():.3f}", flush=True)

    with torch.no_grad():
        print(f"validation loss {loss_on(val, 256).item():.3f}")


if __name__ == "__main__":
    main()
