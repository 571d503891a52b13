"""Learners over sequences, and their experiments."""

SMALL = {
    "adding_gru": {"width": 8, "length": 8, "batch_size": 8},
    "adding_lstm": {"width": 8, "length": 8, "batch_size": 8},
    "co2_lstm": {"width": 4, "past": 52, "future": 2, "batch_size": 8},
    "copy_ntm": {"width": 8, "slots": 8, "size": 4, "longest": 3},
    "machines_autoencoder": {"width": 8, "lives": 2},
    "numbers_seq2seq": {"width": 4, "batch_size": 8, "train_numbers": 500},
    "prices_lstm": {"width": 2, "stocks": 32, "days": 10, "batch_size": 8},
    "recall_ntm": {"width": 8, "slots": 8, "size": 4, "items": 2, "length": 1},
    "reverse_stack": {"width": 8, "size": 4, "longest": 3},
    "sunspots_gru": {"width": 2, "members": 2, "batch_size": 4},
}
