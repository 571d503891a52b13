"""Molecules as graphs; files of SMILES that are damaged."""

import jax
import pytest

pytest.importorskip("rdkit")

from rdkit import Chem

from jaxdl import errors
from jaxdl.data import molecules


def test_ethanol_and_a_single_atom():
    found = [Chem.MolFromSmiles(smiles) for smiles in ("CCO", "[Cl-]")]
    g = molecules.graphs(found, atoms=4, bonds=3)
    assert g.nodes.shape == (2, 4, molecules.NODES) and g.edges.shape == (2, 6, molecules.EDGES)
    assert g.node_mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert g.edge_mask.tolist() == [[1, 1, 1, 1, 0, 0], [0] * 6]
    edges = set(zip(g.senders[0, :4].tolist(), g.receivers[0, :4].tolist(), strict=True))
    assert edges == {(0, 1), (1, 0), (1, 2), (2, 1)}
    elements = g.nodes[0, :3, : len(molecules.ELEMENTS)].argmax(1)
    assert [molecules.ELEMENTS[i] for i in elements] == ["C", "C", "O"]
    charge = g.nodes[:, 0, -5:-2]
    assert charge.tolist() == [[0, 1, 0], [1, 0, 0]]
    hydrogens = g.nodes[0, :3, -10:-5].argmax(1)
    assert hydrogens.tolist() == [3, 2, 1]
    assert not g.nodes[0, 3].any() and not g.edges[0, 4:].any()


def test_what_is_aromatic_is_told_from_what_is_not():
    benzene, hexane = (Chem.MolFromSmiles(smiles) for smiles in ("c1ccccc1", "C1CCCCC1"))
    g = molecules.graphs([benzene, hexane], 6, 6)
    kinds = g.edges[..., : len(molecules.BONDS)].argmax(-1)
    assert [{molecules.BONDS[k] for k in row} for row in kinds] == [{"AROMATIC"}, {"SINGLE"}]
    assert g.edges[..., -1].all()  # in a ring
    with pytest.raises(errors.InputError, match="at most 5 atoms and 6 bonds, got 6 and 6"):
        molecules.graphs([benzene], 5, 6)


def test_the_real_molecules():
    data = molecules.load("activity", largest=30, first=200)
    nodes = data.train["input"].nodes
    assert len(jax.tree.leaves(data.train["input"])) == 6
    assert nodes.shape[1] <= 30 and nodes.shape[2] == molecules.NODES
    assert len(data.train["target"]) == len(nodes) == len(data.smiles[0])
    assert data.train["target"].mean() == pytest.approx(0, abs=1e-5)
    raw = data.scale.mean[0] + data.scale.deviation[0] * data.test["target"]
    assert raw.min() > 3 and raw.max() < 10  # -log10 of a concentration
    # The graphs are those of their molecules.
    for i, smiles in enumerate(data.smiles[1][:20]):
        atoms = Chem.MolFromSmiles(smiles).GetNumAtoms()
        assert data.test["input"].node_mask[i].sum() == atoms


def test_a_malformed_line_is_told_by_its_number(tmp_path):
    file = tmp_path / "some.smi"
    file.write_text("CCO ethanol\nC1CC broken\n\nc1ccccc1\tbenzene ring\n")
    with pytest.raises(errors.InputError, match="SMILES on line 2, got 'C1CC broken'"):
        molecules.read(file)
    read = molecules.read(file, skip=True)
    assert read.names == ["ethanol", "benzene ring"]
    assert read.skipped == [(2, "C1CC broken"), (3, "")]
    assert [molecule.GetNumAtoms() for molecule in read.found] == [3, 6]
    file.write_text("")
    with pytest.raises(errors.InputError, match="at least one molecule, got none"):
        molecules.read(file)
    with pytest.raises(errors.InputError, match="must be a readable file of SMILES"):
        molecules.read(tmp_path / "none.smi")


def test_activities_are_matched_by_name(tmp_path):
    file = tmp_path / "act.csv"
    file.write_text("Name,Act\nb,2.5\na,1\n")
    assert molecules._activities(file, ["a", "b"]) == [1, 2.5]
    with pytest.raises(errors.InputError, match="must have a row for c, which has none"):
        molecules._activities(file, ["a", "c"])
    file.write_text("Name,Act\nb,much\n")
    with pytest.raises(errors.InputError, match=r"a number on line 2, got \['b', 'much'\]"):
        molecules._activities(file, ["b"])
