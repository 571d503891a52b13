"""Learners over sequences, and their experiments."""

SMALL = {
    "adding_gru": {"width": 8, "length": 8, "batch_size": 8},
    "adding_lstm": {"width": 8, "length": 8, "batch_size": 8},
    "numbers_seq2seq": {"width": 4, "batch_size": 8, "train_numbers": 500},
}
