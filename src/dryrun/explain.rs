//! One record: what each mapping makes of it, who would get it, and why others would not.
//!
//! Takes the rules, a record and subscriptions; changes nothing, sends nothing.

use crate::dryrun::why_not::{self, WhyNot};
use crate::map::mapping::OnError;
use crate::model::event::{Emitted, IntegrationEvent};
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
    let mapped = match pipeline.mapped(record) {
        Ok(mapped) => mapped,
        Err(fault) => return Explanation { undecoded: Some(fault), mappings: Vec::new() },
    };
    let mut mapped = mapped.into_iter().peekable();
    let told = |name: &str| {
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
    Explanation { undecoded: None, mappings: pipeline.mappings().map(told).collect() }
}

fn judged(event: IntegrationEvent, subscriptions: &[Subscription]) -> Explained<'_> {
    let verdict =
        |subscription| Verdict { subscription, why_not: why_not::why_not(subscription, &event) };
    let verdicts = subscriptions.iter().map(verdict).collect();
    Explained { event, verdicts }
}
