"""What a report says of data whose faults were made by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.data import batches, report, streams, text

grain = pytest.importorskip("grain")
RANDOM = np.random.default_rng(0)


def examples(count, classes=3):
    return {
        "input": RANDOM.normal(size=(count, 4)).astype(np.float32),
        "target": np.arange(count, dtype=np.int32) % classes,
    }


def stream(arrays, batch_size):
    """A stream of batches that knows no size."""
    count = len(arrays["target"]) // batch_size
    cut = [
        {name: x[i * batch_size : (i + 1) * batch_size] for name, x in arrays.items()}
        for i in range(count)
    ]
    return grain.MapDataset.range(count).map(lambda i: cut[i])


def said(train, test, mark="look"):
    parts = report.of(train, {"test": test})
    return [words for found, words in report.remarks(parts) if found == mark]


def test_numbers_are_numpys(monkeypatch):
    monkeypatch.setattr(report, "TOGETHER", 40)  # several batches
    data, test = examples(50), examples(20)
    train, second = report.of(batches.shuffled(data, 8), {"test": batches.once(test, 8)})
    assert (train.name, train.size, train.looked_at, second.looked_at) == ("train", 50, 50, 20)
    entry = train.entries["input"]
    assert (entry.shape, entry.dtype, entry.count) == ((4,), "float32", 200)
    np.testing.assert_allclose(entry.low, data["input"].min(0))
    np.testing.assert_allclose(entry.high, data["input"].max(0))
    assert entry.mean == pytest.approx(data["input"].mean(), abs=1e-6)
    assert entry.deviation == pytest.approx(data["input"].std(), rel=1e-5)
    assert train.entries["target"].classes == {0: 17, 1: 17, 2: 16}
    assert said(batches.shuffled(data, 8), batches.once(test, 8)) == []
    good = said(batches.shuffled(data, 8), batches.once(test, 8), "good")
    assert good == ["every number is finite", "no input of test is in train"]


def test_transform_is_looked_at_and_augment_is_not():
    data = {"input": np.full((10, 3), 200, np.uint8), "target": np.arange(10)}
    source = batches.shuffled(
        data,
        4,
        transform=lambda b: b | {"input": b["input"].astype(jnp.float32) / 255},
        augment=lambda b, key: b | {"input": b["input"] + jnp.nan},
    )
    part = report.of(source, {})[0]
    assert (
        part.entries["input"].mean == pytest.approx(200 / 255) and not part.entries["input"].wrong
    )
    scaled = said(source, batches.once(data | {"input": data["input"] * np.float32(1)}, 4))
    assert scaled[0] == "all 3 numbers of an example of train/input never change"


@pytest.mark.parametrize("streamed", [False, True])
def test_made_faults_are_found(streamed):
    data, test = examples(96), examples(24)
    data["input"][7] = data["input"][3]  # the same class by chance of 7 and 3: another
    data["target"][:2] = 5, 2
    data["input"][:, 1] = 4
    test["input"][5] = data["input"][9]
    test["target"][0] = 9
    if streamed:
        data["input"][11, 0] = np.nan  # what arrays in memory are refused for
        make, ask = (lambda seed: stream(data, 8)), (lambda: stream(test, 8))
        train, once = streams.dataset(make, 8, size=96), streams.once(ask, size=24)
    else:
        train, once = batches.shuffled(data, 8), batches.once(test, 8)
    found = said(train, once)
    expected = [
        "1 of 96 examples of train repeat another, 1 of them with another target",
        "class 9 is in test and not in train",
        "class 5 is in train and not in test",
        "1 of 24 different inputs of test are in train too, first test 5 = train 9",
    ]
    if streamed:
        expected.insert(0, "1 of 384 numbers of train/input are not finite, first in example 11")
    assert found == expected
    still = "1 of the 4 numbers of an example of train/input never change"
    assert still in said(train, once, "note")


def test_a_test_that_is_scaled_otherwise_and_large_inputs():
    data, test = examples(50), examples(50)
    test["input"] *= 255
    found = said(batches.shuffled(data, 8), batches.once(test, 8))
    assert len(found) == 1 and found[0].endswith("are they scaled alike?")
    data["input"] = data["input"] * 1000
    found = said(batches.shuffled(data, 8), batches.once(data, 8))
    assert found[0].endswith("scale it to a size near 1")


def test_a_rare_class_is_told():
    data = examples(100) | {"target": (np.arange(100) < 2).astype(np.int32)}
    notes = said(batches.shuffled(data, 8), batches.once(data, 8), "note")
    assert any(
        words.startswith("class 1 is 2.00% of train: accuracy says little") for words in notes
    )


def test_large_data_are_sampled_and_said_to_be(monkeypatch):
    monkeypatch.setattr(report, "LIMIT", 100)
    data = examples(100)
    part = report.of(batches.shuffled(data, 8), {})[0]
    assert (part.looked_at, part.size) == (20, 100)
    np.testing.assert_array_equal(sorted(part.rows.values()), np.arange(0, 100, 5))
    good = said(batches.shuffled(data, 8), batches.once(examples(10), 8), "good")
    assert good[1] == "no input of test is in train, of those that were looked at"
    flow = streams.dataset(lambda seed: stream(data, 8).repeat(), 8)  # without an end
    part = report.of(flow, {})[0]
    assert (part.size, part.looked_at) == (None, 24)
    monkeypatch.setattr(report, "EXAMPLES", 10)
    part = report.of(batches.shuffled(data, 8), {})[0]
    assert sorted(part.rows.values()) == list(range(0, 100, 10))
    flow = streams.dataset(lambda seed: stream(data, 8).repeat(), 8)
    assert report.of(flow, {})[0].looked_at == 16


def test_windows_of_text_and_no_data():
    corpus = text.encode("abcd" * 20)
    part = report.of(batches.windows(corpus, 4, 2), {})[0]
    assert part.looked_at == 19 and part.repeated == 18
    assert part.entries["target"].classes == dict.fromkeys(text.encode("abcd").tolist(), 19)
    assert report.of(None, {}) == [] and report.remarks([]) == []
