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
