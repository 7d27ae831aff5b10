"""Which program wrote an HDF5 file of weights, by its groups.

The released code has one container per part of the model; TensorFlow 2.14 and 2.15 wrote different
container names. Other files of Keras have arrays at `.../vars/0` too, but the place of an array in
PET does not follow from them: layers are numbered by class and in the order of that model.
"""

import h5py

from omnilearn.hdf5_sums import attributes

FORMAT = "omnilearn-checkpoint"  # attribute `format` of our checkpoints
INSIDE = "_layer_checkpoint_dependencies"
# part of the model -> container, by the version that wrote the file
LAYOUTS = {
    "TensorFlow 2.14": {
        "body": f"body/{INSIDE}",
        "classifier": f"classifier/{INSIDE}",
        "generator": f"generator/{INSIDE}",
    },
    "TensorFlow 2.15": {
        "body": "layers/functional/layers",
        "classifier": "layers/functional_1/layers",
        "generator": "layers/functional_2/layers",
    },
}


def arrays_of(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All arrays of a file by path."""
    arrays: dict[str, h5py.Dataset] = {}
    file.visititems(
        lambda name, item: arrays.update({name: item}) if isinstance(item, h5py.Dataset) else None
    )
    return arrays


def soft_link(file: h5py.File) -> tuple[str, str] | None:
    """Path and target of the first link within the file, which `arrays_of` does not follow."""
    return file.visititems_links(
        lambda name, link: (name, link.path) if isinstance(link, h5py.SoftLink) else None
    )


def absent_parts(names, layout: dict[str, str]) -> list[str]:
    """Parts of the model, each with its container, of which a layout finds no array."""
    return [
        f"{part} ({group})"
        for part, group in layout.items()
        if not any(name.startswith(f"{group}/") for name in names)
    ]


def described(file: h5py.File) -> str:
    """What an open file holds, and the flag that takes it if there is one, in words."""
    if attributes(file).get("format") == FORMAT:
        return "a checkpoint of this suite, which finetune.py --backbone takes"
    names = arrays_of(file)
    if any(not absent_parts(names, layout) for layout in LAYOUTS.values()):
        return (
            "weights of the released OmniLearn, from which a training starts with: "
            "python finetune.py DATASET --released-weights FILE"
        )
    groups = ", ".join(sorted(file)) or "nothing"
    if "model_weights" in file or {"layer_names", "model_config"} & set(file.attrs):
        return f"a Keras model in the HDF5 format of Keras 2 ({groups})"
    if any("vars" in name.split("/") for name in names):
        return (
            f"weights of a Keras model of another layout ({groups}), which does not tell their "
            "places in PET"
        )
    return groups
