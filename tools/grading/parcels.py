"""Keras objects as plain data: a network is built again where no code of a student's ran.

A parcel holds a configuration as JSON, and weights as arrays. Building runs what the configuration
names, so only Keras's own classes may be named, and of them none that holds code, reads a file or
leads to another library. What a network of the student's own class would do is not asked at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

# Keras's own, but with code, files or another library in them.
REFUSED = {
    "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TextVectorization",
    "StringLookup", "IntegerLookup", "Hashing", "HashedCrossing", "FeatureSpace",
}  # fmt: skip
ACTIVATIONS = (
    "linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "gelu", "silu",
    "leaky_relu", "relu6", "softsign", "exponential", "hard_sigmoid", "log_softmax",
)  # fmt: skip
PLAIN = {"__tuple__", "__keras_tensor__", "__slice__", "__ellipsis__", "function"}
MOST = 20_000_000  # parameters of a network; the largest of the course has 1.5 million


class ParcelError(Exception):
    """A network that cannot be sent, or must not be built, with the reason for its author."""


def is_keras(item: Any) -> bool:
    """Return whether an object is a layer, a network or a symbolic tensor of Keras's."""
    return isinstance(item, keras.Layer | keras.KerasTensor)


# Packing


def pack(item: Any, linked: dict[int, int]) -> dict[str, Any]:
    """Return a Keras object as plain data.

    ``linked`` gives for the id of an object on this side the number of its counterpart on the
    other: where a layer of a network is one of these, the other side puts its own in the place.
    """
    if isinstance(item, keras.KerasTensor):
        return _pack_tensor(item, linked)
    with _keras_activations(item):
        config = keras.saving.serialize_keras_object(item)
    if _foreign(config.get("compile_config")):
        del config["compile_config"]
    inner = {layer.name: linked.get(id(layer)) for layer in getattr(item, "layers", [])}
    known = {name: number for name, number in inner.items() if number is not None}
    config = json.dumps(_plain(config))
    return {"kind": "layer", "config": config, "state": state(item), "linked": known}


@contextlib.contextmanager
def _keras_activations(item: Any) -> Iterator[None]:
    """While this lasts, each activation is Keras's own, if one computes what it computes."""
    changed = []
    try:
        for layer in item._flatten_layers():
            given = getattr(layer, "activation", None)
            if callable(given) and not getattr(given, "__module__", "").startswith("keras."):
                changed.append((layer, given))
                layer.activation = _same_in_keras(given)
        yield
    finally:
        for layer, given in changed:
            layer.activation = given


def _same_in_keras(function: Any) -> Any:
    """Return Keras's activation that gives the same numbers, or the function itself."""
    sample = np.random.default_rng(0).normal(0, 3, size=(4, 6)).astype("float32")
    try:
        told = np.asarray(function(keras.ops.convert_to_tensor(sample)))
        for name in ACTIVATIONS:
            known = keras.activations.get(name)
            if np.allclose(told, np.asarray(known(sample)), atol=1e-6):
                return known
    except Exception:  # it does not work outside its network: then it is not one of Keras's
        return function
    return function


def _pack_tensor(tensor: Any, linked: dict[int, int]) -> dict[str, Any]:
    """Pack a symbolic tensor: an input by its shape, others with the layers that lead to them."""
    origin = tensor._keras_history.operation
    if isinstance(origin, keras.layers.InputLayer) and id(tensor) not in linked:
        return {"kind": "input", "shape": list(tensor.shape[1:]), "dtype": str(tensor.dtype)}
    inputs = _inputs_of(tensor)
    if not inputs or any(id(one) not in linked for one in inputs):
        raise ParcelError("what was returned does not come from the input that was handed in")
    network = keras.Model(inputs, tensor)
    parcel = pack(network, {})
    return parcel | {"kind": "output", "inputs": [linked[id(one)] for one in inputs]}


def _inputs_of(tensor: Any) -> list[Any]:
    """Return the input tensors from which a symbolic tensor is computed."""
    found: dict[int, Any] = {}
    waiting, seen = [tensor], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        operation, node_index, _ = one._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            found[id(one)] = one
        else:
            waiting += operation._inbound_nodes[node_index].input_tensors
    return list(found.values())


def _plain(config: Any) -> Any:
    """Return a configuration without initializers and the like of the student's own.

    They have done their work: the weights are sent. An activation is another matter.
    """
    if isinstance(config, dict):
        return {
            key: None if key.endswith(("_initializer", "_regularizer", "_constraint"))
            and _foreign(value) else _plain(value)
            for key, value in config.items()
        }  # fmt: skip
    if isinstance(config, list | tuple):
        return [_plain(part) for part in config]
    return config


def _foreign(config: Any) -> bool:
    try:
        _refuse_foreign(config)
    except ParcelError:
        return True
    return False


def state(item: Any) -> dict[str, Any]:
    """Return what may change in a Keras object: its design as a hash, weights, what is trained."""
    if not isinstance(item, keras.Layer):
        return {}
    design = json.dumps(_design(keras.saving.serialize_keras_object(item)), default=str)
    return {
        "design": hashlib.sha256(design.encode()).hexdigest(),
        "weights": [np.asarray(weight) for weight in item.get_weights()],
        "trainable": [bool(layer.trainable) for layer in _layers(item)],
    }


def _design(config: Any) -> Any:
    """Return a configuration without what ``state`` tells apart, and what training sets."""
    if isinstance(config, dict):
        left_out = ("trainable", "compile_config")
        return {k: _design(v) for k, v in config.items() if k not in left_out}
    return [_design(part) for part in config] if isinstance(config, list | tuple) else config


def _layers(item: Any) -> list[Any]:
    """Return a layer and all layers in it, outer ones first."""
    return [item, *(inner for layer in getattr(item, "layers", []) for inner in _layers(layer))]


# Unpacking


def unpack(parcel: dict[str, Any], objects: list[Any]) -> Any:
    """Return the Keras object of a parcel; ``objects`` are those that it may name by number.

    Raises ParcelError if it names anything that is not Keras's own, or its parts do not fit.
    """
    kind = parcel.get("kind")
    if kind == "input":
        return keras.Input(tuple(parcel["shape"]), dtype=str(parcel["dtype"]))
    built = _build(parcel, objects)
    if kind == "layer":
        return built
    inputs = [objects[number] for number in parcel["inputs"]]
    if not all(isinstance(one, keras.KerasTensor) for one in inputs):
        raise ParcelError("the inputs of a network are no inputs")
    copied = keras.models.clone_model(built, input_tensors=inputs)
    copied.set_weights(built.get_weights())
    return copied.outputs[0]


def _build(parcel: dict[str, Any], objects: list[Any]) -> Any:
    config = json.loads(parcel["config"])
    _refuse_foreign(config)
    if sum(np.size(weight) for weight in parcel["state"]["weights"]) > MOST:
        raise ParcelError(f"the network has more than {MOST:,} parameters")
    built = keras.saving.deserialize_keras_object(config, safe_mode=True)
    if not isinstance(built, keras.Layer):
        raise ParcelError("this is neither a layer nor a network of Keras's")
    linked = {name: objects[number] for name, number in parcel["linked"].items()}
    if linked:
        built = keras.models.clone_model(built, clone_function=lambda x: linked.get(x.name, x))
    load_state(built, parcel["state"])
    return built


def load_state(item: Any, new: dict[str, Any]) -> None:
    """Give a Keras object its weights, and say what of it is trained.

    Raises ParcelError if they do not fit.
    """
    layers = _layers(item)
    shapes = [tuple(weight.shape) for weight in item.weights]
    if [np.shape(weight) for weight in new["weights"]] != shapes or len(new["trainable"]) != len(
        layers
    ):
        raise ParcelError("the weights of the network are not those of its layers")
    item.set_weights([np.asarray(weight) for weight in new["weights"]])
    for layer, trainable in zip(layers, new["trainable"], strict=True):
        layer.trainable = bool(trainable)


def _refuse_foreign(config: Any) -> None:
    """Raise ParcelError if a configuration names a class or a function that is not Keras's own."""
    if isinstance(config, list | tuple):
        for part in config:
            _refuse_foreign(part)
    if not isinstance(config, dict):
        return
    name, module = config.get("class_name"), config.get("module")
    if name == "function":
        _refuse_function(config.get("config"))
    elif name is not None and name not in PLAIN:
        own = isinstance(module, str) and (module == "keras" or module.startswith("keras."))
        if not own or name in REFUSED or config.get("registered_name") not in (None, name):
            raise ParcelError(
                f"it holds {str(name)[:60]}: the grader builds networks again from Keras's own "
                "layers"
            )
    for key, value in config.items():
        if key == "activation" and isinstance(value, str):
            _refuse_function(value)
        _refuse_foreign(value)


def _refuse_function(name: Any) -> None:
    """Raise ParcelError if Keras has no activation or loss of this name."""
    known = isinstance(name, str) and any(
        callable(getattr(place, name, None))
        for place in (keras.activations, keras.losses, keras.metrics)
    )
    if not known:
        raise ParcelError(
            f"it holds the function {str(name)[:60]}: the grader builds networks again from "
            "Keras's own activations; name one of them"
        )
