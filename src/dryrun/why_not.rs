//! Why a subscription does not get an event.

use crate::matching::dialect::Dialects;
use crate::matching::filter::Filter;
use crate::matching::pattern::Pattern;
use crate::model::event::IntegrationEvent;
use crate::model::subscription::{State, Subscription, Tenant};

/// The first reason, in the order in which they are looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// It gets nothing at all.
    #[error("it is disabled{}", .0.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Disabled(Option<String>),
    /// It sees another tenant's events.
    #[error("it sees {}, and the event {}", seen(.sees), of(.event.as_deref()))]
    Tenant {
        /// Whose events it sees.
        sees: Tenant,
        /// Whose the event is.
        event: Option<String>,
    },
    /// None of its patterns matches the type.
    #[error("its types do not match: {}", .0.join(", "))]
    Type(Vec<String>),
    /// One of its filters in the dialects of CloudEvents Subscriptions says no.
    #[error("its filters are false: {0}")]
    Filters(String),
    /// Its filter says no.
    #[error("its filter is false: {0}")]
    Filter(String),
    /// Its filter cannot be answered for this event.
    #[error("its filter fails: {0}")]
    FilterFails(String),
    /// A pattern or its filter cannot be read by this version; it matches nothing.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// Why `subscription` does not get `event`; `None` when it does.
#[must_use]
pub fn why_not(subscription: &Subscription, event: &IntegrationEvent) -> Option<WhyNot> {
    // Who is unverified gets it, later.
    if matches!(subscription.status.state, State::Paused | State::Disabled) {
        return Some(WhyNot::Disabled(subscription.status.reason.clone()));
    }
    let patterns = match Pattern::parse_list(subscription.types.iter().map(String::as_str)) {
        Ok(patterns) => patterns,
        Err(error) => return Some(WhyNot::Unreadable(error.to_string())),
    };
    let filter = match subscription.filter.as_deref().map(Filter::compile).transpose() {
        Ok(filter) => filter,
        Err(error) => return Some(WhyNot::Unreadable(error.to_string())),
    };
    let dialects = match subscription.filters.as_ref().map(Dialects::compile).transpose() {
        Ok(dialects) => dialects.unwrap_or_default(),
        Err(mistakes) => return mistakes.first().map(|mistake| WhyNot::Unreadable(mistake.to_string())),
    };
    if !sees(&subscription.tenant, event.tenant.as_deref()) {
        return Some(WhyNot::Tenant { sees: subscription.tenant.clone(), event: event.tenant.clone() });
    }
    if !patterns.iter().any(|pattern| pattern.matches(&event.event_type)) {
        return Some(WhyNot::Type(subscription.types.clone()));
    }
    if !dialects.matches(event) {
        return subscription.filters.as_ref().map(|filters| WhyNot::Filters(filters.to_string()));
    }
    match filter?.matches(event) {
        Ok(true) => None,
        Ok(false) => Some(WhyNot::Filter(subscription.filter.clone().unwrap_or_default())),
        Err(error) => Some(WhyNot::FilterFails(error.to_string())),
    }
}

fn sees(tenant: &Tenant, event: Option<&str>) -> bool {
    match tenant {
        Tenant::All => true,
        Tenant::None => event.is_none(),
        Tenant::One(tenant) => event == Some(tenant),
    }
}

fn seen(tenant: &Tenant) -> String {
    match tenant {
        Tenant::All => "all events".into(),
        Tenant::None => "only events without tenant".into(),
        Tenant::One(tenant) => format!("only events of tenant {tenant}"),
    }
}

fn of(tenant: Option<&str>) -> String {
    tenant.map_or("has none".into(), |tenant| format!("is of tenant {tenant}"))
}
