"""A sparse matrix counts as a data set."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.shards import Dataset
from tests.shards.oracle import check_shards, item_triples, user_triples


@settings(deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 6)),
        st.sampled_from([0.0, 1.0, 3.5]),
        min_size=1,
    ),
    st.sampled_from(["coo", "csr", "csc"]),
    st.booleans(),
)
def test_every_stored_value_is_a_rating(ratings, layout, as_array):
    rows, columns = np.array(list(ratings)).T
    kind = sp.coo_array if as_array else sp.coo_matrix
    matrix = kind((list(ratings.values()), (rows, columns)), shape=(5, 7)).asformat(layout)
    data = Dataset.from_csr(matrix)
    check_shards(data)
    assert user_triples(data) == {(u, i, r) for (u, i), r in ratings.items()}
    assert item_triples(data) == user_triples(data)
    assert data.path is None
    assert (data.n_users, data.n_items) == (5, 7)
    assert (data.n_train, data.n_test) == (len(ratings), 0)
    assert data.mean == pytest.approx(np.mean(list(ratings.values())))
    assert data.shard("users", 0, "test").n_ratings == 0
    assert data.items()["n_train"].tolist() == [sum(i == k for _, i in ratings) for k in range(7)]
    assert data.rows_of("items", [6, 7, -1]).tolist() == [6, -1, -1]
    assert data.timestamps(0) is None
    data.verify()


def test_the_matrix_stays_as_it_was():
    matrix = sp.csr_array((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 2])), shape=(1, 2))
    assert user_triples(Dataset.from_csr(matrix)) == {(0, 0, 2.0), (0, 1, 1.0)}
    assert matrix.indices.tolist() == [1, 0]


def test_fingerprints_tell_ratings_apart():
    one, other = sp.csr_array([[1.0, 2.0]]), sp.csr_array([[1.0, 3.0]])
    assert Dataset.from_csr(one).fingerprint == Dataset.from_csr(one.copy()).fingerprint
    assert Dataset.from_csr(one).fingerprint != Dataset.from_csr(other).fingerprint


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (sp.csr_array((2, 3)), "2 x 3 holds no rating"),
        (sp.csr_array([[1.0, np.nan]]), "row 0, column 1 is nan"),
        (sp.csr_array([[1.0], [np.inf]]), "row 1, column 0 is inf"),
        (sp.csr_array([[1e300]]), "finite in float32"),
        (sp.csr_array([[1j]]), "must be numbers, not complex128"),
        (np.ones((2, 2)), "give a Dataset, or a scipy.sparse matrix"),
        ("ratings", "cannot learn from a str"),
    ],
)
def test_what_cannot_be_learned_from(matrix, message):
    with pytest.raises(InputError, match=message):
        Dataset.from_csr(matrix)


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_ratings_that_are_there_twice_are_refused(layout):
    if layout == "coo":
        matrix = sp.coo_array(([4.0, 3.0, 5.0], ([0, 0, 1], [2, 2, 1])))
    else:
        kind = sp.csr_array if layout == "csr" else sp.csc_array
        matrix = kind((np.array([4.0, 3.0, 5.0]), np.array([1, 1, 0]), np.array([0, 2, 3])))
    with pytest.raises(InputError, match="1 entries of the matrix repeat the row and column"):
        Dataset.from_csr(matrix)
