//! The catalogue as an OpenAPI 3.1 document: each event type is a webhook that a receiver implements.

use crate::catalogue::asyncapi::example;
use crate::catalogue::event_type::EventType;
use crate::catalogue::parts::{self, HEADERS};
use crate::catalogue::published::Catalogue;
use serde_json::{Map, Value, json};

/// The document.
#[must_use]
pub fn document(catalogue: &Catalogue) -> Value {
    let types = parts::named(catalogue);
    let webhooks: Map<String, Value> =
        types.iter().map(|(name, one)| (one.name.clone(), json!({ "post": post(name, one) }))).collect();
    let schemas: Map<String, Value> = types
        .iter()
        .map(|(name, one)| (name.clone(), parts::data(one, &format!("#/components/schemas/{name}"))))
        .collect();
    let mut info = json!({ "title": catalogue.about.title, "version": catalogue.about.version });
    if let Some(description) = &catalogue.about.description {
        info["description"] = json!(description);
    }
    json!({
        "openapi": "3.1.0",
        "info": info,
        "webhooks": webhooks,
        "components": { "schemas": schemas, "parameters": parameters() },
    })
}

fn post(name: &str, one: &EventType) -> Value {
    let data = json!({ "$ref": format!("#/components/schemas/{name}") });
    let standard = json!({
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": { "const": one.name },
            "timestamp": { "type": "string", "format": "date-time" },
            "data": data,
        },
    });
    let mut structured = json!({ "schema": parts::envelope(&one.name, data.clone()) });
    if !one.examples.is_empty() {
        let named = one.examples.iter().enumerate();
        let named = named.map(|(at, data)| (format!("{}", at + 1), json!({ "value": example(&one.name, data) })));
        structured["examples"] = Value::Object(named.collect());
    }
    let headers = HEADERS.iter().map(|(name, ..)| json!({ "$ref": format!("#/components/parameters/{name}") }));
    let mut post = json!({
        "operationId": name,
        "summary": one.summary(),
        "parameters": headers.collect::<Vec<_>>(),
        "requestBody": {
            "required": true,
            "description": "By the subscription's format: `cloudevents`, else `standard` or, with the data alone, `raw`",
            "content": {
                "application/cloudevents+json": structured,
                "application/json": { "schema": { "anyOf": [standard, data] } },
            },
        },
        "responses": {
            "2XX": { "description": "Accepted" },
            "410": { "description": "Never again: the subscription is disabled" },
            "default": { "description": "Tried again later" },
        },
    });
    if let Some(story) = one.story() {
        post["description"] = json!(story);
    }
    if let Some(version) = &one.version {
        post["x-version"] = json!(version);
    }
    if one.lifecycle.is_deprecated() {
        post["deprecated"] = json!(true);
    }
    post
}

fn parameters() -> Map<String, Value> {
    let parameter = |(name, kind, meaning): &(&str, &str, &str)| {
        let parameter = json!({ "name": name, "in": "header", "required": true, "description": meaning, "schema": { "type": kind } });
        ((*name).to_owned(), parameter)
    };
    HEADERS.iter().map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::parts::tests::catalogue;

    #[test]
    fn every_type_is_a_webhook_with_its_schema_its_example_and_its_end() {
        let document = document(&catalogue());
        let webhooks = document["webhooks"].as_object().unwrap();
        assert_eq!(webhooks.keys().collect::<Vec<_>>(), ["com.acme.placed.v1", "com/acme:gone", "com_acme_gone"]);
        let post = &webhooks["com.acme.placed.v1"]["post"];
        let body = &post["requestBody"]["content"]["application/cloudevents+json"];
        let data = body["schema"]["properties"]["data"]["$ref"].as_str().unwrap();
        assert_eq!(document.pointer(&data[1..]).unwrap()["required"], json!(["total"]));
        assert_eq!(body["examples"]["1"]["value"]["data"].to_string(), r#"{"total":10.10}"#);
        let gone = &webhooks["com/acme:gone"]["post"];
        assert_eq!((&gone["deprecated"], &gone["operationId"]), (&json!(true), &json!("com_acme_gone")));
        for parameter in post["parameters"].as_array().unwrap() {
            assert!(document.pointer(&parameter["$ref"].as_str().unwrap()[1..]).is_some());
        }
    }
}
