"""Names and meanings of the keys of results.json, for reports and for docs/results_json.md.

They are defined in results_keys.toml.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OBSERVABLES = {
    "jet_pt": "jet pT",
    "jet_eta": "jet eta",
    "jet_mass": "jet mass",
    "multiplicity": "number of constituents",
    "jet_width": "jet width",
    "ln_rho": "ln rho",
    "tau21": "tau21",
    "tau32": "tau32",
    "z_g": "z_g",
    "log_pt": "log pT of constituents",
    "pt_rel": "pT / jet pT of constituents",
    "eta_rel": "relative eta of constituents",
    "phi_rel": "relative phi of constituents",
}
KINDS = {
    "simulation": "simulation, not unfolded",
    "reweighted": "after the first step",
    "unfolded": "unfolded",
    "ibu": "binned unfolding (IBU)",
}
ANY_OBSERVABLE, ANY_KIND = "|".join(OBSERVABLES), "|".join(KINDS)
# regular expressions for the names between < and > in a pattern of results_keys.toml
PARTS = {
    "name": r"([\w.]+?)",
    "number": r"([0-9.e-]+)",
    "observable": rf"({ANY_OBSERVABLE})(?:_([12]))?",
    "unfolded": rf"_(detector|particle)_({ANY_OBSERVABLE})_({ANY_KIND})",
}
UNWEIGHTED = "_unweighted"


@dataclass(frozen=True)
class Meaning:
    """Keys of one kind: their spelling in the documentation, a pattern of them, name and meaning.

    `label` is a template for `re.Match.expand`; `task` is the task whose results have such keys.
    """

    written: str
    pattern: str
    label: str
    text: str
    task: str

    def label_of(self, match: re.Match) -> str:
        """The name of a key that the pattern matches, with the names of observables."""
        label = match.expand(self.label)
        return re.sub(rf"\b({ANY_OBSERVABLE})\b", lambda name: OBSERVABLES[name[0]], label).strip()


@cache
def meanings() -> tuple[Meaning, ...]:
    """All kinds of keys, in the order of the documentation."""
    text = Path(__file__).with_name("results_keys.toml").read_text(encoding="utf-8")
    kinds = []
    for task, entries in tomllib.loads(text).items():
        for written, entry in entries.items():
            pattern = entry.get("pattern", written)
            pattern = re.sub(r"<(\w+)>", lambda part: PARTS[part[1]], pattern)
            kinds.append(Meaning(written, pattern, entry["label"], entry["text"], task))
    return tuple(kinds)


def meaning_of(key: str) -> tuple[str, str]:
    """Name and meaning of a key; the meaning of an unknown key is empty."""
    plain = key.removesuffix(UNWEIGHTED)
    for meaning in meanings():
        if match := re.fullmatch(meaning.pattern, plain):
            label = meaning.label_of(match).removesuffix(", jet").removesuffix(" jet")
            return label + (", all jets equal" if plain != key else ""), meaning.text
    return plain.replace("_", " "), ""
