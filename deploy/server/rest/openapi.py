"""The OpenAPI document of what is served: made by hand from the models, so that it says what they really take."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.bundle import TensorSpec
from deploy.inputs import InputKind, input_kind
from deploy.outputs import output_kind
from deploy.predictor import Info
from deploy.server.protocol.messages import DATATYPES

if TYPE_CHECKING:
    from deploy.server.dataplane import DataPlane

Schema = dict[str, Any]

_STRING: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}
_LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}
_ERRORS = {
    400: "The request is not what the model takes; the words say what is wrong with it",
    401: "No key, or one that is not known here",
    404: "There is no such model or version",
    413: "Larger than a limit of the server",
    415: "A Content-Type or Content-Encoding that is not taken here",
    500: "The server failed",
    501: "A part of the protocol that this server does not speak",
    503: "Not ready, shutting down, or overloaded; Retry-After says when to come back",
    504: "The timeout of the request has passed, or could not be kept",
}
_NAME: Schema = {
    "name": "model",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"},
}


@dataclass(frozen=True)
class Shown:
    """What a port has: models may be loaded and unloaded, /metrics; whether requests need a key."""

    control: bool = True
    metrics: bool = True
    keys: bool = False


def document(dataplane: "DataPlane", shown: Shown | None = None) -> Schema:
    """Return the OpenAPI 3.1 document for the models that are served now."""
    shown = shown or Shown()
    infos = [served.predictor.info for served in dataplane.models]
    made: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "onnxway",
            "version": dataplane.metadata()["version"],
            "description": "Open Inference Protocol v2, and pictures, texts or series as they are.",
        },
        "paths": _server_paths() | _all_models(infos, dataplane.bounds.rows),
        "components": {"schemas": {"Error": _fields({"error": _STRING})}},
    }
    if not shown.control:
        del made["paths"]["/v2/repository/models/{model}/load"], made["paths"]["/v2/repository/models/{model}/unload"]
    if not shown.metrics:
        del made["paths"]["/metrics"]
    return _with_keys(made) if shown.keys else made


def _with_keys(made: Schema) -> Schema:
    """Add the key that requests need, and the answer to those without one; health is open."""
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}, "header": {"type": "apiKey", "in": "header"}}
    schemes["header"]["name"] = "X-API-Key"
    made["components"]["securitySchemes"] = schemes
    made["security"] = [{"bearer": []}, {"header": []}]
    for path, methods in made["paths"].items():
        for method in (one for one in ("get", "post") if one in methods):
            if path.endswith(("/live", "/ready")):
                methods[method]["security"] = []
            else:
                methods[method]["responses"]["401"] = _error(401)
    return made


def _server_paths() -> Schema:
    index = {"type": "array", "items": _fields(dict.fromkeys(("name", "version", "state", "reason"), _STRING))}
    ready = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    server = _fields({"name": _STRING, "version": _STRING, "extensions": {"type": "array", "items": _STRING}})
    return {
        "/v2": {"get": _operation("Server metadata", server)},
        "/v2/health/live": {"get": _operation("Whether the server runs", _fields({"live": {"type": "boolean"}}))},
        "/v2/health/ready": {"get": _not_ready(_operation("Whether inference is answered", _OBJECT))},
        "/metrics": {"get": _metrics()},
        "/v2/models/stats": {
            "get": _operation("Statistics of all models", _fields({"model_stats": {"type": "array"}}))
        },
        "/v2/repository/index": {"post": _operation("The models", index, 400, 413, 415, body=_json_body(ready))},
        "/v2/repository/models/{model}/load": {"post": _control("Load a model"), "parameters": [_NAME]},
        "/v2/repository/models/{model}/unload": {"post": _control("Unload a model"), "parameters": [_NAME]},
    }


def _all_models(infos: list[Info], max_rows: int) -> Schema:
    paths: Schema = {}
    for info in infos:  # the oldest version first, so the path without one is the newest's
        for path in (f"/v2/models/{info.name}", f"/v2/models/{info.name}/versions/{info.version}"):
            paths |= _model_paths(path, info, max_rows)
    if len({info.name for info in infos}) == 1:
        paths["/predict"] = {"post": _predict(infos[-1])}
    return paths


def _model_paths(path: str, info: Info, max_rows: int) -> Schema:
    ready = _fields({"name": {"const": info.name}, "ready": {"const": True}})
    return {
        path: {"get": _operation("Model metadata", _fields({"name": {"const": info.name}}), 404, 503)},
        f"{path}/ready": {"get": _operation("Whether the model answers", ready, 404, 503)},
        f"{path}/config": {"get": _operation("Triton's model configuration", _OBJECT, 404, 503)},
        f"{path}/stats": {"get": _operation("Statistics", _fields({"model_stats": {"type": "array"}}), 404, 503)},
        f"{path}/infer": {"post": _infer(info, max_rows)},
        f"{path}/predict": {"post": _predict(info)},
    }


def _infer(info: Info, max_rows: int) -> Schema:
    inputs = [_tensor(spec, max_rows) for spec in info.input.tensors]
    names = [spec.name for spec in info.output.tensors]
    wanted = {
        "type": "array",
        "items": _fields({"name": {"enum": names}}, parameters=_OBJECT),
        "maxItems": len(names),
        "uniqueItems": True,
    }
    request = _fields(
        {"inputs": {"type": "array", "prefixItems": inputs, "items": False, "minItems": len(inputs)}},
        id=_STRING,
        parameters={
            "type": "object",
            "properties": {
                "priority": {"type": "integer", "minimum": 0, "description": "1 is the highest"},
                "timeout": {"type": "integer", "minimum": 0, "description": "microseconds; 0 is no limit"},
                "binary_data_output": {"type": "boolean"},
            },
        },
        outputs=wanted,
    )
    outputs = {"type": "array", "items": _fields({"name": {"enum": names}, "datatype": _STRING, "shape": _INTEGERS})}
    response = _fields({"model_name": {"const": info.name}, "model_version": _STRING, "outputs": outputs}, id=_STRING)
    operation = _operation("Inference on tensors", response, *_ALL, body=_json_body(request))
    operation["responses"]["200"]["content"]["application/octet-stream"] = {}
    operation["requestBody"]["required"] = True
    operation["description"] = (
        "Tensors may follow the JSON as bytes: Inference-Header-Content-Length is then the JSON's length."
    )
    return operation


_INTEGERS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_ALL = (400, 404, 413, 415, 500, 503, 504)


def _predict(info: Info) -> Schema:
    spec, kind = info.input.tensors[0], input_kind(info.input)
    natural = _natural(kind)
    body = _json_body({"anyOf": [natural, _fields({spec.name: natural})]})
    if kind.objects:
        body = _json_body(
            {"anyOf": [_object(kind), {"type": "array", "items": _object(kind), "description": "a batch"}]}
        )
    elif len(info.input.tensors) > 1:
        body = _json_body(_fields(dict.fromkeys((tensor.name for tensor in info.input.tensors), natural)))
    body["content"] |= _files(kind)
    response = _fields({"model_name": {"const": info.name}, "model_version": _STRING})
    operation = _operation("A decision for what an application holds", response, *_ALL, body=body)
    operation["requestBody"]["required"] = True
    if media := output_kind(info.output).media:
        operation["responses"]["200"]["content"][media] = {}
    return operation


def _object(kind: InputKind) -> Schema:
    """Return the JSON forms of a sample that is an object, or a string where the kind takes texts."""
    fields: Schema = {"type": "object", "properties": {key: {} for key in kind.objects}, "additionalProperties": False}
    return {"anyOf": [fields, _STRING]} if kind.texts else fields


def _natural(kind: InputKind) -> Schema:
    """Return the JSON forms of one input, or of a batch."""
    numbers: Schema = {"type": "array", "description": "nested as the tensor is, with or without its first axis"}
    if kind.texts:
        texts = {"type": "array", "items": _STRING, "description": "a batch"}
        return {"anyOf": [{"type": "string", "description": "a text"}, texts, numbers]}
    if kind.file:
        return {"anyOf": [numbers, {"type": "string", "contentEncoding": "base64", "description": kind.file}]}
    return numbers


def _files(kind: InputKind) -> Schema:
    """Return the bodies that hold a file, by Content-Type: it is known by its bytes, whatever its header says."""
    if not kind.file:
        return {}
    form = {"type": "object", "properties": {"file": {"type": "string", "contentMediaType": kind.media[0]}}}
    plain = {media: {"schema": {"description": kind.file}} for media in kind.media if "*" not in media}
    return plain | {
        "application/octet-stream": {"schema": {"description": kind.file}},
        "multipart/form-data": {"schema": form},
    }


def _tensor(spec: TensorSpec, max_rows: int) -> Schema:
    sizes = [
        {"const": size} if isinstance(size, int) else {"type": "integer", "minimum": 1, "description": size}
        for size in spec.shape
    ]
    if not isinstance(spec.shape[0], int):
        sizes[0]["maximum"] = max_rows
    number: Schema = {"type": "number"}
    if spec.dtype == "bool":
        number = {"type": "boolean"}
    elif "int" in spec.dtype:
        number = {"type": "integer"}
        if spec.dtype in _LIMITS:
            number |= dict(zip(("minimum", "maximum"), _LIMITS[spec.dtype], strict=True))
    shape = {"type": "array", "prefixItems": sizes, "items": False, "minItems": len(sizes)}
    data = {"type": "array", "description": "as many numbers as shape says, flat or nested", "items": number}
    fields = {"name": {"const": spec.name}, "datatype": {"const": DATATYPES[spec.dtype]}, "shape": shape, "data": data}
    return _fields(fields, parameters=_OBJECT)


def _control(summary: str) -> Schema:
    return _operation(summary, _OBJECT, *_ALL, 501, body=_json_body(_OBJECT))


def _metrics() -> Schema:
    text = {"text/plain": {"schema": _STRING}}
    return {"summary": "Metrics for Prometheus", "responses": {"200": {"description": "The page", "content": text}}}


def _not_ready(operation: Schema) -> Schema:
    operation["responses"]["503"] = {"description": "Not ready", "content": {"application/json": {"schema": _OBJECT}}}
    return operation


def _operation(summary: str, answer: Schema, *errors: int, body: Schema | None = None) -> Schema:
    responses: Schema = {"200": {"description": "The answer", "content": {"application/json": {"schema": answer}}}}
    for status in sorted(errors):
        responses[str(status)] = _error(status)
    return {"summary": summary, "responses": responses} | ({"requestBody": body} if body else {})


def _error(status: int) -> Schema:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": _ERRORS[status], "content": {"application/json": {"schema": schema}}}


def _json_body(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _fields(required: Schema, **optional: Schema) -> Schema:
    return {"type": "object", "properties": required | optional, "required": list(required)}
