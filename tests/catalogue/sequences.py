"""Learners over sequences that are no plain classifiers of them, and the experiments on sequences."""

SMALL = {
    "adding_gru": {"width": 8, "length": 8, "batch_size": 8},
    "adding_lstm": {"width": 8, "length": 8, "batch_size": 8},
}
