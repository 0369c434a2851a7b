//! One record: what each mapping makes of it, who would get it, and why others would not.
//!
//! Takes the rules, a record and subscriptions; changes nothing, sends nothing.

use crate::decode::decoding::Decoding;
use crate::decode::{self, Undecoded};
use crate::dryrun::why_not::{WhyNot, why_not};
use crate::map::Mapped;
use crate::map::mapping::OnError;
use crate::model::event::IntegrationEvent;
use crate::model::quarantine::Fault;
use crate::model::record::Record;
use crate::model::subscription::Subscription;
use crate::pipeline::Pipeline;

/// What would become of a record.
#[derive(Debug)]
pub struct Explanation<'s> {
    /// Why it cannot be decoded; then no mapping is asked.
    pub undecoded: Option<Fault>,
    /// What each mapping makes of it, in their order.
    pub mappings: Vec<Told<'s>>,
}

/// What one mapping makes of it.
#[derive(Debug)]
pub struct Told<'s> {
    /// Its name.
    pub mapping: String,
    /// What it makes.
    pub became: Became<'s>,
}

/// What a mapping makes of a record.
#[derive(Debug)]
pub enum Became<'s> {
    /// Nothing: it reads other topics.
    OtherTopic,
    /// Nothing: its `when` is false, or its `each` is empty.
    Nothing,
    /// Events, in order.
    Events(Vec<Explained<'s>>),
    /// It fails.
    Fails {
        /// Why.
        fault: Fault,
        /// What follows from it.
        on_error: OnError,
    },
}

/// An event, and what each subscription says to it.
#[derive(Debug)]
pub struct Explained<'s> {
    /// The event.
    pub event: IntegrationEvent,
    /// Each subscription, in the given order.
    pub verdicts: Vec<Verdict<'s>>,
}

/// What a subscription says to an event.
#[derive(Debug)]
pub struct Verdict<'s> {
    /// The subscription.
    pub subscription: &'s Subscription,
    /// Why it would not get it; `None`: it would.
    pub why_not: Option<WhyNot>,
}

// === impl Explanation ===

impl<'s> Explanation<'s> {
    /// The events it would become, in order.
    pub fn events(&self) -> impl Iterator<Item = &Explained<'s>> {
        self.mappings.iter().flat_map(|told| match &told.became {
            Became::Events(events) => events.as_slice(),
            Became::OtherTopic | Became::Nothing | Became::Fails { .. } => &[],
        })
    }

    /// Whether it would be quarantined, or stop its partition.
    #[must_use]
    pub fn stuck(&self) -> bool {
        let fails = |told: &Told<'_>| match &told.became {
            Became::Fails { on_error, .. } => *on_error != OnError::Drop,
            Became::OtherTopic | Became::Nothing | Became::Events(_) => false,
        };
        self.undecoded.is_some() || self.mappings.iter().any(fails)
    }
}

/// Explains what would become of `record` under these rules, and who of these would get it.
#[must_use]
pub fn explain<'s>(pipeline: &Pipeline, record: &Record, subscriptions: &'s [Subscription]) -> Explanation<'s> {
    told(pipeline, pipeline.mapped(record), subscriptions)
}

/// The same for a record whose value is JSON as a decoder gives it, whatever the format of its topic.
#[must_use]
pub fn explain_payload<'s>(pipeline: &Pipeline, record: &Record, subscriptions: &'s [Subscription]) -> Explanation<'s> {
    told(pipeline, pipeline.mapped_as(&Decoding::default(), record), subscriptions)
}

fn told<'s>(
    pipeline: &Pipeline,
    mapped: Result<Vec<Mapped>, Undecoded>,
    subscriptions: &'s [Subscription],
) -> Explanation<'s> {
    let mapped = match mapped {
        Ok(mapped) => mapped,
        Err(undecoded) => return Explanation { undecoded: Some(fault(undecoded)), mappings: Vec::new() },
    };
    let mut mapped = mapped.into_iter().peekable();
    let one = |name: &str| {
        let became = match mapped.next_if(|mapped| *mapped.mapping == *name) {
            None => Became::OtherTopic,
            Some(mapped) => match mapped.result {
                Err(fault) => Became::Fails { fault, on_error: mapped.on_error },
                Ok(events) if events.is_empty() => Became::Nothing,
                Ok(events) => Became::Events(events.into_iter().map(|event| judged(event, subscriptions)).collect()),
            },
        };
        Told { mapping: name.to_string(), became }
    };
    Explanation { undecoded: None, mappings: pipeline.mappings().map(one).collect() }
}

/// The fault that it is for who looks nothing up.
pub(crate) fn fault(undecoded: Undecoded) -> Fault {
    match undecoded {
        Undecoded::Fault(fault) => fault,
        Undecoded::Absent(schema) => decode::fault(format!("schema {schema} is not known")),
    }
}

fn judged(event: IntegrationEvent, subscriptions: &[Subscription]) -> Explained<'_> {
    let verdict = |subscription| Verdict { subscription, why_not: why_not(subscription, &event) };
    let verdicts = subscriptions.iter().map(verdict).collect();
    Explained { event, verdicts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::written::Rules;
    use crate::matching::dialect::Dialects;
    use crate::matching::filter::Filter;
    use crate::matching::index::{Candidate, Index};
    use crate::matching::pattern::Pattern;
    use crate::model::id::Sid;
    use crate::model::problem::Problems;
    use crate::model::record::Origin;
    use crate::model::subscription::{Format, Signing, State, Status, Tenant};
    use crate::model::time::Timestamp;
    use crate::yaml::reader;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const RULES: &str = r#"
mappings:
  - name: order-placed
    from: shop.orders
    when: payload.type == "OrderPlaced"
    emit: { type: com.acme.order.placed, tenant: "${payload.merchant}", data: { total: "${payload.total}" } }
  - name: lines
    from: shop.orders
    each: payload.lines
    emit: { type: com.acme.order.line, data: "${item}" }
  - name: paid
    from: shop.payments
    emit: { type: com.acme.paid }
  - name: careless
    from: shop.orders
    on_error: drop
    emit: { type: com.acme.careless, data: "${payload.absent}" }
"#;

    fn pipeline() -> Pipeline {
        let (mut rules, mut problems, file) = (Rules::default(), Problems::default(), Arc::from("rules.yaml"));
        rules.add_file(&reader::read(&file, RULES).unwrap(), &mut problems);
        let mappings = rules.finish(&mut problems);
        assert_eq!(problems.to_string(), "");
        Pipeline::new(mappings, Vec::new(), 1 << 20)
    }

    fn record(value: &'static str) -> Record {
        let origin =
            Origin { topic: "shop.orders".into(), partition: 0, offset: 7, timestamp: Timestamp::from_millis(1) };
        Record { origin, key: Some("o-1".into()), headers: Vec::new(), value: Some(value.into()) }
    }

    fn subscription(id: &str, tenant: Tenant, types: &[&str], filter: Option<&str>) -> Subscription {
        let at = Timestamp::from_millis(0);
        Subscription {
            sid: Sid::new(1, 1),
            id: id.into(),
            tenant,
            name: None,
            description: None,
            metadata: BTreeMap::new(),
            url: "https://example.com/".parse().unwrap(),
            types: types.iter().map(ToString::to_string).collect(),
            filter: filter.map(Into::into),
            filters: None,
            format: Format::CloudEvents,
            transform: None,
            headers: Vec::new(),
            auth: None,
            signing: Signing::Standard,
            secrets: Vec::new(),
            timeout: None,
            concurrency: None,
            retry: None,
            ordering: Default::default(),
            on_blocked: None,
            rate: None,
            batch: None,
            start: Default::default(),
            verification: None,
            status: Status { state: State::Active, reason: None, since: at },
            declared: false,
            version: 1,
            created: at,
            updated: at,
        }
    }

    fn subscriptions() -> Vec<Subscription> {
        let of = |tenant: &str| Tenant::One(tenant.into());
        let mut all = vec![
            subscription("gets", of("m-1"), &["com.acme.**"], Some("event.data.total > 100")),
            subscription("other-tenant", of("m-2"), &["**"], None),
            subscription("no-tenant", Tenant::None, &["**"], None),
            subscription("other-type", of("m-1"), &["com.acme.paid", "org.**"], None),
            subscription("filtered", Tenant::All, &["**"], Some("event.data.total > 1000")),
            subscription("broken-filter", Tenant::All, &["**"], Some("event.data.nothing > 1000")),
            subscription("other-region", Tenant::All, &["**"], None),
            subscription("unreadable", Tenant::All, &["com..x"], None),
            subscription("disabled", Tenant::All, &["**"], None),
        ];
        all[6].filters = Some(serde_json::json!([{"not": {"prefix": {"type": "com.acme."}}}]));
        all[8].status.state = State::Disabled;
        all[8].status.reason = Some("the endpoint answered 410 Gone".into());
        all
    }

    const PLACED: &str = r#"{"type":"OrderPlaced","merchant":"m-1","total":150,"lines":[]}"#;

    #[test]
    fn every_mapping_says_what_it_makes_and_why_not() {
        let pipeline = pipeline();
        let explained = explain(&pipeline, &record(PLACED), &[]);
        let became = |at: usize| &explained.mappings[at].became;
        assert!(matches!(became(0), Became::Events(events) if events[0].event.tenant.as_deref() == Some("m-1")));
        assert!(matches!(became(1), Became::Nothing));
        assert!(matches!(became(2), Became::OtherTopic));
        let Became::Fails { fault, on_error: OnError::Drop } = became(3) else { panic!("{:?}", became(3)) };
        assert_eq!(fault.mapping.as_deref(), Some("careless"));
        assert!(!explained.stuck(), "a dropped fault quarantines nothing");
        assert_eq!(explained.events().count(), 1);
    }

    #[test]
    fn a_record_that_cannot_be_decoded_or_mapped_is_stuck() {
        let pipeline = pipeline();
        let explained = explain(&pipeline, &record("{\"type\": "), &[]);
        assert!(explained.stuck() && explained.undecoded.is_some() && explained.mappings.is_empty());
        let explained = explain(&pipeline, &record(r#"{"type":"OrderPlaced","lines":[]}"#), &[]);
        assert!(explained.stuck() && explained.undecoded.is_none());
    }

    #[test]
    fn every_subscription_says_why_it_would_not_get_an_event() {
        let (pipeline, subscriptions) = (pipeline(), subscriptions());
        let explained = explain(&pipeline, &record(PLACED), &subscriptions);
        let event = explained.events().next().unwrap();
        let why = |id: &str| {
            let verdict = event.verdicts.iter().find(|verdict| verdict.subscription.id == id).unwrap();
            verdict.why_not.as_ref().map(ToString::to_string)
        };
        assert_eq!(why("gets"), None);
        let told = |id: &str| why(id).unwrap();
        assert_eq!(told("other-tenant"), "it sees only events of tenant m-2, and the event is of tenant m-1");
        assert_eq!(told("no-tenant"), "it sees only events without tenant, and the event is of tenant m-1");
        assert_eq!(told("other-type"), "its types do not match: com.acme.paid, org.**");
        assert_eq!(told("filtered"), "its filter is false: event.data.total > 1000");
        assert!(told("broken-filter").starts_with("its filter fails: "), "{}", told("broken-filter"));
        assert_eq!(told("other-region"), r#"its filters are false: [{"not":{"prefix":{"type":"com.acme."}}}]"#);
        assert!(told("unreadable").starts_with("it cannot be read: a segment is empty"));
        assert_eq!(told("disabled"), "it is disabled: the endpoint answered 410 Gone");
    }

    #[test]
    fn the_dry_run_says_what_the_index_does() {
        let (pipeline, subscriptions) = (pipeline(), subscriptions());
        let ready: Vec<&Subscription> =
            subscriptions.iter().filter(|s| s.status.state == State::Active && s.id != "unreadable").collect();
        let candidate = |subscription: &&Subscription| Candidate {
            tenant: subscription.tenant.clone(),
            patterns: Pattern::parse_list(subscription.types.iter().map(String::as_str)).unwrap(),
            dialects: subscription.filters.as_ref().map(|list| Dialects::compile(list).unwrap()).unwrap_or_default(),
            filter: subscription.filter.as_deref().map(|text| Filter::compile(text).unwrap()),
        };
        let index = Index::build(ready.iter().map(candidate).collect());
        for value in [PLACED, r#"{"type":"OrderViewed","lines":[{"total":5000},{"sku":"a"}]}"#] {
            let explained = explain(&pipeline, &record(value), &subscriptions);
            assert!(explained.events().count() > 0);
            for event in explained.events() {
                let told: Vec<_> =
                    event.verdicts.iter().filter(|v| v.why_not.is_none()).map(|v| v.subscription.id.as_str()).collect();
                let found: Vec<_> = index.matches(&event.event).into_iter().map(|at| ready[at].id.as_str()).collect();
                assert_eq!(told, found);
            }
        }
    }
}
