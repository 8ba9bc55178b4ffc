"""The messages of the protocol's gRPC service, built when they are imported.

Field names, numbers and types are those of Triton's grpc_service.proto and model_config.proto (of the latter the part
that is answered here), which hold all of the Open Inference Protocol's own. Nothing is generated, so no compiler's
version ties the package to one of protobuf's; and the messages live in a pool of their own, so that a program may
import a client's generated copy of the same names beside them.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

Fields = dict[str, tuple[int, str]]

_PARAMETERS = "map InferParameter"
_NAMED: Fields = {"name": (1, "string"), "version": (2, "string")}
_LOADING: Fields = {
    "repository_name": (1, "string"),
    "model_name": (2, "string"),
    "parameters": (3, "map ModelRepositoryParameter"),
}
_OUTPUT: Fields = {
    "name": (1, "string"),
    "datatype": (2, "string"),
    "shape": (3, "repeated int64"),
    "parameters": (4, _PARAMETERS),
    "contents": (5, "InferTensorContents"),
}

MESSAGES: dict[str, Fields] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": _NAMED | {"extensions": (3, "repeated string")},
    "ModelMetadataRequest": _NAMED,
    "ModelMetadataResponse.TensorMetadata": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "repeated int64"),
    },
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "repeated string"),
        "platform": (3, "string"),
        "inputs": (4, "repeated ModelMetadataResponse.TensorMetadata"),
        "outputs": (5, "repeated ModelMetadataResponse.TensorMetadata"),
    },
    "InferParameter": {
        "bool_param": (1, "bool"),
        "int64_param": (2, "int64"),
        "string_param": (3, "string"),
        "double_param": (4, "double"),
        "uint64_param": (5, "uint64"),
    },
    "InferTensorContents": {
        "bool_contents": (1, "repeated bool"),
        "int_contents": (2, "repeated int32"),
        "int64_contents": (3, "repeated int64"),
        "uint_contents": (4, "repeated uint32"),
        "uint64_contents": (5, "repeated uint64"),
        "fp32_contents": (6, "repeated float"),
        "fp64_contents": (7, "repeated double"),
        "bytes_contents": (8, "repeated bytes"),
    },
    "ModelInferRequest.InferInputTensor": _OUTPUT,
    "ModelInferRequest.InferRequestedOutputTensor": {"name": (1, "string"), "parameters": (2, _PARAMETERS)},
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, _PARAMETERS),
        "inputs": (5, "repeated ModelInferRequest.InferInputTensor"),
        "outputs": (6, "repeated ModelInferRequest.InferRequestedOutputTensor"),
        "raw_input_contents": (7, "repeated bytes"),
    },
    "ModelInferResponse.InferOutputTensor": _OUTPUT,
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, _PARAMETERS),
        "outputs": (5, "repeated ModelInferResponse.InferOutputTensor"),
        "raw_output_contents": (6, "repeated bytes"),
    },
    "ModelStreamInferResponse": {"error_message": (1, "string"), "infer_response": (2, "ModelInferResponse")},
    "ModelConfigRequest": _NAMED,
    "ModelConfigResponse": {"config": (1, "ModelConfig")},
    "ModelStatisticsRequest": _NAMED,
    "StatisticDuration": {"count": (1, "uint64"), "ns": (2, "uint64")},
    "InferStatistics": {
        name: (number, "StatisticDuration")
        for number, name in enumerate(
            (
                "success",
                "fail",
                "queue",
                "compute_input",
                "compute_infer",
                "compute_output",
                "cache_hit",
                "cache_miss",
            ),
            1,
        )
    },
    "InferBatchStatistics": {
        "batch_size": (1, "uint64"),
        "compute_input": (2, "StatisticDuration"),
        "compute_infer": (3, "StatisticDuration"),
        "compute_output": (4, "StatisticDuration"),
    },
    "ModelStatistics": _NAMED
    | {
        "last_inference": (3, "uint64"),
        "inference_count": (4, "uint64"),
        "execution_count": (5, "uint64"),
        "inference_stats": (6, "InferStatistics"),
        "batch_stats": (7, "repeated InferBatchStatistics"),
    },
    "ModelStatisticsResponse": {"model_stats": (1, "repeated ModelStatistics")},
    "ModelRepositoryParameter": {
        "bool_param": (1, "bool"),
        "int64_param": (2, "int64"),
        "string_param": (3, "string"),
        "bytes_param": (4, "bytes"),
    },
    "RepositoryIndexRequest": {"repository_name": (1, "string"), "ready": (2, "bool")},
    "RepositoryIndexResponse.ModelIndex": _NAMED | {"state": (3, "string"), "reason": (4, "string")},
    "RepositoryIndexResponse": {"models": (1, "repeated RepositoryIndexResponse.ModelIndex")},
    "RepositoryModelLoadRequest": _LOADING,
    "RepositoryModelLoadResponse": {},
    "RepositoryModelUnloadRequest": _LOADING,
    "RepositoryModelUnloadResponse": {},
    "ModelConfig": {
        "name": (1, "string"),
        "platform": (2, "string"),
        "backend": (17, "string"),
        "runtime": (25, "string"),
        "version_policy": (3, "ModelVersionPolicy"),
        "max_batch_size": (4, "int32"),
        "input": (5, "repeated ModelInput"),
        "output": (6, "repeated ModelOutput"),
        "instance_group": (7, "repeated ModelInstanceGroup"),
        "default_model_filename": (8, "string"),
        "parameters": (14, "map ModelParameter"),
    },
    "ModelVersionPolicy.All": {},
    "ModelVersionPolicy.Specific": {"versions": (1, "repeated int64")},
    "ModelVersionPolicy": {"all": (2, "ModelVersionPolicy.All"), "specific": (3, "ModelVersionPolicy.Specific")},
    "ModelInput": {"name": (1, "string"), "data_type": (2, "enum DataType"), "dims": (4, "repeated int64")},
    "ModelOutput": {"name": (1, "string"), "data_type": (2, "enum DataType"), "dims": (3, "repeated int64")},
    "ModelInstanceGroup": {
        "name": (1, "string"),
        "kind": (4, "enum ModelInstanceGroup.Kind"),
        "count": (2, "int32"),
    },
    "ModelParameter": {"string_value": (1, "string")},
}
"""Messages to their fields: number, and type, which may be `repeated` or the values of a `map` of strings."""

ENUMS: dict[str, tuple[str, ...]] = {
    "DataType": (
        "TYPE_INVALID",
        "TYPE_BOOL",
        "TYPE_UINT8",
        "TYPE_UINT16",
        "TYPE_UINT32",
        "TYPE_UINT64",
        "TYPE_INT8",
        "TYPE_INT16",
        "TYPE_INT32",
        "TYPE_INT64",
        "TYPE_FP16",
        "TYPE_FP32",
        "TYPE_FP64",
        "TYPE_STRING",
        "TYPE_BF16",
    ),
    "ModelInstanceGroup.Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
}
"""Enumerations to their names, from 0 up."""

_ONE_OF = {
    "InferParameter": "parameter_choice",
    "ModelRepositoryParameter": "parameter_choice",
    "ModelVersionPolicy": "policy_choice",
}

Descriptor = descriptor_pb2.DescriptorProto
_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="onnxway_inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name in sorted(MESSAGES, key=lambda name: name.count(".")):
        outer, _, own = name.rpartition(".")
        made[name] = (made[outer].nested_type if outer else file.message_type).add(name=own)
        if name in _ONE_OF:
            made[name].oneof_decl.add(name=_ONE_OF[name])
        for field, (number, kind) in MESSAGES[name].items():
            _add_field(made[name], field, number, kind, f".{PACKAGE}.{name}", name in _ONE_OF)
    for name, values in ENUMS.items():
        outer, _, own = name.rpartition(".")
        enum = (made[outer] if outer else file).enum_type.add(name=own)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    return file


def _add_field(message: Any, name: str, number: int, kind: str, path: str, one_of: bool) -> None:
    label, _, rest = kind.rpartition(" ")
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if one_of:
        field.oneof_index = 0
    if label in ("repeated", "map"):
        field.label = _Field.LABEL_REPEATED
    if label == "map":  # protobuf's own form of maps: repeated entries of key and value
        entry = message.nested_type.add(name="".join(word.title() for word in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string", path, False)
        _add_field(entry, "value", 2, rest, path, False)
        field.type, field.type_name = _Field.TYPE_MESSAGE, f"{path}.{entry.name}"
    elif label == "enum":
        field.type, field.type_name = _Field.TYPE_ENUM, f".{PACKAGE}.{rest}"
    elif rest in MESSAGES:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{rest}"
    else:
        field.type = _Field.Type.Value(f"TYPE_{rest.upper()}")


POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(_file().SerializeToString())


def message(name: str) -> Any:
    """Return the class of a message by its name within the package."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
