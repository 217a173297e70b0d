"""Residual connections of ``surefoot.nn.mgt`` against public implementations, on the same stream.

* Hyper-connections, four streams, mixed by 20 Sinkhorn iterations, around one linear layer, forward and backward. Peer:
  ``hyper_connections``' ``ManifoldConstrainedHyperConnections``, whose matrices depend on a stream of width d where
  ours depend on all four, as the paper has it. Floor: the plain residual on one stream, and on four.
* Sinkhorn alone, on the same logits. Peer: that package's, in both of its forms.
* The delta connection. Peer: the authors' ``DeepDeltaResidualVdim1``. Floor: the plain residual.

    pip install hyper-connections                                     # peers; left out where they aren't there
    git clone https://github.com/yifanzhang-pro/deep-delta-learning   # needs transformers and pydantic
    python benchmarks/mgt.py --ddl deep-delta-learning
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from racing import kept_bytes, race
from surefoot.nn.mgt import (
    DeltaResidual,
    HyperConnection,
    NormConnection,
    expand_streams,
    reduce_streams,
    sinkhorn_knopp,
)


def step(call: Callable[[], Tensor], parameters: list[Tensor]) -> Callable[[], object]:
    """Forward and backward."""
    return lambda: torch.autograd.grad(call().square().mean(), parameters, allow_unused=True)


def told(name: str, call: Callable[[], object]) -> None:
    """Bytes that the graph keeps."""
    print(f"  {name}: {kept_bytes(call) / 2**20:.1f} MiB kept for the backward")


def main() -> None:
    """Parse and race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ddl", help="clone of the authors' repository")
    options = parser.parse_args()
    dim, tokens = options.dim, options.tokens
    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        from hyper_connections import manifold_constrained_hyper_connections as public
    except ImportError as error:
        public = None
        print(f"hyper_connections is left out: {error}")

    x, branch = torch.randn(4, tokens // 4, dim, requires_grad=True), nn.Linear(dim, dim)

    def parameters(*modules: nn.Module) -> list[Tensor]:
        return [x, *(p for module in (branch, *modules) for p in module.parameters())]

    plain = NormConnection(dim)
    floors = {
        "plain": step(lambda: plain(x, branch), parameters(plain)),
        "plain, 4 streams": step(
            lambda: reduce_streams((s := expand_streams(x)) + branch(plain.norm(s.mean(-2)))[..., None, :]),
            parameters(plain),
        ),
    }
    ours = HyperConnection(dim)
    exact = HyperConnection(dim, constraint="permutations")
    free = HyperConnection(dim, constraint="none")
    calls: dict[str, tuple[Callable[[], Tensor], nn.Module]] = {
        "ours": (lambda: reduce_streams(ours(expand_streams(x), branch)), ours),
        "ours, permutations": (lambda: reduce_streams(exact(expand_streams(x), branch)), exact),
        "ours, free": (lambda: reduce_streams(free(expand_streams(x), branch)), free),
    }
    if public is not None:
        for name, log_domain in (("hyper_connections", False), ("hyper_connections, log domain", True)):
            module = public.ManifoldConstrainedHyperConnections(
                4, dim=dim, branch=nn.Sequential(nn.LayerNorm(dim), branch), layer_index=0,
                log_domain_sinkhorn=log_domain,
            )  # fmt: skip
            # its streams are folded into the batch
            calls[name] = (
                lambda module=module: module(x.repeat_interleave(4, 0)).unflatten(0, (-1, 4)).mean(1),
                module,
            )
    arms = {name: step(call, parameters(module)) for name, (call, module) in calls.items()} | floors
    race(f"hyper-connection, {tokens} tokens", arms, options.rounds)
    for name, (call, _) in calls.items():
        told(name, call)

    logits = torch.randn(tokens, 4, 4, requires_grad=True)
    projections: dict[str, Callable[[Tensor], Tensor]] = {"ours": sinkhorn_knopp}
    if public is not None:
        projections |= {
            "hyper_connections": public.sinkhorn_knopps,
            "log domain": public.log_domain_sinkhorn_knopps,
        }
        gap = max(float((f(logits) - sinkhorn_knopp(logits)).detach().abs().max()) for f in projections.values())
        print(f"Sinkhorn: differs from theirs by {gap:.1e}")
    race("Sinkhorn", {n: step(lambda f=f: f(logits), [logits]) for n, f in projections.items()}, options.rounds)

    delta, norm = DeltaResidual(dim, value="sigmoid4"), nn.LayerNorm(dim)

    def connect(module: Any) -> Callable[[], Tensor]:
        def call() -> Tensor:
            context = norm(x)
            return module(x, branch(context), context)

        return call

    arms = {"ours": step(connect(delta), parameters(delta, norm))}
    theirs = None
    if options.ddl:
        sys.path.insert(0, options.ddl)
        kind = import_module("model.DDL-vdim1-gpt-mha-rope").DeepDeltaResidualVdim1
        theirs = kind(SimpleNamespace(hidden_size=dim, ddl_beta_init=1.0))

        def call() -> Tensor:
            context = norm(x)
            return theirs(x, k_in=branch(context), context=context)

        arms["authors'"] = step(call, parameters(theirs, norm))
        with torch.no_grad():  # the same numbers from the same weights; theirs makes v from x itself
            theirs.beta.weight.zero_(), theirs.v_proj.weight.zero_(), delta.value.weight.zero_()
            theirs.v_proj.bias.zero_(), delta.value.bias.zero_()
            gap = float((call() - connect(delta)()).abs().max())
        print(f"delta: differs from theirs by {gap:.1e}")
    arms["plain"] = floors["plain"]
    race(f"delta, {tokens} tokens", arms, options.rounds)
    told("ours", connect(delta))
    if theirs is not None:
        told("authors'", call)


if __name__ == "__main__":
    main()
