//! Subscriptions that stand in files: read like those of the API, and what their files change.
//!
//! The files are the truth about them: what stands there is made or changed, what does not is deleted, and the API
//! only reads. Three things are not in a file: that an endpoint said 410 or failed for too long (then it stays disabled
//! until its declaration changes or somebody resumes it), that it wants the events (which holds for its URL), and where
//! it stands.

use crate::egress::guard::Guard;
use crate::lane::settings::DeliverySettings;
use crate::model::problem::Problems;
use crate::model::secret::SigningSecret;
use crate::model::subscription::{State, Status, Subscription};
use crate::model::time::Timestamp;
use crate::subscriptions::consent;
use crate::subscriptions::shape::OURS;
use crate::subscriptions::snapshot::Snapshot;
use crate::subscriptions::written;
use crate::yaml::fields::{Field, Fields};
use std::collections::HashSet;
use std::sync::Arc;

/// The longest id.
const ID: usize = 64;

/// Every id begins so, as the API's do.
const PREFIX: &str = "sub_";

/// What a configuration says about subscriptions.
#[derive(Debug)]
pub struct Wanted {
    /// The declared ones; `None`: no file says which there are.
    pub declared: Option<Vec<Subscription>>,
    /// The defaults of all.
    pub defaults: DeliverySettings,
}

/// What the files change.
#[derive(Debug, Default)]
pub struct Plan {
    /// New ones.
    pub made: Vec<Subscription>,
    /// Those that say something else now: each has the version after the present one.
    pub changed: Vec<Subscription>,
    /// Those that stand in no file any more.
    pub gone: Vec<Arc<Subscription>>,
}

/// Why the files cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Somebody made one of that id over the API.
    #[error(
        "{0}: there is a subscription of that id already, made over the API: choose another id, or delete that one"
    )]
    Taken(String),
    /// A field that cannot change did.
    #[error("{id}: {field} cannot change: give it another id, or put {field} back to `{was}`")]
    Fixed {
        /// Whose.
        id: String,
        /// Which.
        field: &'static str,
        /// What it was born with.
        was: String,
    },
    /// No file was found at all: more likely a folder that is missing than an order to delete everything.
    #[error(
        "no file declares subscriptions any more, and {} were declared ({}): bring the files back, or write \
         `subscriptions: []` to delete them with all that they are owed", .0.len(), .0.join(", ")
    )]
    AllGone(Vec<String>),
}

// === impl Plan ===

impl Plan {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.changed.is_empty() && self.gone.is_empty()
    }
}

/// Reads a declared subscription. Its `secrets` must stand there: what would be made could not be shown to anybody.
///
/// # Errors
/// All mistakes.
pub fn read(field: &Field<'_>, guard: &Guard, now: Timestamp) -> Result<Subscription, Problems> {
    let mut problems = Problems::default();
    let Some(mut fields) = Fields::of(field, &mut problems) else { return Err(problems) };
    let id = fields.required("id", &mut problems).and_then(|field| id(&field, &mut problems));
    for ours in OURS.into_iter().filter(|ours| *ours != "id") {
        if let Some(field) = fields.optional(ours) {
            field.problem(&mut problems, "is set by hookline", "Leave it out");
        }
    }
    let states = [State::Active, State::Paused].map(|state| (state.as_str(), state));
    let state = fields.optional("status").and_then(|field| field.one_of(&states, &mut problems));
    if fields.optional("secrets").is_none() {
        let secrets = field.child("secrets", field.node);
        secrets.problem(&mut problems, "is missing", "Write secrets: [\"${env:NAME}\"] or [\"${file:PATH}\"]");
    }
    let born = written::born((field, fields), (guard, now), problems)?;
    let status = match state.unwrap_or(State::Active) {
        State::Active | State::Unverified => born.status.clone(),
        state @ (State::Paused | State::Disabled) => {
            Status { state, reason: Some("paused in its file".to_owned()), since: now }
        }
    };
    let id = id.expect("without an id there is a problem");
    Ok(Subscription { id, status, declared: true, ..born })
}

/// What `wanted` changes of what there is; without it nothing may be declared.
///
/// # Errors
/// All reasons why it cannot be followed.
pub fn plan(present: &Snapshot, wanted: Option<&[Subscription]>, now: Timestamp) -> Result<Plan, Vec<Misfit>> {
    let declared = present.iter().map(|entry| &entry.subscription).filter(|one| one.declared);
    let Some(wanted) = wanted else {
        let ids: Vec<_> = declared.map(|one| one.id.clone()).collect();
        return if ids.is_empty() { Ok(Plan::default()) } else { Err(vec![Misfit::AllGone(ids)]) };
    };
    let (mut plan, mut misfits) = (Plan::default(), Vec::new());
    for one in wanted {
        match present.get(&one.id).map(|entry| &entry.subscription) {
            None => plan.made.push(one.clone()),
            Some(old) if !old.declared => misfits.push(Misfit::Taken(one.id.clone())),
            Some(old) => match fixed(old, one) {
                None => plan.changed.extend(successor(old, one, now)),
                Some(misfit) => misfits.push(misfit),
            },
        }
    }
    let ids: HashSet<&str> = wanted.iter().map(|one| one.id.as_str()).collect();
    plan.gone = declared.filter(|one| !ids.contains(one.id.as_str())).map(Arc::clone).collect();
    if misfits.is_empty() { Ok(plan) } else { Err(misfits) }
}

fn id(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let id = field.string(problems)?;
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let named = id.strip_prefix(PREFIX).is_some_and(|name| !name.is_empty() && name.bytes().all(allowed));
    if !named || id.len() > ID {
        let hint = format!("It is {PREFIX} and then some of a-z 0-9 - _, {ID} characters in all at most");
        field.problem(problems, format!("`{id}` is not an id"), hint);
        return None;
    }
    Some(id)
}

/// What cannot change, and did.
fn fixed(old: &Subscription, wanted: &Subscription) -> Option<Misfit> {
    let (field, was) = if old.tenant != wanted.tenant {
        ("tenant", old.tenant.to_string())
    } else if old.start != wanted.start {
        ("start", old.start.to_string())
    } else {
        return None;
    };
    Some(Misfit::Fixed { id: old.id.clone(), field, was })
}

/// `wanted` in the place of `old`; `None` when it says the same.
fn successor(old: &Subscription, wanted: &Subscription, now: Timestamp) -> Option<Subscription> {
    // A secret that stays keeps the time when it was made.
    let secret = |new: &SigningSecret| old.secrets.iter().find(|old| old.text == new.text).unwrap_or(new).clone();
    let same = Subscription {
        sid: old.sid,
        secrets: wanted.secrets.iter().map(secret).collect(),
        verification: consent::kept(old, &wanted.url, wanted.verification.as_ref().map(|wanted| wanted.proof)),
        status: old.status.clone(),
        version: old.version,
        created: old.created,
        updated: old.updated,
        ..wanted.clone()
    };
    let at_work = |state| matches!(state, State::Active | State::Unverified); // its endpoint's word makes the difference
    let (was, is) = (old.status.state, wanted.status.state);
    let same_state = was == is || at_work(was) && at_work(is);
    let disabled = was == State::Disabled && at_work(is); // we disabled it, not its file
    if same == *old && (same_state || disabled) {
        return None;
    }
    let status = if same_state { old.status.clone() } else { wanted.status.clone() };
    Some(consent::awaited(Subscription { status, version: old.version + 1, updated: now, ..same }, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::handshake::{AllowedRate, Word};
    use crate::egress::settings::EgressSettings;
    use crate::metrics::Metrics;
    use crate::model::secret::Secret;
    use crate::progress::partitions::Partitions;
    use crate::store::Store;
    use crate::store::settings::StoreSettings;
    use crate::subscriptions::Directory;
    use crate::subscriptions::cell::Hands;
    use crate::yaml::reader;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_aG9va2xpbmUncyBzZWNyZXQgZm9yIGl0cyB0ZXN0cyE=";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Reads `{ id: sub_a, url, types, secrets, <more> }`.
    fn told(more: &str) -> Result<Subscription, Vec<String>> {
        let mut fields = format!("{{ {more} }}");
        for (key, value) in [
            ("id", "sub_a"),
            ("url", "https://example.com/hooks"),
            ("types", "['com.acme.**']"),
            ("secrets", &format!("['{SECRET}']")),
        ] {
            if !more.contains(&format!("{key}:")) {
                fields = format!("{{ {key}: {value}, {}", fields.strip_prefix("{ ").unwrap());
            }
        }
        let node = reader::read(&"f".into(), &fields).unwrap();
        let read = read(&Field::new(&node, "subscriptions[0]"), &Guard::new(EgressSettings::default()), at(5));
        read.map_err(|problems| problems.0.iter().map(|one| format!("{}: {}", one.path, one.what)).collect())
    }

    fn declared(more: &str) -> Subscription {
        told(more).unwrap()
    }

    /// A snapshot of these.
    fn present(all: &[Subscription]) -> Arc<Snapshot> {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings { path: folder.path().join("store"), min_free: 0, ..StoreSettings::default() };
        let store = Store::open(&settings, Box::new(|_| {})).unwrap();
        let hands = Arc::new(Hands::new(store, Arc::new(Partitions::default()), Metrics::new()));
        let directory = Directory::load(hands, DeliverySettings::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for one in all {
            runtime.block_on(directory.create(one.clone(), Vec::new())).unwrap();
        }
        directory.snapshot()
    }

    fn planned(old: &Subscription, wanted: &Subscription) -> Result<Plan, Vec<Misfit>> {
        plan(&present(std::slice::from_ref(old)), Some(std::slice::from_ref(wanted)), at(9))
    }

    #[test]
    fn a_declared_subscription_has_its_id_and_is_read_like_any_other() {
        let one = declared("id: sub_billing-2, name: Billing, ordering: key, timeout: 20s");
        assert_eq!((one.id.as_str(), one.declared, one.version), ("sub_billing-2", true, 1));
        assert_eq!((one.name.as_deref(), one.status.state), (Some("Billing"), State::Active));
        assert_eq!(declared("status: paused").status.state, State::Paused);
    }

    #[test]
    fn every_bad_value_has_its_message_with_the_path_in_its_file() {
        for (more, expected) in [
            ("id: billing", "subscriptions[0].id: `billing` is not an id"),
            ("id: sub_", "subscriptions[0].id: `sub_` is not an id"),
            ("id: sub_Billing", "subscriptions[0].id: `sub_Billing` is not an id"),
            ("id: ~", "subscriptions[0].id: must not be null"),
            ("secrets: ~", "subscriptions[0].secrets: is missing"),
            ("secrets: [hunter2]", "subscriptions[0].secrets[0]: the secret is not base64"),
            ("status: disabled", "subscriptions[0].status: `disabled` is none of `active`, `paused`"),
            ("version: 2", "subscriptions[0].version: is set by hookline"),
            ("url: 'https://10.0.0.1/'", "subscriptions[0].url: 10.0.0.1 may not be called (10.0.0.0/8)"),
            ("start: '2999-01-01T00:00:00Z'", "subscriptions[0].start: is in the future"),
            ("typs: [a]", "subscriptions[0].typs: is not a known key"),
        ] {
            let told = told(more).unwrap_err();
            assert!(told[0].starts_with(expected) && told.len() == 1, "{more}: {told:?}");
        }
    }

    #[test]
    fn what_says_the_same_changes_nothing_and_what_says_something_else_is_the_next_version() {
        let old = Subscription { created: at(1), ..declared("") };
        let plan = planned(&old, &declared("")).unwrap();
        assert!(plan.is_empty(), "{plan:?}");
        let plan = planned(&old, &declared("name: Billing")).unwrap();
        let [changed] = &plan.changed[..] else { panic!("{plan:?}") };
        assert_eq!((changed.sid, changed.version, changed.created), (old.sid, 2, at(1)));
        assert_eq!((changed.name.as_deref(), changed.updated), (Some("Billing"), at(9)));
    }

    #[test]
    fn wh_8_what_an_endpoint_said_outlives_its_file_and_another_url_is_asked_anew() {
        let (written, turned) = (declared("verification: challenge"), |old: &Subscription, more: &str| {
            let plan = planned(old, &declared(more)).unwrap();
            plan.changed.first().map(|one| (one.status.state, one.is_verified()))
        });
        assert_eq!(written.status.state, State::Unverified);
        assert_eq!(turned(&written, "verification: challenge"), None, "read again it is not asked from the beginning");
        let yes = Word::Yes { origin: None, rate: AllowedRate::Unsaid };
        let old = consent::heard((&written, &written), &yes, at(7)).unwrap();
        assert_eq!((old.status.state, turned(&old, "verification: challenge")), (State::Active, None));
        assert_eq!(turned(&old, "verification: challenge, name: B"), Some((State::Active, true)));
        let elsewhere = "verification: challenge, url: 'https://example.com/new'";
        assert_eq!(turned(&old, elsewhere), Some((State::Unverified, false)));
        assert_eq!(turned(&old, "verification: cloudevents"), Some((State::Unverified, false)));
        assert_eq!(turned(&written, ""), Some((State::Active, true)));
        let paused = planned(&old, &declared("verification: challenge, status: paused")).unwrap();
        assert_eq!(turned(&paused.changed[0], "verification: challenge"), Some((State::Active, true)));
    }

    #[test]
    fn filters_and_transform_are_read_and_another_shape_is_another_version() {
        let with = |total: &str| {
            format!("filters: [{{ sql: 'EXISTS subject' }}], transform: {{ total: '${{event.data.{total}}}' }}")
        };
        let (old, same) = (declared(&with("total")), planned(&declared(&with("total")), &declared(&with("total"))));
        assert!(old.filters.is_some() && old.transform.is_some() && same.unwrap().is_empty());
        let plan = planned(&old, &declared(&with("sum"))).unwrap();
        assert_eq!(plan.changed[0].transform, Some(serde_json::json!({"total": "${event.data.sum}"})));
        let told = told("filters: [{ sql: 'EXISTS (' }], transform: { $if: true }").unwrap_err();
        assert!(told.iter().any(|one| one.starts_with("subscriptions[0].filters[0].sql: ")), "{told:?}");
        assert!(told.iter().any(|one| one.starts_with("subscriptions[0].transform")), "{told:?}");
    }

    #[test]
    fn a_secret_that_stays_keeps_its_time_and_a_new_one_comes_before_it() {
        let old = declared("");
        let mut wanted = declared(&format!("secrets: ['{OTHER}', '{SECRET}']"));
        wanted.secrets.iter_mut().for_each(|secret| secret.created = at(9));
        let plan = planned(&old, &wanted).unwrap();
        let times: Vec<_> = plan.changed[0].secrets.iter().map(|one| (one.text.clone(), one.created)).collect();
        assert_eq!(times, [(Secret::new(OTHER), at(9)), (Secret::new(SECRET), at(5))]);
    }

    #[test]
    fn a_file_pauses_and_resumes_and_does_not_enable_what_was_disabled_unless_it_changes() {
        let with = |state| {
            let status = Status { state, reason: Some("why".into()), since: at(2) };
            Subscription { status, ..declared("") }
        };
        let turned = |old: State, more: &str| {
            let plan = planned(&with(old), &declared(more)).unwrap();
            plan.changed.first().map(|one| one.status.state)
        };
        assert_eq!(turned(State::Active, "status: paused"), Some(State::Paused));
        assert_eq!(turned(State::Paused, ""), Some(State::Active));
        assert_eq!(turned(State::Paused, "status: paused"), None);
        assert_eq!(turned(State::Disabled, ""), None);
        assert_eq!(turned(State::Disabled, "url: 'https://example.com/new'"), Some(State::Active));
        assert_eq!(turned(State::Disabled, "status: paused"), Some(State::Paused));
    }

    #[test]
    fn who_stands_in_no_file_any_more_goes_and_those_of_the_api_stay() {
        let api = Subscription {
            id: "sub_api".into(),
            declared: false,
            sid: crate::model::id::Sid::new(1, 1),
            ..declared("")
        };
        let plan = plan(&present(&[declared(""), api]), Some(&[declared("id: sub_b")]), at(9)).unwrap();
        let gone: Vec<_> = plan.gone.iter().map(|one| one.id.as_str()).collect();
        assert_eq!((gone, plan.made[0].id.as_str()), (vec!["sub_a"], "sub_b"));
    }

    #[test]
    fn an_empty_list_deletes_all_and_no_file_at_all_deletes_none() {
        let present = present(&[declared("")]);
        assert_eq!(plan(&present, Some(&[]), at(9)).unwrap().gone.len(), 1);
        let misfits = plan(&present, None, at(9)).unwrap_err();
        assert!(misfits[0].to_string().contains("`subscriptions: []`") && misfits[0].to_string().contains("sub_a"));
    }

    #[test]
    fn what_cannot_change_is_told_with_what_it_was() {
        let told = |old: &Subscription, wanted: &Subscription| planned(old, wanted).unwrap_err()[0].to_string();
        assert_eq!(
            told(&declared("tenant: m-1"), &declared("tenant: m-2")),
            "sub_a: tenant cannot change: give it another id, or put tenant back to `m-1`"
        );
        assert!(told(&declared(""), &declared("start: earliest")).contains("put start back to `now`"));
        let api = Subscription { declared: false, ..declared("") };
        assert!(told(&api, &declared("")).contains("made over the API"));
    }
}
