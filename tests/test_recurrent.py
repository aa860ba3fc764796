"""The recurrent cells of lessons 09 and 10 equal Keras's, whatever the sizes and the numbers.

Hypothesis draws batch size, length, inputs and units, and the seed of the weights; when it finds a
case that differs it shrinks it to the smallest one.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scoring import functions_of

SIZES = st.tuples(*(st.integers(1, top) for top in (5, 12, 6, 7)))  # N, T, inputs, units
SEEDS = st.integers(0, 2**32 - 1)
FLOAT32 = 2e-5  # what float32 may lose against NumPy's float64 over twelve steps


def keras_states(name, x, weights, **options):
    """Return the hidden states (N, T, units) of a Keras layer with these weights."""
    import keras

    layer = getattr(keras.layers, name)(weights[1].shape[0], return_sequences=True, **options)
    layer.build(x.shape)
    layer.set_weights(weights)
    return np.asarray(layer(x.astype("float32")))


def drawn(sizes, seed, sums, bias=None):
    """Return inputs (N, T, inputs) and weights W, U, b of a cell with so many sums a unit."""
    n, steps, inputs, units = sizes
    rng = np.random.default_rng(seed)
    shapes = [(inputs, sums * units), (units, sums * units), bias or (sums * units,)]
    return rng.normal(size=(n, steps, inputs)), [rng.normal(size=shape) / 2 for shape in shapes]


@settings(deadline=None, max_examples=40, derandomize=True)
@given(SIZES, SEEDS)
def test_the_plain_rnn_equals_keras(sizes, seed):
    x, weights = drawn(sizes, seed, sums=1)
    ours = functions_of("09_rnn_by_hand")["rnn"](x, *weights)
    np.testing.assert_allclose(ours, keras_states("SimpleRNN", x, weights), atol=FLOAT32)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(SIZES, SEEDS)
def test_the_lstm_equals_keras(sizes, seed):
    x, weights = drawn(sizes, seed, sums=4)
    ours, _ = functions_of("10_lstm_and_gru")["lstm"](x, *weights)
    np.testing.assert_allclose(ours, keras_states("LSTM", x, weights), atol=FLOAT32)


@pytest.mark.parametrize("after", [True, False])
@settings(deadline=None, max_examples=40, derandomize=True)
@given(SIZES, SEEDS)
def test_the_gru_equals_keras(after, sizes, seed):
    x, weights = drawn(sizes, seed, sums=3, bias=(2, 3 * sizes[3]) if after else None)
    ours = functions_of("10_lstm_and_gru")["gru"](x, *weights, reset_after=after)
    theirs = keras_states("GRU", x, weights, reset_after=after)
    np.testing.assert_allclose(ours, theirs, atol=FLOAT32)


def test_a_wrong_cell_is_found():
    """An LSTM whose forget and input gates are exchanged does not pass."""
    x, weights = drawn((2, 5, 3, 4), 0, sums=4)
    blocks = [np.split(w, 4, axis=-1) for w in weights]
    wrong = [np.concatenate([f, i, g, o], axis=-1) for i, f, g, o in blocks]
    ours, _ = functions_of("10_lstm_and_gru")["lstm"](x, *wrong)
    assert np.abs(ours - keras_states("LSTM", x, weights)).max() > 0.01
