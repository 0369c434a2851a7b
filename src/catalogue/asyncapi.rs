//! The catalogue as an AsyncAPI 3.0 document: we send, to an address that each subscriber names.

use crate::catalogue::event_type::EventType;
use crate::catalogue::parts::{self, HEADERS};
use crate::catalogue::published::Catalogue;
use serde_json::{Map, Value, json};

/// The document.
#[must_use]
pub fn document(catalogue: &Catalogue) -> Value {
    let types = parts::named(catalogue);
    let all = |make: &dyn Fn(&str, &EventType) -> Value| -> Map<String, Value> {
        types.iter().map(|(name, one)| (name.clone(), make(name, one))).collect()
    };
    let in_channel = |name: &str, _: &EventType| json!({ "$ref": format!("#/components/messages/{name}") });
    let sent = |(name, _): &(String, &EventType)| json!({ "$ref": format!("#/channels/webhook/messages/{name}") });
    let mut info = json!({ "title": catalogue.about.title, "version": catalogue.about.version });
    if let Some(description) = &catalogue.about.description {
        info["description"] = json!(description);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": info,
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "webhook": {
                "address": null,
                "title": "The endpoint of a subscription",
                "description": "Each subscriber names its own URL, and the types that it wants.",
                "messages": all(&in_channel),
            },
        },
        "operations": {
            "deliver": {
                "action": "send",
                "channel": { "$ref": "#/channels/webhook" },
                "summary": "POSTs an event to every subscription that asked for its type",
                "messages": types.iter().map(sent).collect::<Vec<_>>(),
                "bindings": { "http": { "method": "POST", "bindingVersion": "0.3.0" } },
            },
        },
        "components": {
            "messages": all(&|name, one| message(name, one)),
            "messageTraits": { "webhook": { "headers": headers() } },
            "schemas": all(&|name, one| parts::data(one, &format!("#/components/schemas/{name}"))),
        },
    })
}

fn message(name: &str, one: &EventType) -> Value {
    let data = json!({ "$ref": format!("#/components/schemas/{name}") });
    let mut message = json!({
        "name": one.name,
        "title": one.summary(),
        "contentType": "application/cloudevents+json",
        "traits": [{ "$ref": "#/components/messageTraits/webhook" }],
        "payload": parts::envelope(&one.name, data),
    });
    if let Some(story) = one.story() {
        message["description"] = json!(story);
    }
    if let Some(version) = &one.version {
        message["x-version"] = json!(version);
    }
    if one.lifecycle.is_deprecated() {
        message["tags"] = json!([{ "name": "deprecated" }]);
    }
    if !one.examples.is_empty() {
        let example = |data: &Value| json!({ "payload": example(&one.name, data) });
        message["examples"] = one.examples.iter().map(example).collect();
    }
    message
}

/// A whole event with an example's data.
pub(crate) fn example(name: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": "evt_mfrggzdfmztwq2lknnwg23tpoa",
        "source": "urn:hookline:example",
        "type": name,
        "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "data": data,
    })
}

fn headers() -> Value {
    let properties = HEADERS
        .iter()
        .map(|(name, kind, meaning)| ((*name).to_owned(), json!({ "type": kind, "description": meaning })));
    let required: Vec<&str> = HEADERS.iter().map(|(name, ..)| *name).collect();
    json!({ "type": "object", "required": required, "properties": properties.collect::<Map<_, _>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::parts::tests::catalogue;

    #[test]
    fn every_type_is_a_message_that_is_sent_and_every_reference_leads_somewhere() {
        let document = document(&catalogue());
        assert_eq!(document["info"], json!({"title": "Acme", "version": "2", "description": "What happens."}));
        assert_eq!(document["operations"]["deliver"]["messages"].as_array().unwrap().len(), 3);
        let placed = &document["components"]["messages"]["com.acme.placed.v1"];
        assert_eq!((&placed["title"], &placed["x-version"]), (&json!("An order was placed"), &json!("1.2")));
        assert_eq!(placed["examples"][0]["payload"]["data"].to_string(), r#"{"total":10.10}"#);
        let gone = &document["components"]["messages"]["com_acme_gone"];
        assert_eq!((&gone["name"], &gone["tags"][0]["name"]), (&json!("com/acme:gone"), &json!("deprecated")));
        let mut references = Vec::new();
        find(&document, &mut references);
        let leads = |to: &String| document.pointer(&to[1..]).is_some();
        assert!(references.len() >= 10 && references.iter().all(leads), "{references:?}");
    }

    fn find(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match value {
                Value::String(to) if key == "$ref" => found.push(to.clone()),
                _ => find(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| find(item, found)),
            _ => {}
        }
    }

    #[test]
    fn an_example_is_what_the_payload_promises() {
        let document = document(&catalogue());
        let message = &document["components"]["messages"]["com.acme.placed.v1"];
        let mut root = message["payload"].clone();
        root["components"] = document["components"].clone();
        let schema = jsonschema::options().should_validate_formats(true).build(&root).unwrap();
        assert!(schema.is_valid(&message["examples"][0]["payload"]));
        assert!(!schema.is_valid(&json!({"type": "other"})));
    }
}
