//! Looks a schema up, and everything that it refers to.

use crate::egress::error::EgressError;
use crate::egress::exchange::Request;
use crate::egress::service::Service;
use crate::model::schema::{Reference, SchemaId, SchemaText};
use crate::registry::error::RegistryError;
use crate::registry::settings::{Credentials, RegistrySettings};
use crate::registry::wire;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use url::Url;

/// How long one answer may take: a registry reads from memory.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer, and of a schema with all that it refers to. Kafka, which keeps them, takes 1 MiB a schema.
const BYTES: usize = 4 << 20;
/// Schemas that one may refer to, directly or not. Large Protobuf trees have some dozens.
const REFERENCES: usize = 256;

/// A registry.
#[derive(Debug)]
pub struct Registry {
    service: Service,
    urls: Vec<Url>,
    headers: HeaderMap,
    /// The one that answered last.
    first: AtomicUsize,
}

/// What the registry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the schema.
    Found(SchemaText),
    /// It does not have it, or what it has cannot be a schema of ours; why, a sentence for people.
    Nothing(String),
}

/// One answer to one question.
enum Got {
    Schema(wire::Schema),
    Nothing(String),
}

/// What is still to be done for a schema: what was asked for last is done first, so that a text comes behind what it
/// refers to.
enum Step {
    Ask(wire::Reference),
    Keep(Reference),
}

// === impl Registry ===

impl Registry {
    /// A registry that is not asked yet.
    ///
    /// # Errors
    /// The certificates cannot be read, or TLS cannot be set up.
    pub fn new(settings: &RegistrySettings) -> Result<Self, EgressError> {
        let service = Service::new(settings.ca_file.as_deref())?;
        let headers = headers(settings.credentials.as_ref());
        Ok(Self { service, urls: settings.urls.clone(), headers, first: AtomicUsize::new(0) })
    }

    /// Looks up the schema of this id.
    ///
    /// # Errors
    /// The registry did not say whether it has it. Dropping the future cuts the exchange off.
    pub async fn look_up(&self, id: &SchemaId) -> Result<Answer, RegistryError> {
        let kind = match id {
            SchemaId::Number(_) => "ids",
            SchemaId::Guid(_) => "guids",
        };
        let schema = match self.get(&["schemas", kind, &id.to_string()], None).await? {
            Got::Schema(schema) => schema,
            Got::Nothing(why) => return Ok(Answer::Nothing(format!("the registry has no schema {id}: {why}"))),
        };
        let language = match schema.language() {
            Ok(language) => language,
            Err(other) => return Ok(Answer::Nothing(format!("schema {id} is of the unknown type {other}"))),
        };
        let text = schema.schema.clone();
        Ok(match self.references(text.len(), schema.references()).await? {
            Ok(references) => Answer::Found(SchemaText { language, text, references }),
            Err(why) => Answer::Nothing(format!("schema {id} cannot be used: {why}")),
        })
    }

    /// All that is referred to; `Err` inside is why the registry does not have all of it.
    async fn references(
        &self,
        mut bytes: usize,
        direct: Vec<wire::Reference>,
    ) -> Result<Result<Vec<Reference>, String>, RegistryError> {
        let (mut kept, mut asked) = (Vec::new(), HashSet::new());
        let mut steps: Vec<Step> = direct.into_iter().map(Step::Ask).collect();
        while let Some(step) = steps.pop() {
            let one = match step {
                Step::Keep(reference) => {
                    kept.push(reference);
                    continue;
                }
                Step::Ask(one) if !asked.insert((one.subject.clone(), one.version)) => continue,
                Step::Ask(one) => one,
            };
            if asked.len() > REFERENCES {
                return Ok(Err(format!("it refers to more than {REFERENCES} others")));
            }
            // What is referred to may have been deleted since, for those who write anew.
            let path = ["subjects", &one.subject, "versions", &one.version.to_string()];
            let schema = match self.get(&path, Some("deleted=true")).await? {
                Got::Schema(schema) => schema,
                Got::Nothing(why) => {
                    return Ok(Err(format!(
                        "the registry lacks {} (version {} of {}): {why}",
                        one.name, one.version, one.subject
                    )));
                }
            };
            bytes += schema.schema.len();
            if bytes > BYTES {
                return Ok(Err(format!("with all that it refers to it has more than {BYTES} bytes")));
            }
            steps.push(Step::Keep(Reference { name: one.name, text: schema.schema.clone() }));
            steps.extend(schema.references().into_iter().map(Step::Ask));
        }
        Ok(Ok(kept))
    }

    /// Asks one address after the other, beginning with the one that answered last.
    async fn get(&self, path: &[&str], query: Option<&str>) -> Result<Got, RegistryError> {
        let (first, count) = (self.first.load(Ordering::Relaxed), self.urls.len());
        let mut failed = None;
        for at in (first..first + count).map(|at| at % count) {
            match self.get_from(&self.urls[at], path, query).await {
                Ok(got) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(got);
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.expect("a registry has at least one address"))
    }

    async fn get_from(&self, base: &Url, path: &[&str], query: Option<&str>) -> Result<Got, RegistryError> {
        let mut url = base.clone();
        url.path_segments_mut().expect("config takes http and https only").pop_if_empty().extend(path);
        url.set_query(query);
        let (method, body) = (Method::GET, Bytes::new());
        let request = Request { url, method, headers: self.headers.clone(), body, timeout: TIMEOUT };
        let (url, answer) = match (base.to_string(), self.service.ask(request, BYTES).await) {
            (url, Ok(answer)) => (url, answer),
            (url, Err(failure)) => return Err(RegistryError::Away { url, failure }),
        };
        let status = answer.status;
        let unexpected = |url, what: &str| RegistryError::Unexpected { url, status, what: what.to_owned() };
        match status {
            200 => match serde_json::from_slice(&answer.body) {
                Ok(schema) => Ok(Got::Schema(schema)),
                Err(_) => Err(unexpected(url, "and no schema: is it the address of a schema registry?")),
            },
            401 | 403 => Err(RegistryError::Forbidden { url, status }),
            404 => match serde_json::from_slice::<wire::Refusal>(&answer.body) {
                Ok(refusal) => Ok(Got::Nothing(refusal.message.unwrap_or_else(|| "not found".to_owned()))),
                Err(_) => Err(unexpected(url, "but not as a schema registry does: is the address right?")),
            },
            _ => Err(unexpected(url, "and not the schema")),
        }
    }
}

fn headers(credentials: Option<&Credentials>) -> HeaderMap {
    let accept = HeaderValue::from_static("application/vnd.schemaregistry.v1+json, application/json");
    let mut headers = HeaderMap::from_iter([(header::ACCEPT, accept)]);
    let written = credentials.map(|credentials| match credentials {
        Credentials::Basic { username, password } => {
            format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose())))
        }
        Credentials::Bearer(token) => format!("Bearer {}", token.expose()),
    });
    if let Some(written) = written {
        let mut value = HeaderValue::from_str(&written).expect("config takes visible characters only");
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::Language;
    use crate::model::secret::Secret;
    use crate::registry::trial::{Reply, Trial, settings};
    use serde_json::json;

    fn registry(trial: &Trial) -> Registry {
        Registry::new(&settings(&[trial.url()])).unwrap()
    }

    const ID: SchemaId = SchemaId::Number(7);

    #[tokio::test]
    async fn a_schema_is_found_by_its_number_or_guid() {
        let trial = Trial::start(|request| match request.path.as_str() {
            "/base/schemas/ids/7" => Reply::json(200, &json!({"schema": "\"int\"", "maxId": 9})),
            "/base/schemas/guids/89791762-2336-4186-9674-299b90a802e2" => {
                Reply::json(200, &json!({"schemaType": "PROTOBUF", "schema": "x", "references": []}))
            }
            _ => Reply::json(404, &json!({"error_code": 40403, "message": "Schema not found"})),
        });
        for base in ["/base", "/base/"] {
            let registry = Registry::new(&settings(&[trial.url().join(base).unwrap()])).unwrap();
            let found = |language, text: &str| {
                Answer::Found(SchemaText { language, text: text.to_owned(), references: Vec::new() })
            };
            assert_eq!(registry.look_up(&ID).await.unwrap(), found(Language::Avro, "\"int\""));
            let guid = *b"\x89\x79\x17\x62\x23\x36\x41\x86\x96\x74\x29\x9b\x90\xa8\x02\xe2";
            assert_eq!(registry.look_up(&SchemaId::Guid(guid)).await.unwrap(), found(Language::Protobuf, "x"));
        }
        let nothing = registry(&trial).look_up(&SchemaId::Number(8)).await.unwrap();
        assert_eq!(nothing, Answer::Nothing("the registry has no schema 8: Schema not found".into()));
    }

    #[tokio::test]
    async fn what_a_schema_refers_to_comes_with_it_each_once_and_before_who_refers_to_it() {
        let of = |name: &str, references: &[&str]| {
            let references =
                references.iter().map(|name| json!({"name": name, "subject": format!("s/{name}"), "version": 3}));
            Reply::json(
                200,
                &json!({"schemaType": "JSON", "schema": name, "references": references.collect::<Vec<_>>()}),
            )
        };
        let trial = Trial::start(move |request| match request.path.as_str() {
            "/schemas/ids/7" => of("top", &["a", "b"]),
            "/subjects/s%2Fa/versions/3?deleted=true" => of("A", &["b", "c"]),
            "/subjects/s%2Fb/versions/3?deleted=true" => of("B", &["c"]),
            "/subjects/s%2Fc/versions/3?deleted=true" => of("C", &["c"]),
            _ => Reply::json(404, &json!({"error_code": 40401, "message": "no"})),
        });
        let Answer::Found(found) = registry(&trial).look_up(&ID).await.unwrap() else { panic!("it is there") };
        let texts: Vec<_> = found.references.iter().map(|one| (one.name.as_str(), one.text.as_str())).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        let place = |name| texts.iter().position(|(one, _)| *one == name).unwrap();
        assert!(place("c") < place("b") && place("b") < place("a"), "{texts:?}");
        assert_eq!((texts[place("c")].1, found.text.as_str()), ("C", "top"));
    }

    #[tokio::test]
    async fn references_that_are_missing_or_without_end_are_an_answer() {
        let trial = Trial::start(|request| {
            let number = request.path.split(['/', '?']).filter_map(|part| part.parse::<u32>().ok()).next().unwrap();
            let next = json!([{"name": "n", "subject": "s", "version": number + 1}]);
            match request.path.as_str() {
                "/subjects/s/versions/2?deleted=true" => {
                    Reply::json(404, &json!({"error_code": 40402, "message": "gone"}))
                }
                _ => Reply::json(200, &json!({"schema": "x", "references": next})),
            }
        });
        let told = |id| {
            let registry = registry(&trial);
            async move {
                match registry.look_up(&SchemaId::Number(id)).await.unwrap() {
                    Answer::Nothing(why) => why,
                    Answer::Found(found) => panic!("{found:?}"),
                }
            }
        };
        assert_eq!(told(1).await, "schema 1 cannot be used: the registry lacks n (version 2 of s): gone");
        assert_eq!(told(7).await, "schema 7 cannot be used: it refers to more than 256 others");
    }

    #[tokio::test]
    async fn a_registry_that_does_not_say_it_is_an_error_and_no_answer() {
        for (reply, expected) in [
            (
                Reply::json(500, &json!({"error_code": 50001, "message": "no leader"})),
                "answers 500, and not the schema",
            ),
            (Reply::text(404, "<html>nothing here</html>"), "answers 404, but not as a schema registry does"),
            (Reply::text(200, "<html>welcome</html>"), "answers 200, and no schema"),
            (
                Reply::json(401, &json!({"error_code": 401})),
                "answers 401: are schema_registry.username, password or token right?",
            ),
            (Reply::text(302, ""), "answers 302"),
            (Reply::Close, "does not answer (reset: "),
            (Reply::text(200, &"x".repeat(BYTES + 1)), "does not answer (too_large: the answer has more than"),
        ] {
            let trial = Trial::start(move |_| reply.clone());
            let told = registry(&trial).look_up(&ID).await.unwrap_err().to_string();
            assert!(told.starts_with(&format!("{} {expected}", trial.url())), "{told}");
        }
    }

    #[tokio::test]
    async fn it_says_who_it_is_and_no_more() {
        for (credentials, expected) in [
            (Credentials::Basic { username: "key".into(), password: Secret::new("päss:x") }, "Basic a2V5OnDDpHNzOng="),
            (Credentials::Bearer(Secret::new("t0ken")), "Bearer t0ken"),
        ] {
            let trial = Trial::start(|_| Reply::json(200, &json!({"schema": "1"})));
            let settings = RegistrySettings { credentials: Some(credentials), ..settings(&[trial.url()]) };
            let registry = Registry::new(&settings).unwrap();
            registry.look_up(&ID).await.unwrap();
            assert_eq!(trial.requests()[0].header("authorization"), Some(expected));
            assert!(
                !format!("{registry:?} {settings:?}").contains("t0ken") && !format!("{settings:?}").contains("päss")
            );
        }
    }

    #[tokio::test]
    async fn the_next_address_is_asked_when_one_does_not_answer_and_stays_the_first() {
        let bad = Trial::start(|_| Reply::text(503, ""));
        let good = Trial::start(|_| Reply::json(200, &json!({"schema": "1"})));
        let registry = Registry::new(&settings(&[bad.url(), good.url()])).unwrap();
        for _ in 0..3 {
            assert!(matches!(registry.look_up(&ID).await, Ok(Answer::Found(_))));
        }
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 3));
    }
}
