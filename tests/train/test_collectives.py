"""Collectives: counted in programs that say what they do, and in each of XLA's ways to write it."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jaxdl.train import collectives, mesh

P = jax.sharding.PartitionSpec


class Compiled:
    """A program of which only the text is known."""

    def __init__(self, *lines):
        self.text = "\n".join(["ENTRY %main (p: f32[8]) -> f32[8] {", *lines, "}"])

    def as_text(self):
        return self.text


def test_a_loop_counts_as_often_as_it_turns():
    devices = mesh.make({"data": 2})

    @functools.partial(jax.shard_map, mesh=devices, in_specs=P("data"), out_specs=P(None))
    def program(x):
        def turn(x, _):
            return jax.lax.psum(x, "data") / 2, None

        x = jax.lax.pcast(jax.lax.psum(x, "data"), "data", to="varying")
        x, _ = jax.lax.scan(
            lambda x, _: (jax.lax.pcast(turn(x, _)[0], "data", to="varying"), None), x, None, 7
        )
        return jax.lax.psum(x, "data")

    compiled = jax.jit(program).lower(jnp.ones(64)).compile()
    # Each of two devices sends half of its 32 numbers and then half of their sums.
    assert collectives.of(compiled, 2) == {"all-reduce": (9, 9 * 32 * 4)}


def test_what_fsdp_gathers_is_found():
    devices = mesh.make({"fsdp": 2})
    cut = jax.sharding.NamedSharding(devices, P("fsdp"))
    whole = mesh.replicated(devices)
    compiled = jax.jit(lambda x: x + 1, in_shardings=cut, out_shardings=whole)
    found = collectives.of(compiled.lower(jnp.ones((6, 5))).compile(), 2)
    assert found == {"all-gather": (1, 60)}  # half of 30 numbers of 4 bytes


@pytest.mark.parametrize(
    "line, kind, sent",
    [
        ("%a = f32[8]{0} all-gather(%p), replica_groups={{0,1,2,3},{4,5,6,7}}", "all-gather", 24),
        ("%a = bf16[8]{0} all-gather(%p), replica_groups=[4,2]<=[8]", "all-gather", 8),
        ("%a = (f32[2]{0}, f32[8]{0}) all-gather-start(%p), replica_groups={}", "all-gather", 28),
        ("%a = f32[] all-reduce(%p), replica_groups=mesh['x'=2,'y'=4] {'y'}", "all-reduce", 6),
        ("%a = f32[] all-reduce(%p), replica_groups=mesh['x'=8] {'x':(2)4}", "all-reduce", 6),
        ("%a = (f32[4]{0}, /*index=1*/u8[4]{0}) all-reduce-start(%p, %q)", "all-reduce", 35),
        ("ROOT %a = f32[1]{0} reduce-scatter(%p), replica_groups=[1,8]<=[8]", "reduce-scatter", 28),
        ("%a = f32[4,2]{1,0} all-to-all(%p), replica_groups={{0,1}}", "all-to-all", 16),
        (
            "%a = (f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%p)",
            "collective-permute",
            32,
        ),
    ],
)
def test_reads_what_xla_writes(line, kind, sent):
    assert collectives.of(Compiled(f"  {line}, to_apply=%add"), 8) == {kind: (1, sent)}


def test_no_talk_is_nothing():
    assert collectives.of(jax.jit(jnp.sin).lower(1.0).compile(), 1) == {}
