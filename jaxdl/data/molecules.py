"""Molecules as graphs: atoms are nodes, bonds are edges both ways. User-installed: the extra
`molecules` (rdkit, https://www.rdkit.org).

With rdkit come the molecules: the first 5,000 of the NCI's open database, and CHEMBL2321810, 1,017
compounds with one measured activity each (in Contrib/FreeWilson).
"""

import csv
import functools
import pathlib
import types
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxdl import errors
from jaxdl.data import splits
from jaxdl.nn import graph, limits

Target = Literal["tpsa", "logp", "activity"]
ELEMENTS = ("C", "N", "O", "S", "P", "F", "Cl", "Br", "I", "B", "Si")
BONDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
NODES = len(ELEMENTS) + 1 + 7 + 5 + 3 + 2  # features of an atom, see `_atom`
EDGES = len(BONDS) + 1 + 2  # and of a bond, see `_bond`


class Molecules(NamedTuple):
    """rdkit's molecules, their names, and the lines that were no SMILES, as (number, text)."""

    found: list[Any]
    names: list[str]
    skipped: list[tuple[int, str]]


class Labelled(NamedTuple):
    """Graphs with a standardised target (n, 1), to learn from and for the test.

    scale: what standardisation took away. smiles: of the training part, and of the test.
    """

    train: dict[str, Any]
    test: dict[str, Any]
    scale: splits.Scale
    smiles: tuple[list[str], list[str]]


def read(path: pathlib.Path, skip: bool = False, first: int | None = None) -> Molecules:
    """A file of SMILES, one on each line, with a name after it.

    skip: leave out lines that are no molecule rather than raise errors.InputError.
    first: read so many lines; None reads all.
    """
    chemistry = _rdkit()
    try:
        lines = path.read_text().splitlines()[:first]
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InputError(f"{path} must be a readable file of SMILES: {error}.") from error
    found, names, skipped = [], [], []
    with chemistry.quiet():
        for number, line in enumerate(lines, 1):
            smiles, *name = line.split(maxsplit=1) or [""]
            molecule = chemistry.parse(smiles) if smiles else None
            if molecule is not None:
                found.append(molecule)
                names.append("".join(name).strip())
            elif skip:
                skipped.append((number, line))
            else:
                raise errors.InputError(
                    f"{path} must have a SMILES on line {number}, got {line[:60]!r}. "
                    "Remove the line, or read with skip=True."
                )
    if not found:
        raise errors.InputError(f"{path} must hold at least one molecule, got none.")
    return Molecules(found, names, skipped)


def graphs(molecules: Sequence[Any], atoms: int, bonds: int) -> graph.Graph:
    """Arrays of graphs, each filled up to so many atoms and so many bonds (two edges each)."""
    count = len(molecules)
    arrays: dict[str, Any] = {
        "nodes": np.zeros((count, atoms, NODES), np.float32),
        "edges": np.zeros((count, 2 * bonds, EDGES), np.float32),
        "senders": np.zeros((count, 2 * bonds), np.int32),
        "receivers": np.zeros((count, 2 * bonds), np.int32),
        "node_mask": np.zeros((count, atoms), np.float32),
        "edge_mask": np.zeros((count, 2 * bonds), np.float32),
    }
    for i, molecule in enumerate(molecules):
        nodes, edges = molecule.GetNumAtoms(), 2 * molecule.GetNumBonds()
        if nodes > atoms or edges > 2 * bonds:
            raise errors.InputError(
                f"Molecule {i} must have at most {atoms} atoms and {bonds} bonds, "
                f"got {nodes} and {edges // 2}."
            )
        arrays["node_mask"][i, :nodes] = 1
        arrays["edge_mask"][i, :edges] = 1
        arrays["nodes"][i, :nodes] = [_atom(atom) for atom in molecule.GetAtoms()]
        if not edges:
            continue
        ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
        features = [_bond(bond) for bond in molecule.GetBonds()]
        begin, end = np.array(ends).T
        arrays["senders"][i, :edges] = np.concatenate([begin, end])
        arrays["receivers"][i, :edges] = np.concatenate([end, begin])
        arrays["edges"][i, :edges] = features + features
    return graph.Graph(**arrays)


@functools.cache
def load(
    target: Target = "tpsa",
    largest: int = 40,
    first: int = 5000,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Labelled:
    """Of the first so many molecules those of up to `largest` atoms, with what is to be told.

    target: "tpsa", the topological polar surface area (Ertl et al. 2000), and "logp", the
        octanol-water partition (Wildman and Crippen 1999), are calculated, of NCI's; "activity" is
        measured, of CHEMBL2321810's.
    """
    limits.at_least(1, "molecules' first", first)
    chemistry = _rdkit()
    if target == "activity":
        folder = chemistry.contrib / "FreeWilson" / "data"
        molecules = read(folder / "CHEMBL2321810.smi", first=first)
        values = _activities(folder / "CHEMBL2321810_act.csv", molecules.names)
    else:
        molecules = read(chemistry.data / "NCI" / "first_5K.smi", skip=True, first=first)
        values = [getattr(chemistry, target)(molecule) for molecule in molecules.found]
    kept = [i for i, m in enumerate(molecules.found) if m.GetNumAtoms() <= largest]
    if not kept:
        raise errors.InputError(f"largest must leave a molecule, got {largest}.")
    found = [molecules.found[i] for i in kept]
    wanted = np.array([values[i] for i in kept], np.float32)[:, None]
    bonds = max(1, *(molecule.GetNumBonds() for molecule in found))
    whole = graphs(found, max(molecule.GetNumAtoms() for molecule in found), bonds)
    split = splits.uniform(np.arange(len(found)), wanted, test_fraction, seed)
    split, scale = splits.standardised(split, "target")
    train, test = (
        part | {"input": graph.Graph(*(array[part["input"]] for array in whole))} for part in split
    )
    smiles = [chemistry.write(molecule) for molecule in found]
    learnt, asked = ([smiles[i] for i in part["input"]] for part in split)
    return Labelled(train, test, scale, (learnt, asked))


def _activities(path: pathlib.Path, names: Sequence[str]) -> list[float]:
    """The number beside each name, in the order of the names."""
    table: dict[str, float] = {}
    with path.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if number == 1:
                continue
            try:
                name, value = row
                table[name] = float(value)
            except ValueError as error:
                raise errors.InputError(
                    f"{path} must have a name and a number on line {number}, got {row}."
                ) from error
    missing = [name for name in names if name not in table]
    if missing:
        raise errors.InputError(f"{path} must have a row for {missing[0]}, which has none.")
    return [table[name] for name in names]


def _atom(atom: Any) -> list[float]:
    """Element, neighbours, hydrogens, charge, and whether it is aromatic and in a ring."""
    symbol = atom.GetSymbol()
    return [
        *_one_hot(ELEMENTS.index(symbol) if symbol in ELEMENTS else len(ELEMENTS), NODES - 17),
        *_one_hot(atom.GetDegree(), 7),
        *_one_hot(atom.GetTotalNumHs(), 5),
        *_one_hot(int(np.sign(atom.GetFormalCharge())) + 1, 3),
        float(atom.GetIsAromatic()),
        float(atom.IsInRing()),
    ]


def _bond(bond: Any) -> list[float]:
    """Its order, and whether it is conjugated and in a ring."""
    kind = str(bond.GetBondType())
    place = BONDS.index(kind) if kind in BONDS else len(BONDS)
    conjugated, ring = float(bond.GetIsConjugated()), float(bond.IsInRing())
    return [*_one_hot(place, len(BONDS) + 1), conjugated, ring]


def _one_hot(place: int, size: int) -> list[float]:
    """1 at a place, or at the last one where it lies beyond."""
    place = min(place, size - 1)
    return [float(i == place) for i in range(size)]


def _rdkit() -> Any:
    """What is used of it."""
    errors.needed("Molecules", "rdkit")
    from rdkit import Chem, RDConfig, rdBase
    from rdkit.Chem import Crippen, rdMolDescriptors

    return types.SimpleNamespace(
        parse=Chem.MolFromSmiles,
        write=Chem.MolToSmiles,
        tpsa=rdMolDescriptors.CalcTPSA,
        logp=Crippen.MolLogP,  # pyright: ignore[reportAttributeAccessIssue] - set at import
        quiet=rdBase.BlockLogs,
        data=pathlib.Path(RDConfig.RDDataDir),
        contrib=pathlib.Path(RDConfig.RDContribDir),
    )
