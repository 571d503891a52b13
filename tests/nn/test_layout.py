"""Examples in rows and in parts; how arrays lie on a mesh is in tests/train/test_mesh.py."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.nn import layout


def test_rows_keep_every_element_in_its_order():
    x = np.arange(24).reshape(2, 3, 4, 1)
    np.testing.assert_array_equal(layout.rows(x), x.reshape(2, 12))
    np.testing.assert_array_equal(layout.rows(x[:, 0, 0, 0]), [[0], [12]])


def test_parts_are_neighbours_and_together_the_batch():
    batch = {"input": np.arange(24).reshape(12, 2), "target": np.arange(12)}
    cut = layout.parts(batch, 3, "microbatches")
    assert cut["input"].shape == (3, 4, 2)
    np.testing.assert_array_equal(cut["target"], np.arange(12).reshape(3, 4))
    with pytest.raises(errors.InputError) as caught:
        layout.parts(batch, 5, "microbatches")
    assert str(caught.value) == "microbatches must divide the batch size 12, got 5."
