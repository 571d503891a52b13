"""What the experiment stdlib_gpt refuses before it builds anything."""

import pathlib

import pytest

from jaxdl import errors, experiment

FILE = pathlib.Path(__file__).parents[1] / "experiments" / "stdlib_gpt.py"


@pytest.mark.parametrize("length", [1, 4])
def test_a_length_with_no_room_after_the_prompt(length):
    function = experiment.File(FILE).function
    with pytest.raises(errors.InputError, match=f"Length must exceed the 4 bytes .*got {length}."):
        function(length=length)
