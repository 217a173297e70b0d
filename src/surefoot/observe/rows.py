"""The rows being filled: which signals a run has, where each value goes, and when a step is complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from surefoot.runs.schema import Family

# Signals of each family, in the order of their columns: those that have a value a layer, an optimiser, a run, or a
# place that is met as the run goes on (a loss function, an attention, an input, …).
PER_LAYER = {
    "activations": (
        "activation_mean",
        "activation_rms",
        "dead_share",
        "saturated_share",
        "called",
        "activation_peak",
        "active_share",
        "closed_share",
    ),
    "adaptivity": ("epsilon_share", "epsilon_factor"),
    "frozen": ("frozen_share", "unchanged_share"),
    "asides": ("aside_calls",),
    "hyperbolic": ("hyperbolic_norm", "hyperbolic_factor", "hyperbolic_rim_share"),
    "gating": ("gating_gain", "gating_exponent", "gating_column_sum"),
    "gradients": ("gradient_rms", "gradient_share", "gradient_nonfinite"),
    "ranks": ("weight_projection",),
    "rank": ("stable_rank", "effective_rank", "token_cosine"),
    "precision": ("gradient_zero_share", "gradient_subnormal_share", "gradient_peak"),
    "surrogates": ("surrogate_error", "surrogate_unevenness", "surrogate_frozen"),
    "weights": ("weight_rms", "update_rms", "update_ratio", "swallowed_share", "beyond_reach_share", "restored_share"),
}
PER_OPTIMIZER = {
    "curvature": (
        "sharpness",
        "sharpness_residual",
        "stability_coefficient",
        "sharpest_share",
        "principal_flow_rate",
    ),
    "gradients": ("gradient_norm", "clip_ratio"),
    "policy": ("zero_advantage_share", "policy_entropy", "weighted_choice_entropy"),
    "scaler": ("loss_scale", "skipped_steps"),
    "samples": (
        "batch_rows",
        "distinct_batches",
        "batch_returned",
        "distinct_samples",
        "repeated_share",
        "sample_loss_change",
        "sample_loss_risen",
        "row_loss_median",
        "row_loss_max",
        "top_loss_share",
        "far_row_share",
        "far_loss_share",
        "far_target_share",
        "far_target_loss_share",
        "far_target_above",
        "far_target_unlearned",
        "output_spread",
        "outputs_left",
        "output_left_most",
        "target_rms",
        "target_mean",
        "target_deviation",
        "loss_expansion",
        "dead_output_share",
        "saturated_error_share",
        "stale_loader_batches",
        "stale_loader_asked",
        "stale_tested",
        "stale_seeded",
        "label_runs",
        "label_runs_expected",
        "label_rising",
        "label_purity",
        "label_majority",
        "label_classes",
        "label_classes_seen",
        "opposing_energy_share",
        "opposing_concentration",
        "opposing_lag1",
        "opposing_correlation",
    ),
    "safe_step": ("safe_ratio", "safe_ratio_median", "safe_radius", "step_length", "finite_difference"),
    "step": ("loss", "learning_rate", "constant_loss"),
    "weights": ("weight_norm", "update_norm", "predicted_decrease", "nlm_alignment"),
    "wiring": ("stale_gradient_share",),
}
PER_RUN = {
    "step": ("step_time",),
    "wiring": ("missed_parameters",),
    "rotation": ("rotation_turns", "rotation_coherence", "rotation_share", "rotation_growth", "rotation_balance"),
}
# Made when the records of several ranks are read, not while they run.
PER_RANKS = {
    "replicas": ("replica_distance", "replica_rank"),
    "replica_steps": ("learning_rate_spread", "gradient_spread"),
}
PER_PLACE: dict[str, tuple[str, ...]] = {
    "game": (
        "generated_spread",
        "generated_offset",
        "generated_move",
        "coverage",
        "precision",
        "discriminator_auc",
    ),
    "latent": ("latent_kl", "active_units_share", "latent_size"),
    "mode": ("eval_mode", "eval_mode_share", "eval_dropout_share", "unfed_norm_share"),
    "validation": ("validation_loss",),
    "printed": ("printed_number",),
    "overflow": ("overflowed_share",),
    "edges": ("edge_roundings",),
    "distances": ("hyperbolic_distance",),
    "choices": ("choice_entropy", "choice_certain_share"),
    "slopes": ("slope_share",),
    "players": ("idle_steps",),
    "inputs": (
        "input_mean",
        "input_rms",
        "input_max",
        "feature_spread",
        "preactivation_scale",
        "input_variation",
    ),
    "terms": ("term_value", "term_weight", "term_gradient_norm", "term_alignment", "term_shared_norm"),
    "schedule": ("scheduler_steps",),
    "attention": ("attention_logit_max", "attention_entropy", "query_norm", "key_norm"),
    "recurrence": ("bptt_rate", "bptt_length"),
    "logits": (
        "softmax_collapse_share",
        "logit_max",
        "logit_rms",
        "row_sum_error",
        "nonnegative_share",
        "num_classes",
        "activation_before",
        "softmax_rounding_share",
        "softmax_headroom",
        "logit_margin",
        "target_margin",
        "target_margin_min",
        "log_partition_mean",
        "log_partition_max",
        "logit_shift",
        "logit_rounding",
    ),
}


@runtime_checkable
class Sink(Protocol):
    """Where rows and events go."""

    def row(self, step: int, family: Family, values: np.ndarray) -> None:
        """Take one finished row."""

    def event(self, step: int, kind: str, /, **data: Any) -> None:
        """Take one event."""

    def flush(self) -> None:
        """A good moment to commit and to judge."""


class Rows:
    """Collects values of the newest steps and hands each step to the sink, oldest first, once it is complete."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._layers: tuple[str, ...] = ()
        self._optimizers: list[str] = []
        self._places_met: dict[str, list[str]] = {family: [] for family in PER_PLACE}
        self._families: dict[str, Family] = {}
        self._place: dict[str, dict[tuple[str, str], int]] = {}
        # a row keeps the family that it was begun with, also if layers or optimisers turn up meanwhile
        self._open: dict[int, dict[Family, np.ndarray]] = {}
        self._noted: list[tuple[int, str, str, dict[str, float]]] = []
        self._held: Counter[int] = Counter()

    def set_layers(self, names: Sequence[str]) -> None:
        """The layers in order of depth."""
        if tuple(names) != self._layers:
            self._place_noted()
            self._layers = tuple(names)
            self._families.clear()

    def optimizer(self, name: str) -> None:
        """Make room for an optimiser."""
        self._meet(self._optimizers, name)

    def _meet(self, known: list[str], name: str) -> None:
        if name not in known:
            known.append(name)
            self._families.clear()

    def _family(self, name: str) -> Family:
        family = self._families.get(name)
        if family is None:
            columns = [
                (signal, where)
                for signals, wheres in (
                    (PER_LAYER, self._layers),
                    (PER_OPTIMIZER, self._optimizers),
                    (PER_PLACE, self._places_met.get(name, ())),
                    (PER_RUN, ("",)),
                )
                for signal in signals.get(name, ())
                for where in wheres
            ]
            family = self._families[name] = Family(name, tuple(columns))
            self._place[name] = {column: place for place, column in enumerate(columns)}
        return family

    def _values(self, step: int, name: str) -> np.ndarray:
        families = self._open.setdefault(step, {})
        family = self._family(name)
        values = families.get(family)
        if values is None:
            values = families[family] = np.full(len(family.columns), np.nan, dtype=np.float32)
        return values

    def put(self, step: int, family: str, where: str, **signals: float) -> None:
        """Values of one optimiser, run or place (``where`` = its name).

        They are only noted: rows are made of them all at once when steps are completed, a third of the cost.
        """
        self._noted.append((step, family, where, signals))

    def _place_noted(self) -> None:
        noted, self._noted = self._noted, []
        for _, family, where, _ in noted:  # all first: a step's places are to be in one row
            if family in PER_PLACE:
                self._meet(self._places_met[family], where)
        for step, family, where, signals in noted:
            values = self._values(step, family)
            place = self._place[family]
            for signal, value in signals.items():
                values[place[signal, where]] = value

    def put_layers(self, step: int, family: str, **signals: np.ndarray) -> None:
        """Values of all layers, in their order; NaN leaves what is there."""
        if not self._layers or any(len(new) != len(self._layers) for new in signals.values()):
            return  # read before layers turned up, known after
        values = self._values(step, family)
        place = self._place[family]
        for signal, new in signals.items():
            start = place[signal, self._layers[0]]
            part = values[start : start + len(self._layers)]
            np.copyto(part, new, where=~np.isnan(new), casting="same_kind")

    def hold(self, step: int) -> None:
        """Numbers of ``step`` are still to come from a device: it and what follows it is not complete."""
        self._held[step] += 1

    def release(self, step: int) -> None:
        """One of them has come."""
        self._held[step] -= 1
        if not self._held[step]:
            del self._held[step]

    def complete(self, before: int | None) -> None:
        """Hand over the steps before ``before``, as far as nothing is still to come for them (all if None)."""
        if before is not None and self._held:
            before = min(before, *self._held)
        if self._noted:
            self._place_noted()
        for step in sorted(self._open):
            if before is not None and step >= before:
                break
            for family, values in sorted(self._open.pop(step).items(), key=lambda item: item[0].name):
                self._sink.row(step, family, values)
