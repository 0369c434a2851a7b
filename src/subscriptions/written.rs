//! A subscription as users write it: a whole one to create, a merge patch (RFC 7396) to change.
//!
//! Takes a tree of JSON or YAML, gives a [`Subscription`] in which every value was checked, or all mistakes at once.
//! Names are not resolved here; who asks does that. Values whose room comes later are refused, never silently left
//! out.

use crate::deliver::target::Target;
use crate::egress::guard::Guard;
use crate::lane::settings::DeliverySettings;
use crate::model::problem::Problems;
use crate::model::subscription::{Signing, Start, State, Status, Subscription};
use crate::model::time::Timestamp;
use crate::runtime::random;
use crate::subscriptions::shape::{self, OURS, WRITABLE};
use crate::subscriptions::{consent, credentials, order};
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Node;
use serde_json::{Map, Value, json};

/// Reads a new subscription.
///
/// # Errors
/// All mistakes.
pub fn create(node: &Node, guard: &Guard, now: Timestamp) -> Result<Subscription, Problems> {
    let (mut problems, whole) = (Problems::default(), Field::new(node, ""));
    let Some(mut fields) = Fields::of(&whole, &mut problems) else { return Err(problems) };
    for ours in OURS {
        if let Some(field) = fields.optional(ours) {
            field.problem(&mut problems, "is set by hookline", "Leave it out");
        }
    }
    if let Some(field) = fields.optional("status") {
        order::choice(&field, &[("active", ())], &["paused", "disabled", "unverified"], &mut problems);
    }
    born((&whole, fields), (guard, now), problems)
}

/// The subscription that the fields of `whole` make which were not asked for yet.
///
/// # Errors
/// All mistakes, those of before included.
pub(crate) fn born(
    (whole, mut fields): (&Field<'_>, Fields<'_>),
    (guard, now): (&Guard, Timestamp),
    mut problems: Problems,
) -> Result<Subscription, Problems> {
    let auth = fields.optional("auth").and_then(|field| credentials::auth(&field, &mut problems));
    let (secrets, order) = (fields.optional("secrets"), order::read(&mut fields, guard, &mut problems));
    fields.finish(&mut problems);
    let signing = order.as_ref().map_or(Signing::Standard, |order| order.signing);
    let secrets = match secrets {
        Some(field) => credentials::secrets(&field, signing, now, &mut problems),
        None => vec![credentials::fresh(signing, now)],
    };
    if matches!(order.as_ref().map(|order| order.start), Some(Start::At(time)) if time > now) {
        let start = whole.child("start", whole.node);
        start.problem(&mut problems, "is in the future", "Write a time that has passed, or leave it out");
    }
    let Some(order) = order.filter(|_| problems.is_empty()) else { return Err(all(problems)) };
    let sid = random::sid();
    let subscription = Subscription {
        sid,
        id: format!("sub_{sid}"),
        tenant: order.tenant,
        name: order.name,
        description: order.description,
        metadata: order.metadata,
        url: order.url,
        types: order.types,
        filter: order.filter,
        filters: order.filters,
        transform: order.transform,
        format: order.format,
        headers: order.headers,
        auth,
        signing: order.signing,
        secrets,
        timeout: order.timeout,
        concurrency: order.concurrency,
        retry: order.retry,
        ordering: order.ordering,
        on_blocked: order.on_blocked,
        rate: order.rate,
        batch: order.batch,
        start: order.start,
        verification: order.proof.map(consent::unasked),
        status: Status { state: State::Active, reason: None, since: now },
        declared: false,
        version: 1,
        created: now,
        updated: now,
    };
    deliverable(consent::awaited(subscription, now), whole, problems)
}

/// Reads a change of `old`: a merge patch. `auth` is replaced whole; `secrets`, when given, replace the old ones.
///
/// # Errors
/// All mistakes.
pub fn change(old: &Subscription, patch: &Node, guard: &Guard, now: Timestamp) -> Result<Subscription, Problems> {
    let mut problems = Problems::default();
    let Some(mut fields) = Fields::of(&Field::new(patch, ""), &mut problems) else { return Err(problems) };
    let document = shape::document(old);
    fixed(&mut fields, &document, &mut problems);
    let auth = match fields.present("auth") {
        Some(field) if field.node.is_null() => None,
        Some(field) if Some(&field.node.to_json()) != document.get("auth") => credentials::auth(&field, &mut problems),
        _ => old.auth.clone(),
    };
    WRITABLE.iter().for_each(|key| drop(fields.present(key)));
    let secrets = fields.optional("secrets");
    fields.finish(&mut problems);
    let merged = Node::from_json(&patch.place.file, &merged(document, &patch.to_json()));
    let mut fields = Fields::of(&Field::new(&merged, ""), &mut problems).expect("what is merged is a map");
    let order = order::read(&mut fields, guard, &mut problems);
    let signing = order.as_ref().map_or(old.signing, |order| order.signing);
    let secrets = match secrets {
        Some(field) => credentials::secrets(&field, signing, now, &mut problems),
        None => {
            if signing != old.signing {
                let hint = "Bring `secrets` of the new scheme";
                problems.add(&patch.place, "signing.scheme", "the present secrets are of another scheme", hint);
            }
            old.secrets.clone()
        }
    };
    let Some(order) = order.filter(|_| problems.is_empty()) else { return Err(all(problems)) };
    let verification = consent::kept(old, &order.url, order.proof);
    let subscription = Subscription {
        name: order.name,
        description: order.description,
        metadata: order.metadata,
        url: order.url,
        types: order.types,
        filter: order.filter,
        filters: order.filters,
        transform: order.transform,
        format: order.format,
        headers: order.headers,
        auth,
        signing: order.signing,
        secrets,
        timeout: order.timeout,
        concurrency: order.concurrency,
        retry: order.retry,
        ordering: order.ordering,
        on_blocked: order.on_blocked,
        rate: order.rate,
        batch: order.batch,
        verification,
        version: old.version + 1,
        updated: now,
        ..old.clone()
    };
    deliverable(consent::awaited(subscription, now), &Field::new(patch, ""), problems)
}

/// What a patch cannot change may stand in it as it is.
fn fixed(fields: &mut Fields<'_>, document: &Map<String, Value>, problems: &mut Problems) {
    let mut differs = |key: &str| fields.present(key).filter(|field| document.get(key) != Some(&field.node.to_json()));
    for ours in OURS {
        if let Some(field) = differs(ours) {
            field.problem(problems, "is set by hookline", "Leave it out");
        }
    }
    if let Some(field) = differs("tenant") {
        field.problem(problems, "cannot change", "Make a subscription for the other tenant");
    }
    if let Some(field) = differs("start") {
        field.problem(problems, "cannot change", "Replay what it should have again");
    }
    if let Some(field) = differs("status") {
        field.problem(problems, "is not changed here", "POST to its /pause or /resume");
    }
}

/// The document of a subscription with a patch over it, without what the order does not hold.
fn merged(mut document: Map<String, Value>, patch: &Value) -> Value {
    document.retain(|key, _| WRITABLE.contains(&key.as_str()));
    let mut merged = Value::Object(document);
    merge(&mut merged, patch);
    // A template is replaced whole: null has a meaning in it.
    if let (Some(own), Some(transform)) = (merged.as_object_mut(), patch.get("transform").filter(|own| !own.is_null()))
    {
        own.insert("transform".to_owned(), transform.clone());
    }
    if let Value::Object(fields) = &mut merged {
        fields.retain(|key, _| WRITABLE.contains(&key.as_str()) && key != "auth");
    }
    merged
}

/// RFC 7396: maps are merged, null takes away, all else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.shift_remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The subscription, when its sending side can be made: headers that are one too many are found here.
fn deliverable(
    subscription: Subscription,
    whole: &Field<'_>,
    mut problems: Problems,
) -> Result<Subscription, Problems> {
    if let Err(error) = Target::new(&subscription, DeliverySettings::default().timeout) {
        whole.child("headers", whole.node).problem(&mut problems, error.to_string(), "");
    }
    problems.or(subscription)
}

/// All of them, sorted.
fn all(problems: Problems) -> Problems {
    problems.or(()).err().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::handshake::{AllowedRate, Word};
    use crate::egress::settings::EgressSettings;
    use crate::model::secret::SigningSecret;
    use crate::model::subscription::{Auth, Format, Tenant};
    use std::collections::BTreeMap;
    use std::time::Duration;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    fn now() -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn guard() -> Guard {
        Guard::new(EgressSettings::default())
    }

    fn node(value: &Value) -> Node {
        Node::from_json(&"request".into(), value)
    }

    fn made(mut more: Value) -> Result<Subscription, Vec<String>> {
        let body = more.as_object_mut().unwrap();
        body.entry("url").or_insert(json!("https://example.com/hooks"));
        body.entry("types").or_insert(json!(["com.acme.**"]));
        create(&node(&more), &guard(), now()).map_err(|problems| lines(&problems))
    }

    fn changed(old: &Subscription, patch: &Value) -> Result<Subscription, Vec<String>> {
        change(old, &node(patch), &guard(), now()).map_err(|problems| lines(&problems))
    }

    fn lines(problems: &Problems) -> Vec<String> {
        problems.0.iter().map(|problem| problem.to_string().replace("request: ", "")).collect()
    }

    fn texts(secrets: &[SigningSecret]) -> Vec<&str> {
        secrets.iter().map(|secret| secret.text.expose()).collect()
    }

    #[test]
    fn url_and_types_are_enough_and_a_secret_is_made() {
        let subscription = made(json!({})).unwrap();
        assert_eq!(subscription.id, format!("sub_{}", subscription.sid));
        assert_eq!((subscription.version, subscription.tenant.clone()), (1, Tenant::None));
        assert_eq!((subscription.format, subscription.signing), (Format::CloudEvents, Signing::Standard));
        assert!(texts(&subscription.secrets)[0].starts_with("whsec_"));
        assert_ne!(texts(&subscription.secrets), texts(&made(json!({})).unwrap().secrets));
        let ed = made(json!({"signing": {"scheme": "ed25519"}})).unwrap();
        assert!(texts(&ed.secrets)[0].starts_with("whsk_"));
    }

    #[test]
    fn every_field_is_read_and_shown_as_it_was_written() {
        let written = json!({
            "tenant": "m-1", "name": "Billing", "description": "two\nlines", "metadata": {"team": "billing"},
            "url": "https://example.com/hooks?a=b", "types": ["com.acme.order.*", "x"], "format": "standard",
            "filter": "event.data.total > 100",
            "headers": {"X-Source": "acme"}, "timeout": "20s", "concurrency": 4,
            "retry": {"schedule": ["5s", "1m"], "max_age": "1d", "jitter": 0.1},
            "filters": null, "transform": null, "rate": null, "batch": null, "on_blocked": null,
            "ordering": "none", "start": "1969-12-31T00:00:00.000Z", "verification": "none", "status": "active",
            "signing": {"scheme": "standard"}, "auth": {"bearer": "t0ken"}, "secrets": [SECRET.trim_start_matches("whsec_")],
        });
        let subscription = made(written.clone()).unwrap();
        assert_eq!(texts(&subscription.secrets), [SECRET]);
        assert_eq!(subscription.auth.as_ref().map(Auth::kind), Some("bearer"));
        let shown = shape::document(&subscription);
        assert!(!format!("{shown:?} {subscription:?}").contains("t0ken"));
        for (key, value) in written.as_object().unwrap() {
            match key.as_str() {
                "secrets" => assert_eq!(shown.get(key), None),
                "auth" => assert_eq!(shown[key], json!({"kind": "bearer"})),
                _ => assert_eq!(&shown[key], value, "{key}"),
            }
        }
        let known: Vec<&str> = WRITABLE.into_iter().chain(OURS).chain(["status"]).collect();
        assert!(shown.keys().all(|key| known.contains(&key.as_str())) && shown.len() == known.len());
        assert_eq!(made(json!({"tenant": "*"})).unwrap().tenant, Tenant::All);
    }

    #[test]
    fn every_bad_value_has_its_message() {
        for (more, expected) in [
            (json!({"url": null}), "url: must not be null"),
            (json!({"url": "http://example.com"}), "url: http needs egress.allow_http"),
            (json!({"url": "https://127.0.0.1/"}), "url: 127.0.0.1 may not be called (127.0.0.0/8)"),
            (json!({"url": "https://u:hunter2@a.com/"}), "url: a URL must not hold a user name or password"),
            (json!({"url": "x"}), "url: not a URL"),
            (json!({"url": format!("https://a.com/{}", "x".repeat(2048))}), "url: has a length of 2062"),
            (json!({"types": []}), "types: there is no pattern. Write at least one"),
            (json!({"types": "x"}), "types: must be a list, not `x`"),
            (json!({"types": ["a.", "a*"]}), "types[0]: a segment is empty"),
            (json!({"types": vec!["x"; 101]}), "types: has a length of 101. It may be 1 to 100"),
            (json!({"tenant": ""}), "tenant: must not be empty"),
            (json!({"tenant": 5}), "tenant: must be a string, not `5`. Quote it"),
            (json!({"name": "x".repeat(201)}), "name: has 201 characters. It may have 200"),
            (json!({"description": "\u{7}"}), "description: holds control characters"),
            (json!({"metadata": {"a": 1}}), "metadata.a: must be a string"),
            (json!({"metadata": {"a": "x".repeat(501)}}), "metadata.a: has a length of 501"),
            (json!({"filter": 5}), "filter: must be a string"),
            (json!({"filter": "event.data.total >"}), "filter: "),
            (json!({"filter": "payload.total > 1"}), "filter: "),
            (json!({"format": "json"}), "format: `json` is none of `cloudevents`"),
            (json!({"headers": {"webhook-id": "x"}}), "headers.webhook-id: header `webhook-id` is set by hookline"),
            (json!({"headers": {"x": "a\nb"}}), "headers.x: the value of header `x` holds characters"),
            (json!({"headers": {"X-a": "1", "x-A": "2"}}), "headers: header `x-a` is configured twice"),
            (json!({"auth": {}}), "auth: must hold exactly one scheme"),
            (json!({"auth": {"bearer": "a", "header": {"name": "x", "value": "y"}}}), "auth: must hold exactly one"),
            (json!({"auth": {"bearer": ""}}), "auth: the bearer token holds characters that cannot be sent"),
            (json!({"auth": {"basic": {"username": "a:b", "password": "c"}}}), "auth: the user name holds a colon"),
            (json!({"auth": {"basic": {"username": "a"}}}), "auth.basic.password: is missing"),
            (json!({"auth": {"header": {"name": "host", "value": "x"}}}), "auth: header `host` is set by hookline"),
            (json!({"auth": "hunter2"}), "auth: must be a map, not a string"),
            (json!({"auth": {"basic": "hunter2"}}), "auth.basic: must be a map, not a string"),
            (json!({"auth": {"header": {"name": "x", "value": ["hunter2"]}}}), "auth.header.value: must be a string"),
            (json!({"secrets": "hunter2"}), "secrets: must be a list, not a string"),
            (json!({"auth": {"token": "x"}}), "auth.token: is not a known key"),
            (json!({"signing": {}}), "signing.scheme: is missing"),
            (json!({"signing": {"scheme": "md5"}}), "signing.scheme: `md5` is none of `standard`, `ed25519`"),
            (json!({"secrets": []}), "secrets: has 0 secrets. It has 1 to 8"),
            (json!({"secrets": ["whsec_aHVudGVyMg=="]}), "secrets[0]: the secret has the wrong length"),
            (json!({"secrets": ["hunter2!"]}), "secrets[0]: the secret is not base64"),
            (json!({"secrets": [5]}), "secrets[0]: must be a string, not a number"),
            (json!({"secrets": [SECRET], "signing": {"scheme": "ed25519"}}), "secrets[0]: must begin with `whsk_`"),
            (json!({"timeout": "61s"}), "timeout: 61s is out of range. It may be 1s to 1m"),
            (json!({"concurrency": 0}), "concurrency: 0 is out of range. It may be 1 to 1000"),
            (json!({"retry": {"jitter": 2}}), "retry.jitter: 2 is out of range"),
            (json!({"start": "1970-01-01T00:00:01Z"}), "start: is in the future"),
            (json!({"start": "tomorrow"}), "start: must be `now`, `earliest` or a time"),
            (json!({"ordering": "strict"}), "ordering: `strict` is none of `none`, `key`"),
            (json!({"id": "sub_x"}), "id: is set by hookline. Leave it out"),
            (json!({"version": 1}), "version: is set by hookline. Leave it out"),
            (json!({"formt": "raw"}), "formt: is not a known key. Did you mean `format`?"),
        ] {
            let told = made(more.clone()).unwrap_err();
            assert!(told[0].starts_with(expected), "{more}: {told:?}");
            assert!(!told.iter().any(|line| line.contains("hunter2") || line.contains("aHVud")), "{told:?}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told = made(json!({"url": "http://127.0.0.1/#", "types": [], "concurrency": 0, "x": 1})).unwrap_err();
        assert_eq!(told.len(), 6, "{told:?}");
        assert_eq!(create(&node(&json!([])), &guard(), now()).unwrap_err().0.len(), 1);
        assert_eq!(create(&node(&json!({})), &guard(), now()).unwrap_err().0.len(), 2);
    }

    #[test]
    fn what_comes_later_is_refused_and_not_left_out() {
        for (more, path) in [
            (json!({"status": "paused"}), "status"),
            (json!({"format": "xml"}), "format"),
            (json!({"signing": {"scheme": "legacy"}}), "signing.scheme"),
            (json!({"auth": {"oauth2": {}}}), "auth.oauth2"),
            (json!({"auth": {"mtls": {}}}), "auth.mtls"),
        ] {
            let told = made(more.clone()).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with(path), "{more}: {told:?}");
            assert!(told[0].contains("not yet available"), "{more}: {told:?}");
        }
    }

    #[test]
    fn a_no_to_a_question_that_is_older_than_the_yes_takes_nothing_back() {
        let asked = made(json!({"verification": "cloudevents"})).unwrap();
        let yes = Word::Yes { origin: Some("hookline".into()), rate: AllowedRate::Any };
        let agreed = consent::heard((&asked, &asked), &yes, now()).unwrap();
        let no = Word::No("it did not say so".into());
        assert_eq!(consent::heard((&agreed, &asked), &no, now()), None, "it said yes over the callback meanwhile");
        let taken_back = consent::heard((&agreed, &agreed), &no, now()).unwrap();
        assert_eq!(taken_back.status.state, State::Unverified);
    }

    #[test]
    fn wh_8_another_url_is_asked_anew_and_what_is_not_asked_is_active() {
        let shown = |one: &Subscription| {
            let document = shape::document(one);
            ["verification", "status", "verified_at"].map(|field| document[field].as_str().map(str::to_owned))
        };
        let fields = |fields: [Option<&str>; 3]| fields.map(|field| field.map(str::to_owned));
        let old = made(json!({"verification": "cloudevents"})).unwrap();
        assert_eq!(shown(&old), fields([Some("cloudevents"), Some("unverified"), None]));
        let said = Word::Yes { origin: Some("hookline".into()), rate: AllowedRate::PerMinute(90) };
        let old = consent::heard((&old, &old), &said, now()).unwrap();
        let at = now().to_string();
        assert_eq!(shown(&old), fields([Some("cloudevents"), Some("active"), Some(&at)]));
        assert_eq!(shape::document(&old)["allowed_per_minute"], 90);
        let whole = Value::Object(shape::document(&old));
        assert_eq!(changed(&old, &whole).unwrap(), Subscription { version: 3, ..old.clone() });
        assert_eq!(
            consent::heard((&old, &old), &said, now().after(Duration::from_secs(1))),
            None,
            "it said so already"
        );
        let elsewhere = changed(&old, &json!({"url": "https://example.com/new"})).unwrap();
        assert_eq!(shown(&elsewhere), fields([Some("cloudevents"), Some("unverified"), None]));
        assert_eq!(consent::heard((&elsewhere, &old), &said, now()), None, "that was another endpoint");
        assert_eq!(
            shown(&changed(&old, &json!({"verification": "challenge"})).unwrap())[1].as_deref(),
            Some("unverified")
        );
        assert_eq!(
            shown(&changed(&elsewhere, &json!({"verification": null})).unwrap()),
            fields([Some("none"), Some("active"), None])
        );
        let paused = Status { state: State::Paused, reason: None, since: now() };
        let paused = Subscription { status: paused, ..old };
        let paused = changed(&paused, &json!({"url": "https://example.com/new"})).unwrap();
        assert_eq!((paused.status.state, paused.at_work()), (State::Paused, State::Unverified));
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let old = made(json!({
            "tenant": "m-1", "name": "a", "metadata": {"a": "1", "b": "2"}, "auth": {"bearer": "t"}, "timeout": "20s",
            "retry": {"schedule": ["5s"], "max_age": "1d"}, "headers": {"x": "1"},
        }))
        .unwrap();
        let new =
            changed(&old, &json!({"name": null, "metadata": {"a": null, "c": "3"}, "retry": {"jitter": 0}})).unwrap();
        assert_eq!((new.name.as_deref(), new.version, new.sid), (None, 2, old.sid));
        assert_eq!(new.metadata, BTreeMap::from([("b".into(), "2".into()), ("c".into(), "3".into())]));
        let retry = new.retry.clone().unwrap();
        assert_eq!(
            (retry.schedule, retry.max_age.as_secs(), retry.jitter),
            (vec![Duration::from_secs(5)], 86_400, 0.0)
        );
        let back = Subscription {
            name: old.name.clone(),
            metadata: old.metadata.clone(),
            retry: old.retry.clone(),
            version: 1,
            ..new.clone()
        };
        assert_eq!(back, old);
        let whole = Value::Object(shape::document(&old));
        assert_eq!(changed(&old, &whole).unwrap(), Subscription { version: 2, ..old.clone() });
    }

    #[test]
    fn filters_and_transform_are_kept_as_they_were_written_and_checked() {
        let filters = json!([{"prefix": {"type": "com.acme."}}, {"sql": "EXISTS subject"}]);
        let transform =
            json!({"id": "${event.subject}", "vip": {"$if": "event.data.total > 100", "$then": true, "$else": null}});
        let old = made(json!({"filters": filters, "transform": transform})).unwrap();
        let document = shape::document(&old);
        assert_eq!((&document["filters"], &document["transform"]), (&filters, &transform));
        assert!(crate::subscriptions::compile::candidate(&old).is_ok());
        let whole = Value::Object(document);
        assert_eq!(changed(&old, &whole).unwrap(), Subscription { version: 2, ..old.clone() });
        let other = json!({"$if": "event.data.total > 5", "$then": 1, "$else": null});
        let new = changed(&old, &json!({"transform": other, "filters": null})).unwrap();
        assert_eq!(
            (new.transform, new.filters),
            (Some(other), None),
            "a template is replaced whole, its nulls are its own"
        );
        assert_eq!(changed(&old, &json!({"transform": null})).unwrap().transform, None);
        for (more, expected) in [
            (json!({"filters": {}}), "filters: the list of filters must be a list"),
            (
                json!({"filters": [{"exact": {"type": "x"}}, {"sql": "type ="}]}),
                "filters[1].sql: the expression ends too early (at character 7)",
            ),
            (json!({"filters": [{"exat": {}}]}), "filters[0].exat: is no dialect. did you mean `exact`?"),
            (
                json!({"transform": {"a": [1, "${evnt.id}"]}}),
                "transform.a[1]: unknown name `evnt` (at character 3). did you mean `event`?",
            ),
            (json!({"transform": {"a": "${payload.id}"}}), "transform.a: unknown name `payload`"),
            (json!({"transform": "x".repeat(20_000)}), "transform: has 20002 bytes of JSON"),
        ] {
            let told = made(more.clone()).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with(expected), "{more}: {told:?}");
        }
    }

    #[test]
    fn batches_are_asked_for_with_their_format_and_have_bounds() {
        let batch = json!({"max_events": 10, "max_bytes": "64KiB", "max_wait": "250ms"});
        let made_one = made(json!({"format": "cloudevents-batch", "batch": batch})).unwrap();
        assert_eq!(shape::document(&made_one)["batch"], batch);
        let lane = crate::subscriptions::compile::lane_settings(&made_one, &DeliverySettings::default());
        assert_eq!(lane.batch, made_one.batch);
        let settle_within = Duration::from_millis(200);
        let hasty = DeliverySettings { settle_within, ..DeliverySettings::default() };
        let lane = crate::subscriptions::compile::lane_settings(&made_one, &hasty);
        assert!(lane.batch.unwrap().max_wait < settle_within, "a batch is sent before its members are parked");
        let less = changed(&made_one, &json!({"batch": {"max_events": 5}})).unwrap().batch.unwrap();
        assert_eq!((less.max_events, less.max_bytes), (5, 64 << 10));
        assert_eq!(changed(&made_one, &json!({"batch": null})).unwrap().batch, None);
        let format = changed(&made_one, &json!({"format": "cloudevents"})).unwrap_err();
        assert!(format[0].starts_with("batch: needs format `cloudevents-batch`"), "{format:?}");
        for (batch, path) in [
            (json!({"max_events": 1}), "batch.max_events"),
            (json!({"max_bytes": "17MiB"}), "batch.max_bytes"),
            (json!({"max_wait": "5s"}), "batch.max_wait"),
            (json!({"size": 5}), "batch.size"),
            (json!(5), "batch"),
        ] {
            let told = made(json!({"format": "cloudevents-batch", "batch": batch})).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with(path), "{told:?}");
        }
    }

    #[test]
    fn auth_and_secrets_are_replaced_whole() {
        let old = made(json!({"auth": {"basic": {"username": "u", "password": "p"}}})).unwrap();
        assert_eq!(changed(&old, &json!({"auth": {"kind": "basic"}})).unwrap().auth, old.auth);
        assert_eq!(changed(&old, &json!({"auth": null})).unwrap().auth, None);
        let bearer = changed(&old, &json!({"auth": {"bearer": "t"}})).unwrap();
        assert_eq!(bearer.auth.as_ref().map(Auth::kind), Some("bearer"));
        assert_eq!(changed(&old, &json!({"auth": {"kind": "bearer"}})).unwrap_err().len(), 1);
        assert_eq!(texts(&changed(&old, &json!({"secrets": [SECRET]})).unwrap().secrets), [SECRET]);
        let told = changed(&old, &json!({"signing": {"scheme": "ed25519"}})).unwrap_err();
        assert!(told[0].starts_with("signing.scheme: the present secrets are of another scheme"), "{told:?}");
    }

    #[test]
    fn a_patch_cannot_change_what_is_fixed() {
        let old = made(json!({"tenant": "m-1"})).unwrap();
        for (patch, expected) in [
            (json!({"tenant": "m-2"}), "tenant: cannot change"),
            (json!({"tenant": null}), "tenant: cannot change"),
            (json!({"start": "earliest"}), "start: cannot change"),
            (json!({"id": "sub_x"}), "id: is set by hookline"),
            (json!({"version": 2}), "version: is set by hookline"),
            (json!({"status": "disabled"}), "status: is not changed here"),
            (json!({"health": {}}), "health: is not a known key"),
            (json!({"nme": null}), "nme: is not a known key. Did you mean `name`?"),
            (json!({"url": null}), "url: is missing"),
            (json!({"batch": {}}), "batch: needs format `cloudevents-batch`"),
            (json!({"timeout": "0"}), "timeout: 0 is out of range"),
            (json!([]), "must be a map"),
        ] {
            let told = changed(&old, &patch).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with(expected), "{patch}: {told:?}");
        }
    }
}
