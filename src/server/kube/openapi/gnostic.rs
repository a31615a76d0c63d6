//! The protobuf form of OpenAPI 2.0: the messages of gnostic's `openapi.v2`, cut to the fields that are used here, and
//! how they are filled from the JSON form. Field numbers are those of `OpenAPIv2.proto`.

use prost::{Message, Oneof};
use serde_json::{Map, Value};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<NamedSchemas>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPathItem {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "3")]
    put: Option<Operation>,
    #[prost(message, optional, tag = "4")]
    post: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
    #[prost(message, repeated, tag = "9")]
    parameters: Vec<ParametersItem>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(string, tag = "5")]
    operation_id: String,
    #[prost(string, repeated, tag = "6")]
    produces: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    consumes: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(message, optional, tag = "1")]
    body: Option<BodyParameter>,
    #[prost(message, optional, tag = "2")]
    non_body: Option<NonBodyParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct BodyParameter {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    r#in: String,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(message, optional, tag = "5")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NonBodyParameter {
    #[prost(oneof = "Place", tags = "3, 4")]
    place: Option<Place>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Place {
    #[prost(message, tag = "3")]
    Query(QueryParameter),
    #[prost(message, tag = "4")]
    Path(PathParameter),
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    r#type: String,
    #[prost(bool, tag = "20")]
    unique_items: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PathParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    r#type: String,
    #[prost(bool, tag = "19")]
    unique_items: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    response_code: Vec<NamedResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedResponseValue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaItem {
    #[prost(message, optional, tag = "1")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchemas {
    #[prost(message, repeated, tag = "1")]
    additional_properties: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Schema {
    #[prost(string, tag = "1")]
    r#ref: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "3")]
    title: String,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(double, tag = "7")]
    maximum: f64,
    #[prost(double, tag = "9")]
    minimum: f64,
    #[prost(int64, tag = "11")]
    max_length: i64,
    #[prost(int64, tag = "12")]
    min_length: i64,
    #[prost(string, tag = "13")]
    pattern: String,
    #[prost(int64, tag = "14")]
    max_items: i64,
    #[prost(int64, tag = "15")]
    min_items: i64,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "20")]
    r#enum: Vec<Any>,
    #[prost(message, optional, boxed, tag = "21")]
    additional_properties: Option<Box<AdditionalProperties>>,
    #[prost(message, optional, tag = "22")]
    r#type: Option<TypeItem>,
    #[prost(message, optional, tag = "23")]
    items: Option<ItemsItem>,
    #[prost(message, optional, tag = "25")]
    properties: Option<NamedSchemas>,
    #[prost(message, repeated, tag = "31")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct AdditionalProperties {
    #[prost(oneof = "Additional", tags = "1, 2")]
    additional: Option<Additional>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Additional {
    #[prost(message, tag = "1")]
    Schema(Box<Schema>),
    #[prost(bool, tag = "2")]
    Any(bool),
}

#[derive(Clone, PartialEq, Message)]
struct TypeItem {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ItemsItem {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

/// YAML text; JSON is YAML.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "2")]
    yaml: String,
}

impl From<&Value> for Document {
    fn from(json: &Value) -> Document {
        Document {
            swagger: text(&json["swagger"]),
            info: Some(Info { title: text(&json["info"]["title"]), version: text(&json["info"]["version"]) }),
            paths: Some(Paths {
                path: named(&json["paths"], |name, value| NamedPathItem { name, value: Some(value.into()) }),
            }),
            definitions: Some(schemas(&json["definitions"])),
        }
    }
}

impl From<&Value> for PathItem {
    fn from(json: &Value) -> PathItem {
        let operation = |method: &str| json.get(method).map(Operation::from);
        PathItem {
            get: operation("get"),
            put: operation("put"),
            post: operation("post"),
            delete: operation("delete"),
            patch: operation("patch"),
            parameters: each(&json["parameters"], |json| json.into()),
        }
    }
}

impl From<&Value> for Operation {
    fn from(json: &Value) -> Operation {
        let responses = named(&json["responses"], |name, response| NamedResponseValue {
            name,
            value: Some(ResponseValue {
                response: Some(Response {
                    description: text(&response["description"]),
                    schema: Some(SchemaItem { schema: Some((&response["schema"]).into()) }),
                }),
            }),
        });
        Operation {
            operation_id: text(&json["operationId"]),
            produces: each(&json["produces"], text),
            consumes: each(&json["consumes"], text),
            parameters: each(&json["parameters"], |json| json.into()),
            responses: Some(Responses { response_code: responses }),
            vendor_extension: extensions(json),
        }
    }
}

impl From<&Value> for ParametersItem {
    fn from(json: &Value) -> ParametersItem {
        let (name, r#in, description, r#type) =
            (text(&json["name"]), text(&json["in"]), text(&json["description"]), text(&json["type"]));
        let required = json["required"] == true;
        let unique_items = true;
        let place = match r#in.as_str() {
            "body" => {
                let schema = Some((&json["schema"]).into());
                let body = Some(BodyParameter { name, r#in, required, schema });
                return ParametersItem { parameter: Some(Parameter { body, non_body: None }) };
            }
            "path" => Place::Path(PathParameter { required, r#in, description, name, r#type, unique_items }),
            _ => Place::Query(QueryParameter { r#in, description, name, r#type, unique_items }),
        };
        let non_body = Some(NonBodyParameter { place: Some(place) });
        ParametersItem { parameter: Some(Parameter { body: None, non_body }) }
    }
}

impl From<&Value> for Schema {
    fn from(json: &Value) -> Schema {
        let additional = match json.get("additionalProperties") {
            None => None,
            Some(Value::Bool(any)) => Some(Additional::Any(*any)),
            Some(schema) => Some(Additional::Schema(Box::new(schema.into()))),
        };
        let number = |key: &str| json[key].as_f64().unwrap_or_default();
        let count = |key: &str| json[key].as_i64().unwrap_or_default();
        Schema {
            r#ref: text(&json["$ref"]),
            format: text(&json["format"]),
            title: text(&json["title"]),
            description: text(&json["description"]),
            maximum: number("maximum"),
            minimum: number("minimum"),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            pattern: text(&json["pattern"]),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            required: each(&json["required"], text),
            r#enum: each(&json["enum"], |value| Any { yaml: value.to_string() }),
            additional_properties: additional
                .map(|additional| Box::new(AdditionalProperties { additional: Some(additional) })),
            r#type: json.get("type").map(|name| TypeItem { value: vec![text(name)] }),
            items: json.get("items").map(|schema| ItemsItem { schema: vec![schema.into()] }),
            properties: json.get("properties").map(schemas),
            vendor_extension: extensions(json),
        }
    }
}

fn schemas(json: &Value) -> NamedSchemas {
    let additional_properties = named(json, |name, schema| NamedSchema { name, value: Some(schema.into()) });
    NamedSchemas { additional_properties }
}

fn extensions(json: &Value) -> Vec<NamedAny> {
    let all = named(json, |name, value| NamedAny { name, value: Some(Any { yaml: value.to_string() }) });
    all.into_iter().filter(|any| any.name.starts_with("x-")).collect()
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn each<T>(json: &Value, make: impl Fn(&Value) -> T) -> Vec<T> {
    json.as_array().map(|all| all.iter().map(make).collect()).unwrap_or_default()
}

fn named<T>(json: &Value, make: impl Fn(String, &Value) -> T) -> Vec<T> {
    let make = |all: &Map<String, Value>| all.iter().map(|(name, value)| make(name.clone(), value)).collect();
    json.as_object().map(make).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_has_gnostics_field_numbers() {
        let json = json!({
            "swagger": "2.0",
            "info": {"title": "t", "version": "v"},
            "paths": {"/a": {"get": {"operationId": "o", "responses": {}, "x-y": {"k": 1}}}},
            "definitions": {"D": {"type": "object", "additionalProperties": {"$ref": "r"}}},
        });
        let bytes = Document::from(&json).encode_to_vec();
        let expected = [
            b"\x0a\x032.0\x12\x06\x0a\x01t\x12\x01v".as_slice(),
            // paths=8 { path=2 { name=1, value=2 { get=2 { operation_id=5, responses=9, vendor_extension=13 } } } }
            b"\x42\x21\x12\x1f\x0a\x02/a\x12\x19\x12\x17\x2a\x01o\x4a\x00\x6a\x10\x0a\x03x-y\x12\x09\x12\x07{\"k\":1}",
            // definitions=9 { additional_properties=1 { name=1, value=2 { additional_properties=21, type=22 } } }
            b"\x4a\x1a\x0a\x18\x0a\x01D\x12\x13\xaa\x01\x05\x0a\x03\x0a\x01r\xb2\x01\x08\x0a\x06object",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }
}
