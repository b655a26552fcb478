"""The client's 18 fields of data: how patterns are read, grouped and normalised."""

from __future__ import annotations

from functools import partial

from ptycho_torch.contracts.ptychodus.field import ClientField

_QUADRANTS = (("data__neighbor_function", "4_quadrant"),)
_DISTANCES = (("data__neighbor_function", "Min_dist"),)
_NORMALISED = "the network normalises every pattern by itself, so that no scale of its input reaches the result"

_data = partial(ClientField, "data")

DATA_FIELDS: tuple[ClientField, ...] = (
    _data("N", "model_size", "honoured", "the size comes from the patterns; where it differs, a warning says so"),
    _data("C", "num_channels", "honoured", "patterns in a group whose overlaps are merged"),
    _data("K", "num_nearest_neighbors_for_lookup", "honoured", "a group is drawn from so many nearest neighbours"),
    _data(
        "K_quadrant",
        "num_nearest_neighbors_for_quadrant_lookup",
        "honoured",
        "with 4_quadrant, a group is drawn from the quadrants of so many nearest neighbours",
        beside=_QUADRANTS,
    ),
    _data(
        "n_subsample",
        "coordinate_subsampling_factor",
        "honoured",
        "groups drawn around every pattern; an epoch still sees each pattern once on average",
    ),
    _data(
        "grid_size",
        "grid_size_y, grid_size_x",
        "warned",
        "groups are not laid on a grid, and are as large as the channels say; one that is not square is refused",
        example=(3, 3),
    ),
    _data(
        "neighbor_function",
        "neighbor_lookup_method",
        "honoured",
        "Nearest, Min_dist (in the range of distances) or 4_quadrant; the nearest where too few are in it",
        example="4_quadrant",
    ),
    _data(
        "min_neighbor_distance",
        "min_neighbor_distance",
        "honoured",
        "with Min_dist and 4_quadrant, nearer patterns do not join a group",
        beside=_DISTANCES,
    ),
    _data(
        "max_neighbor_distance",
        "max_neighbor_distance",
        "honoured",
        "with Min_dist and 4_quadrant, farther patterns do not join a group",
        beside=_DISTANCES,
    ),
    _data(
        "scan_pattern",
        "scan_pattern",
        "honoured",
        "with 4_quadrant, Rectangular measures distances in steps of each axis",
        example="Rectangular",
        beside=_QUADRANTS,
    ),
    _data(
        "normalize",
        "data_normalization_mode",
        "warned",
        _NORMALISED,
        example="Group",
    ),
    _data(
        "probe_scale", "probe_scale", "warned", "probes are scaled to the measured photons, whatever their units were"
    ),
    _data(
        "probe_normalize",
        "normalize_probe",
        "refused",
        "photons in probe and patterns must agree, so that the probe is always scaled to the measured photons",
    ),
    _data(
        "probe_ramp_removal",
        "probe_ramp_removal",
        "honoured",
        "the starting probe loses its mean phase ramp before the probe is refined",
    ),
    _data(
        "data_scaling",
        "data_scaling_method",
        "warned",
        _NORMALISED,
        example="Max",
    ),
    _data(
        "phase_subtraction",
        "subtract_mean_phase",
        "honoured",
        "Supervised: labels lose their mean phase",
        beside=(("model__mode", "Supervised"),),
    ),
    _data(
        "x_bounds",
        "x_lower_bound, x_upper_bound",
        "honoured",
        "share of the scan's width that training sees; a reconstruction always covers the whole scan",
        example=(0.0, 1.0),
    ),
    _data(
        "y_bounds",
        "y_lower_bound, y_upper_bound",
        "honoured",
        "share of the scan's height that training sees; a reconstruction always covers the whole scan",
        example=(0.0, 1.0),
    ),
)
