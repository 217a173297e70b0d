"""pLSTM: closed forms, every form against every other and against paths counted one by one, layers, checker, data."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import nn

from checking import unchecked
from surefoot.analysis.gating import check_dag, check_grid, grid_gain
from surefoot.nn.plstm import (
    GridGates,
    LineGraph,
    PLSTM1d,
    PLSTM2d,
    PLSTMGraph,
    PLSTMVis,
    d_mode_closed,
    d_mode_gates,
    dag_gating_matrix,
    gating_matrix_1d,
    gating_matrix_2d,
    is_multitree,
    normalize_transition,
    p_mode_closed,
    p_mode_gates,
    path_gains,
    plstm_1d,
    plstm_2d,
    plstm_dag,
    propagate,
    prune_to_multitree,
)
from surefoot.studies._plstm_graphs import Area
from surefoot.studies._plstm_runs import graph_depth
from surefoot.studies.problems.arrows import arrow_pointing, symbolic_arrow_pointing
from surefoot.studies.problems.molecules import FILE, batch, molecules, parse_smiles
from watching import watching

ONE = torch.ones(1, dtype=torch.float64)
FORMS = (
    ("recurrent", None),
    ("parallel", None),
    ("chunkwise", 0),
    ("chunkwise", 1),
    ("chunkwise", 2),
    ("chunkwise", 3),
)
EXAMPLE = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (2, 4), (4, 5), (3, 5)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_grid(batch: int, width: int, height: int, heads: int = 2) -> tuple[list[torch.Tensor], GridGates]:
    qkv = [normal(batch, width, height, heads, n, seed=n) for n in (4, 4, 3)]
    return qkv, GridGates(*(normal(batch, width, height, heads, seed=i).tanh() for i in range(9)))


def on_graph(gates: GridGates, width: int, height: int, heads: int) -> tuple[LineGraph, tuple[torch.Tensor, ...]]:
    """The grid's first sample as a DAG: source, transition, mark and direct."""
    graph = LineGraph.grid(width, height)
    right = torch.arange(graph.num_edges) < (width - 1) * height
    g = {name: gate[0].reshape(-1, heads).T for name, gate in gates.fitted(width, height, heads).items()}
    middle, from_left, to_right = graph.head[graph.incoming], right[graph.incoming], right[graph.outgoing]
    source = torch.where(right, g["source_right"][:, graph.tail], g["source_down"][:, graph.tail])
    mark = torch.where(right, g["mark_left"][:, graph.head], g["mark_up"][:, graph.head])
    going_right = torch.where(from_left, g["right_left"][:, middle], g["right_up"][:, middle])
    going_down = torch.where(from_left, g["down_left"][:, middle], g["down_up"][:, middle])
    return graph, (source, torch.where(to_right, going_right, going_down), mark, g["direct"])


# ---- closed forms on the grid ----


def test_gates_of_one_count_paths():
    table = gating_matrix_2d(GridGates(*[ONE] * 9), 8, 8, 1)[0, 0, :, :, 0, 0]
    counts = [[math.comb(x + y, x) for y in range(8)] for x in range(8)]
    assert table.tolist() == counts
    assert counts[7][7] == 3432


def test_p_mode_is_a_binomial_distribution():
    gates = p_mode_gates(ONE, ONE, ONE, ONE, 0.3 * ONE, ONE)
    table = gating_matrix_2d(gates, 8, 8, 1)[0, 0, :, :, 0, 0]
    diagonal = [float(table[x, 7 - x]) for x in range(8)]
    expected = [0.082354, 0.247063, 0.317652, 0.226894, 0.09724, 0.025005, 0.003572, 0.000219]
    assert diagonal == pytest.approx(expected, abs=5e-7)
    for n in range(1, 8):
        assert sum(float(table[x, n - x]) for x in range(n + 1)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("chirality", ["L", "R"])
def test_d_mode_carries_everything_everywhere(chirality):
    table = gating_matrix_2d(d_mode_gates(*[ONE] * 8, chirality=chirality), 8, 8, 1)[0, 0, :, :, 0, 0]
    assert torch.equal(table, torch.ones_like(table))


@pytest.mark.parametrize("chirality", ["L", "R"])
def test_closed_forms_are_those_of_the_recurrence(chirality):
    rows = [normal(3, seed=i).sigmoid() for i in range(8)]
    rows[5] = -rows[5]
    for gates, closed in (
        (p_mode_gates(*rows[:4], rows[4], rows[5]), p_mode_closed),
        (d_mode_gates(*rows[:5], rows[5], rows[6], rows[7], chirality=chirality), d_mode_closed),
    ):
        table = gating_matrix_2d(gates, 5, 7, 3)[0, :, :, :, 0, 0]
        assert torch.allclose(closed(gates, 5, 7), table, atol=1e-12)


def test_p_mode_decay_of_nought_reaches_neighbours_only():
    decay = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    table = p_mode_closed(p_mode_gates(ONE, ONE, ONE, ONE, 0.3 * ONE, decay), 4, 4)
    near = table.detach()
    assert float(near[0, 1, 0]) == pytest.approx(0.3) and float(near[0, 0, 1]) == pytest.approx(0.7)
    assert float(near[0, 1:, 1:].abs().max()) == 0
    (slope,) = torch.autograd.grad(table.sum(), decay)
    assert float(slope) == pytest.approx(1)  # two steps away: 0.3² + 2 · 0.3 · 0.7 + 0.7²


# ---- one function, many forms ----


@pytest.mark.parametrize(("width", "height"), [(4, 4), (8, 8), (5, 3), (3, 9), (1, 6)])
def test_all_forms_agree_forwards_and_backwards(width, height):
    qkv, gates = random_grid(2, width, height)
    leaves = [t.requires_grad_() for t in (*qkv, *vars(gates).values())]
    seen = []
    for method, levels in FORMS:
        out = plstm_2d(*qkv, gates, method=method, levels=levels)
        weights = normal(*out.shape, seed=9)
        seen.append((out, *torch.autograd.grad((out * weights).sum(), leaves, materialize_grads=True)))
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            assert torch.allclose(a, b, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("method", ["recurrent", "parallel"])
def test_a_grid_is_a_graph(method):
    (q, k, v), gates = random_grid(1, 4, 5)
    graph, made = on_graph(gates, 4, 5, 2)
    flat = [t[0].flatten(0, 1).transpose(0, 1) for t in (q, k, v)]
    found = plstm_dag(*flat, *made, graph, method=method, scale=0.5)
    expected = plstm_2d(q, k, v, gates, method="recurrent")[0].flatten(0, 1).transpose(0, 1)
    assert torch.allclose(found, expected, atol=1e-12)


def test_the_gating_matrix_is_the_recurrence_written_out():
    (q, k, v), gates = random_grid(2, 3, 5)
    matrix = gating_matrix_2d(gates, 3, 5, 2)
    scores = torch.einsum("bxyhk,buwhk->bhxyuw", q / 2, k)
    expected = torch.einsum("bhxyuw,buwhv->bxyhv", matrix * scores, v)
    assert torch.allclose(plstm_2d(q, k, v, gates), expected, atol=1e-12)


@pytest.mark.parametrize(("method", "levels"), FORMS[:4])
def test_gradcheck(method, levels):
    qkv, gates = random_grid(1, 3, 2, heads=1)
    leaves = [t.requires_grad_() for t in (*qkv, *vars(gates).values())]
    with unchecked():
        assert torch.autograd.gradcheck(
            lambda *t: plstm_2d(*t[:3], GridGates(*t[3:]), method=method, levels=levels), leaves, fast_mode=True
        )


def test_gates_without_a_batch_are_broadcast():
    (q, k, v), gates = random_grid(3, 4, 4)
    shared = GridGates(*(gate[0] for gate in vars(gates).values()))
    each = GridGates(*(gate[:1].expand_as(gate) for gate in vars(gates).values()))
    assert torch.allclose(plstm_2d(q, k, v, shared), plstm_2d(q, k, v, each), atol=1e-13)
    assert gating_matrix_2d(shared, 4, 4, 2).shape[0] == 1


def test_doubled_values_double_the_output():
    (q, k, v), gates = random_grid(1, 5, 4)
    assert torch.allclose(plstm_2d(q, k, 2 * v, gates), 2 * plstm_2d(q, k, v, gates), atol=1e-13)


# ---- sequences ----


@pytest.mark.parametrize("length", [1, 7, 8, 13])
@pytest.mark.parametrize("rank", [None, 3])
def test_sequence_forms_agree(length, rank):
    q, k, v = (normal(2, length, 2, n, seed=n) for n in (4, 4, 3))
    extra = () if rank is None else (rank,)
    source, mark = (normal(2, length, 2, *extra, seed=i).tanh() for i in (1, 2))
    transition, direct = normal(2, length, 2, *extra, *extra, seed=3).tanh(), normal(2, length, 2, seed=4)
    found = [
        plstm_1d(q, k, v, source, transition, mark, direct, method=method, levels=levels) for method, levels in FORMS
    ]
    for other in found[1:]:
        assert torch.allclose(found[0], other, atol=1e-12)
    if rank is None:
        state, expected = torch.zeros(2, 2, 4, 3, dtype=torch.float64), []
        for t in range(length):
            outer = k[:, t, :, :, None] * v[:, t, :, None]
            seen = mark[:, t, :, None, None] * state + direct[:, t, :, None, None] * outer
            expected.append((q[:, t, :, None] / 2 @ seen).squeeze(-2))
            state = transition[:, t, :, None, None] * state + source[:, t, :, None, None] * outer
        assert torch.allclose(found[0], torch.stack(expected, 1), atol=1e-12)


def test_a_sequence_is_gated_linear_attention():
    length = 6
    q, k, v = (normal(1, length, 1, 3, seed=n) for n in (1, 2, 3))
    one = torch.ones(1, dtype=torch.float64)
    plain = plstm_1d(q, k, v, one, one, one, 0 * one, scale=1.0)
    below = torch.tril(torch.ones(length, length, dtype=torch.float64), -1)
    expected = (below * (q[0, :, 0] @ k[0, :, 0].T)) @ v[0, :, 0]
    assert torch.allclose(plain[0, :, 0], expected, atol=1e-12)
    decay = normal(1, length, 1, seed=4).sigmoid()
    matrix = gating_matrix_1d(one, decay, one, one, length, 1)[0, 0]
    logs = decay[0, :, 0].log().cumsum(0)
    exclusive = torch.tril((logs[:, None] - decay[0, :, 0].log()[:, None] - logs[None]).exp(), -1) + torch.eye(length)
    assert torch.allclose(matrix, exclusive, atol=1e-12)


# ---- graphs ----


def test_a_random_graph_is_the_sum_over_its_paths():
    generator = torch.Generator().manual_seed(3)
    pairs = [(i, j) for i, j in product(range(7), range(7)) if i < j and torch.rand((), generator=generator) < 0.55]
    order = torch.randperm(7, generator=generator).tolist()
    graph = LineGraph.from_edges(7, [(order[i], order[j]) for i, j in pairs])
    source, mark = (normal(1, graph.num_edges, seed=i) for i in (1, 2))
    transition, direct = normal(1, graph.num_lines, seed=3), normal(1, 7, seed=4)
    carried = {
        (e, f): float(t)
        for e, f, t in zip(graph.incoming.tolist(), graph.outgoing.tolist(), transition[0], strict=True)
    }
    expected = torch.diag(direct[0]).clone()

    def follow(first: int, edge: int, weight: float) -> None:
        expected[graph.head[edge], graph.tail[first]] += weight * mark[0, edge]
        for following in range(graph.num_edges):
            if (edge, following) in carried:
                follow(first, following, weight * carried[edge, following])

    for edge in range(graph.num_edges):
        follow(edge, edge, float(source[0, edge]))
    assert torch.allclose(dag_gating_matrix(source, transition, mark, direct, graph)[0], expected, atol=1e-12)
    q, k, v = (normal(1, 7, 3, seed=i) for i in (5, 6, 7))
    by_paths = (expected * (q[0] @ k[0].T)) @ v[0]
    for method in ("recurrent", "parallel"):
        found = plstm_dag(q, k, v, source, transition, mark, direct, graph, method=method)
        assert torch.allclose(found[0], by_paths, atol=1e-11)


def test_p_mode_does_not_grow_across_cuts():
    graph = LineGraph.grid(6, 6)
    transition = normalize_transition(3 * normal(2, graph.num_lines), graph, "P")
    start = (graph.level[None] == 0).double().expand(2, -1)
    cells = propagate(start, transition, graph).abs()
    sums = torch.stack([cells[:, graph.level == level].sum(1) for level in range(graph.depth)])
    assert bool((sums[1:] <= sums[:-1] + 1e-12).all())
    columns = torch.zeros(2, graph.num_edges, dtype=torch.float64).index_add(1, graph.incoming, transition.abs())
    rows = normalize_transition(normal(2, graph.num_lines), graph, "P", "linf").abs()
    into = torch.zeros(2, graph.num_edges, dtype=torch.float64).index_add(1, graph.outgoing, rows)
    assert float(columns.max()) <= 1 and float(into.max()) <= 1


def test_pruning_removes_the_second_path_and_no_more():
    graph = LineGraph.from_edges(6, EXAMPLE)
    pruned = prune_to_multitree(graph)

    def lines(g: LineGraph) -> set[tuple[int, int]]:
        return set(zip(g.incoming.tolist(), g.outgoing.tolist(), strict=True))

    assert graph.num_lines == 9
    assert {(EXAMPLE[e], EXAMPLE[f]) for e, f in lines(graph) - lines(pruned)} == {((3, 4), (4, 5))}
    assert is_multitree(pruned) and not is_multitree(graph)
    ones = torch.ones(1, pruned.num_lines, dtype=torch.float64)
    assert float(path_gains(ones, pruned).max()) == 1


def test_a_reversed_graph_is_the_transposed_one():
    graph = LineGraph.from_edges(6, EXAMPLE)
    source, mark = normal(1, graph.num_edges, seed=1), normal(1, graph.num_edges, seed=2)
    transition, direct = normal(1, graph.num_lines, seed=3), normal(1, 6, seed=4)
    there = dag_gating_matrix(source, transition, mark, direct, graph)
    back = dag_gating_matrix(mark, transition, source, direct, graph.reversed())
    assert torch.allclose(back, there.transpose(1, 2), atol=1e-12)
    undirected = LineGraph.from_undirected(6, [(b, a) for a, b in EXAMPLE])
    assert torch.equal(undirected.tail, graph.tail)


# ---- layers ----


@pytest.mark.parametrize("mode", ["P", "D", "free"])
@pytest.mark.parametrize("directions", [1, 2, 4])
def test_bias_gates_are_input_gates_that_see_nothing(mode, directions):
    shared = PLSTM2d(12, 3, mode, "bias", directions, dtype=torch.float64)
    with torch.no_grad():
        shared.gate_bias.add_(0.3 * normal(*shared.gate_bias.shape))
    layer = PLSTM2d(12, 3, mode, "input", directions, dtype=torch.float64)
    layer.load_state_dict(shared.state_dict(), strict=False)
    x = normal(2, 5, 6, 12)
    assert torch.allclose(shared(x), layer(x), atol=1e-11)


def test_the_reference_variant_keeps_its_column_sum_whatever_its_decay():
    layer = PLSTM2d(8, 2, "P", "bias", variant="reference", dtype=torch.float64)
    with torch.no_grad():
        layer.gate_bias[3] = 0.05
    report = check_grid(layer.grid_gates(normal(1, 6, 6, 8))[0], 6, 6, 2)
    assert report.column_sum == pytest.approx(1) and report.verdict == "critical"
    with torch.no_grad():
        layer.gate_bias[3] = -1.0
    assert check_grid(layer.grid_gates(normal(1, 6, 6, 8))[0], 6, 6, 2).verdict == "explode"
    assert torch.isfinite(layer(normal(1, 6, 6, 8))).all()


def test_a_mirrored_input_is_directions_swapped():
    layer = PLSTM2d(8, 2, "P", "input", dtype=torch.float64)
    with torch.no_grad():
        layer.gate_weight.copy_(0.3 * normal(*layer.gate_weight.shape))
        layer.gate_bias.add_(normal(*layer.gate_bias.shape))
    swapped = PLSTM2d(8, 2, "P", "input", dtype=torch.float64)
    swapped.load_state_dict(layer.state_dict())
    order = [1, 0, 3, 2]  # directions with x mirrored
    with torch.no_grad():
        rows = layer.gate_bias[:-1].unflatten(0, (4, 5))[order].flatten(0, 1)
        swapped.gate_bias[:-1] = rows
        weight = layer.gate_weight.unflatten(0, (21, 2))
        moved = torch.cat([weight[:-1].unflatten(0, (4, 5))[order].flatten(0, 1), weight[-1:]])
        swapped.gate_weight.copy_(moved.flatten(0, 1))
    x = normal(2, 5, 4, 8)
    assert torch.allclose(swapped(x.flip(1)), layer(x).flip(1), atol=1e-12)


def test_layers_train_in_half_precision_and_are_saved():
    torch.manual_seed(0)
    for layer, x in (
        (PLSTM1d(8, 2, dtype=torch.bfloat16), torch.randn(2, 9, 8)),
        (PLSTM2d(8, 2, "D", "bias", dtype=torch.bfloat16), torch.randn(2, 4, 4, 8)),
        (PLSTM2d(8, 2, "P", "input", dtype=torch.bfloat16), torch.randn(2, 4, 4, 8)),
    ):
        out = layer(x.bfloat16())
        assert out.dtype == torch.bfloat16 and out.shape == x.shape
        out.square().sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())
        assert "heads=2" in repr(layer)


@pytest.mark.parametrize("mode", ["P", "D"])
def test_a_graph_layer_sees_everything_upstream(mode):
    torch.manual_seed(0)
    graph = LineGraph.from_edges(6, EXAMPLE)
    graph = prune_to_multitree(graph) if mode == "D" else graph
    layer = PLSTMGraph(8, 2, mode, edge_dim=3, dtype=torch.float64)
    x, edges = normal(6, 8).requires_grad_(), normal(8, 3)
    (seen,) = torch.autograd.grad(layer(x, graph, edges)[5].sum(), x)
    assert bool((seen.norm(dim=1) > 0).all())
    both = PLSTMGraph(8, 2, mode, edge_dim=3, method="parallel", dtype=torch.float64)
    both.load_state_dict(layer.state_dict())
    assert torch.allclose(both(x, graph, edges), layer(x, graph, edges), atol=1e-10)


def test_plstm_vis_takes_images_of_other_sizes():
    torch.manual_seed(0)
    model = PLSTMVis(10, in_channels=1, image_size=16, patch_size=4, dim=24, heads=3, modes="PD", gates="bias")
    assert model(torch.randn(2, 1, 16, 16)).shape == (2, 10)
    assert model(torch.randn(2, 1, 24, 32)).shape == (2, 10)
    loss = nn.functional.cross_entropy(model(torch.randn(4, 1, 16, 16)), torch.arange(4))
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    with torch.device("meta"):
        tiny = PLSTMVis.sized("T", 1000)
    assert len(tiny.blocks) == 12 and tiny.norm.weight.shape == (192,)


# ---- the checker ----


def test_verdicts_and_exponents():
    grid = 21
    free = check_grid(GridGates(*[ONE] * 9), 8, 8, 1)
    assert free.verdict == "explode" and free.column_sum == 2 and free.largest == 3432
    p = check_grid(p_mode_gates(ONE, ONE, ONE, ONE, 0.5 * ONE, ONE), grid, grid, 1)
    assert p.verdict == "critical" and p.exponent == pytest.approx(0.5, abs=0.05) and p.path_gain <= 1 + 1e-12
    d = check_grid(d_mode_gates(*[ONE] * 8), 8, 8, 1)
    assert d.verdict == "critical" and d.exponent == pytest.approx(0, abs=1e-12) and d.path_gain == 1
    assert check_grid(d_mode_gates(*[ONE] * 5, *[0.7 * ONE] * 3), 16, 16, 1).verdict == "vanish"
    assert check_grid(p_mode_gates(ONE, ONE, ONE, ONE, 0.5 * ONE, 0.7 * ONE), 16, 16, 1).verdict == "vanish"
    pytest.importorskip("plotly")
    assert len(p.plot().data) == 2


def test_the_cheap_gain_is_that_of_the_first_corner():
    gates = GridGates(*[ONE] * 9)
    gain, exponent, column = grid_gain(gates, 8, 8, 1)
    assert float(gain) == 3432 / 2 and float(column) == 2  # of the two edges, one is followed at a time
    assert float(exponent) == pytest.approx(check_grid(gates, 8, 8, 1).exponent)


def test_the_checker_on_graphs():
    graph = LineGraph.grid(6, 6)
    ones = torch.ones(1, graph.num_edges, dtype=torch.float64)
    free = check_dag(ones, torch.ones(1, graph.num_lines, dtype=torch.float64), ones, graph)
    assert free.verdict == "explode" and free.column_sum == 2
    shared = normalize_transition(100 * torch.ones(1, graph.num_lines, dtype=torch.float64), graph, "P")
    assert check_dag(ones, shared, ones, graph).verdict == "critical"
    tree = prune_to_multitree(graph)
    kept = check_dag(ones, torch.ones(1, tree.num_lines, dtype=torch.float64), ones, tree)
    assert kept.verdict == "critical" and kept.path_gain == 1


# ---- data ----


def test_symbolic_arrows_follow_the_rule():
    features, labels = symbolic_arrow_pointing(20_000, 8, seed=1)
    assert abs(float(labels.double().mean()) - 0.5) < 0.02
    arrow = features[..., 0].flatten(1).argmax(1)
    target = features[..., 3].flatten(1).argmax(1)
    offset = torch.stack([target // 8 - arrow // 8, target % 8 - arrow % 8], 1).double()
    way = features.flatten(1, 2)[torch.arange(20_000), arrow][:, 1:3].double()
    ahead = (way * offset).sum(1)
    beside = (way[:, 0] * offset[:, 1] - way[:, 1] * offset[:, 0]).abs()
    assert torch.equal(((ahead > 0) & (beside < 1.2)).long(), labels)
    assert float(offset.norm(dim=1).min()) >= 3


def test_arrow_images():
    images, labels = arrow_pointing(64, 192, seed=0)
    again, _ = arrow_pointing(64, 192, seed=0)
    assert torch.equal(images, again) and images.shape == (64, 1, 192, 192)
    assert 16 < int(labels.sum()) < 48
    dark = (1 - images).sum((1, 2, 3))
    assert float(dark.min()) > math.pi * 15**2 and float(dark.max()) < math.pi * 30**2 + 600
    assert arrow_pointing(2, 384, seed=0)[0].shape[-1] == 384


@pytest.mark.parametrize(
    ("text", "elements", "bonds"),
    [
        ("CC(=O)O", "C C O O", [(0, 1, 1), (1, 2, 2), (1, 3, 1)]),
        ("C1CC=1", "C C C", [(0, 1, 1), (1, 2, 1), (0, 2, 2)]),
        (
            "[O-][N+](=O)c1c[nH]1",
            "O N O C C N",
            [(0, 1, 1), (1, 2, 2), (1, 3, 1), (3, 4, 1.5), (4, 5, 1.5), (3, 5, 1.5)],
        ),
        ("Cl%12.[Na+]C#N%12", "Cl Na C N", [(1, 2, 1), (2, 3, 3), (0, 3, 1)]),
    ],
)
def test_smiles(text, elements, bonds):
    molecule = parse_smiles(text)
    assert molecule.elements == tuple(elements.split()) and list(molecule.bonds) == bonds
    assert sum(map(abs, molecule.charges)) == text.count("-") + text.count("+")


def test_molecules_are_graphs(tmp_path):
    made, synthetic = molecules(40, tmp_path, seed=1)
    assert synthetic and made == molecules(40, None, seed=1)[0]
    given = batch(made)
    assert given.graph.num_nodes == len(given.atoms) == sum(len(m.elements) for m in made)
    assert given.graph.num_edges == len(given.bonds) and float(given.areas.min()) >= 0
    torch.manual_seed(0)
    alone = Area(1)
    with torch.no_grad():
        together = alone(given)
        apart = torch.cat([alone(batch([m])) for m in made])
    assert torch.allclose(together, apart, atol=1e-5)
    lines = "\n".join(["# header", "CCO,20.23", "C,0.0", "CC.CC,0.0", "OCCN,46.25"])
    (tmp_path / FILE).write_text(lines)
    real, synthetic = molecules(9, tmp_path)
    assert not synthetic and sorted(m.area for m in real) == [46.25]


def test_depth_is_the_longest_chain():
    x = torch.ones(2, requires_grad=True)
    once = x * 2
    assert graph_depth(once) == 2 and graph_depth(((once + x) * once).sum()) == 5


# ---- bad input ----


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LineGraph.from_edges(3, [(0, 1), (1, 2), (2, 0)]), "cycle"),
        (lambda: LineGraph.from_edges(3, [(0, 1), (1, 1)]), "self-loops"),
        (lambda: LineGraph.from_edges(2, [(0, 5)]), "range"),
        (lambda: normalize_transition(normal(1, 3), LineGraph.from_edges(6, EXAMPLE)), "9 line edges"),
        (lambda: normalize_transition(normal(1, 9), LineGraph.from_edges(6, EXAMPLE), "D"), "prune_to_multitree"),
        (lambda: normalize_transition(normal(1, 9), LineGraph.from_edges(6, EXAMPLE), "X"), "'P' or 'D'"),
        (lambda: PLSTM2d(10, 3), "heads"),
        (lambda: PLSTM2d(9, 3, "Q"), "mode"),
        (lambda: PLSTMVis(2, image_size=17, patch_size=4), "patch_size"),
        (lambda: PLSTMVis(2, modes="PX"), "modes"),
        (lambda: d_mode_gates(*[ONE] * 8, chirality="Z"), "chirality"),
        (lambda: check_grid(GridGates(*[ONE] * 9), 1, 1, 1), "edges"),
        (lambda: arrow_pointing(1, 100), "size"),
        (lambda: symbolic_arrow_pointing(1, 3, 0), "grid"),
        (lambda: parse_smiles("C1CC"), "left open"),
        (lambda: parse_smiles("C)C"), "closes a branch"),
        (lambda: parse_smiles("C C"), "isn't SMILES"),
        (lambda: molecules(0, None), "n: got 0"),
        (
            lambda: PLSTMGraph(8, 2)(normal(6, 8).float(), LineGraph.from_edges(6, EXAMPLE), normal(8, 3).float()),
            "edges",
        ),
    ],
)
def test_bad_input_is_told(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_gate_that_does_not_fit_is_told():
    (q, k, v), gates = random_grid(1, 4, 4)
    with pytest.raises(ValueError, match="source_right"):
        plstm_2d(q, k, v, GridGates(normal(5), *list(vars(gates).values())[1:]))
    with pytest.raises(ValueError, match="method"):
        plstm_2d(q, k, v, gates, method="quick")
    with pytest.raises(ValueError, match="levels"):
        plstm_2d(q, k, v, gates, levels=-1)
    graph = LineGraph.from_edges(6, EXAMPLE)
    t, e, n = normal(1, 9), normal(1, 8), normal(1, 6)
    x = normal(1, 6, 2)
    with pytest.raises(ValueError, match="transition"):
        plstm_dag(x, x, x, e, e, e, n, graph)
    with pytest.raises(ValueError, match="method"):
        plstm_dag(x, x, x, e, t, e, n, graph, method="quick")


# ---- watched ----


def grid_model(mode: str, gates: str = "input") -> nn.Module:
    """One layer of two directions between two maps, over a 4 × 4 grid."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), PLSTM2d(8, 2, mode, gates, 2), nn.Flatten(1), nn.Linear(128, 2))


def fit(model: nn.Module, steps: int = 4) -> list[float]:
    x, y = symbolic_arrow_pointing(16, 4, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("mode", "gates"), [("P", "input"), ("D", "bias")])
def test_a_watched_layer_shows_its_gain_and_stays_as_it_is(mode, gates):
    bare = fit(grid_model(mode, gates))
    with watching(every=1, means="hooks") as kept:
        assert fit(grid_model(mode, gates)) == bare
    gains = kept.signal("gating_gain", "1")
    assert len(gains) == 3 and max(gains.values()) <= 1 + 1e-5  # at the first step the layers are not known yet
    assert kept.signal("gating_column_sum", "1")[2] == pytest.approx(1 if mode == "P" else 2, abs=1e-3)
    assert abs(kept.signal("gating_exponent", "1")[2]) < 1
    assert "unstable-gating" not in kept.findings()


@pytest.mark.parametrize("gates", ["input", "bias"])
def test_gates_that_explode_are_found(gates):
    with watching(every=1, means="hooks") as kept:
        fit(grid_model("free", gates))
    finding = kept.findings()["unstable-gating"]
    assert finding.severity == "warning" and finding.where == ("1",)
    assert {e.signal for e in finding.evidence} == {"gating_gain", "gating_column_sum"}
    model = grid_model("free", gates)
    names = {"model": model}
    exec(finding.remedies[0].how, names)
    assert names["model"][1].mode == "P"
    with watching(every=1, means="hooks") as kept:
        fit(model)
    assert "unstable-gating" not in kept.findings()
