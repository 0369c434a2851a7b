//! One record passing through one mapping: a domain event becomes integration events, or a fault.
//!
//! Pure and bounded: the same record gives the same events with the same ids (P2). The order is `when`, `let`,
//! `each`, `emit`; what names `item` or `index` runs once for each item, all else once.

use crate::expr::expression::Expression;
use crate::expr::failure::Failure;
use crate::expr::limits::{Budget, Limits};
use crate::expr::scope::Scope;
use crate::expr::text::Text;
use crate::map::attribute;
use crate::map::error;
use crate::map::mapping::{Attribute, Each, Let, Mapping};
use crate::map::surroundings::Surroundings;
use crate::model::event::IntegrationEvent;
use crate::model::id::EventId;
use crate::model::quarantine::{Fault, FaultReason, shortened};
use serde_json::Value;
use std::cell::OnceCell;
use std::sync::Arc;

/// The most items of one `each`, and events that a mapping makes of one record; what is longer is no list of things to announce.
pub(crate) const MAX_ITEMS: usize = 10_000;

/// One domain event passing through one mapping.
struct Run<'r> {
    mapping: &'r Mapping,
    around: &'r Surroundings<'r>,
    budget: &'r mut Budget,
    events: &'r mut Vec<IntegrationEvent>,
}

/// The events that a mapping makes of the domain events of a record, those in place of their `ord`; none when `when` says no.
pub(crate) fn run(mapping: &Mapping, record: &[Surroundings<'_>]) -> Result<Vec<IntegrationEvent>, Fault> {
    // A budget of its own: what one mapping spends does not fail the next one.
    let (mut budget, mut events) = (Budget::new(&Limits::default()), Vec::new());
    for around in record {
        Run { mapping, around, budget: &mut budget, events: &mut events }.record()?;
    }
    Ok(events)
}

// === impl Run ===

impl Run<'_> {
    fn record(&mut self) -> Result<(), Fault> {
        let mapping = self.mapping;
        let around = self.around;
        let slots = slots(&mapping.lets);
        let mut scope = around.scope(mapping.uses);
        if !self.test(mapping.when.as_ref(), &scope)? {
            return Ok(());
        }
        self.bind(&mapping.lets, &slots, &mut scope)?;
        let Some(each) = &mapping.each else {
            return self.emit(0, &scope);
        };
        for (index, item) in self.items(each, &scope)?.iter().enumerate() {
            self.item(each, (index, item), &scope)?;
        }
        Ok(())
    }

    fn items(&mut self, each: &Each, scope: &Scope<'_>) -> Result<Vec<Value>, Fault> {
        let name = &self.mapping.name;
        match each.list.eval(scope, self.budget).map_err(|failure| error::failed(name, "each", failure))? {
            Value::Array(items) if items.len() <= MAX_ITEMS => Ok(items),
            Value::Array(items) => {
                let what = format!("the list has {} items, and {MAX_ITEMS} are the most", items.len());
                Err(error::failed(name, "each", Failure::limit(what).of(each.list.source())))
            }
            other => {
                let what = format!("must be a list, not {}", attribute::kind(&other));
                Err(error::failed(name, "each", Failure::fault(what).of(each.list.source())))
            }
        }
    }

    fn item(&mut self, each: &Each, (index, item): (usize, &Value), scope: &Scope<'_>) -> Result<(), Fault> {
        let position = Value::from(index);
        let slots = slots(&each.lets);
        let mut scope = scope.child();
        scope.bind("item", item);
        scope.bind("index", &position);
        if !self.test(each.when.as_ref(), &scope)? {
            return Ok(());
        }
        self.bind(&each.lets, &slots, &mut scope)?;
        self.emit(u32::try_from(index).expect("an index is below MAX_ITEMS"), &scope)
    }

    fn test(&mut self, when: Option<&Expression>, scope: &Scope<'_>) -> Result<bool, Fault> {
        let Some(when) = when else { return Ok(true) };
        when.test(scope, self.budget).map_err(|failure| error::failed(&self.mapping.name, "when", failure))
    }

    fn bind<'s>(&mut self, lets: &'s [Let], slots: &'s [OnceCell<Value>], scope: &mut Scope<'s>) -> Result<(), Fault> {
        for (Let { name, value }, slot) in lets.iter().zip(slots) {
            let value = value.eval(scope, self.budget);
            let value = value.map_err(|f| error::failed(&self.mapping.name, &format!("let.{name}"), f))?;
            scope.bind(name, slot.get_or_init(|| value));
        }
        Ok(())
    }

    fn emit(&mut self, index: u32, scope: &Scope<'_>) -> Result<(), Fault> {
        let emit = &self.mapping.emit;
        if self.events.len() >= MAX_ITEMS {
            let what = format!("more than {MAX_ITEMS} events of one record");
            return Err(error::failed(&self.mapping.name, "emit", Failure::limit(what)));
        }
        let member = self.around.event.member;
        let origin = &self.around.event.record.origin;
        let time = self.value(emit.time.as_ref(), scope, ("emit.time", |value| attribute::time(&value)))?;
        let name: Check<Option<String>> = attribute::name;
        let key = match &emit.key {
            None => self.around.own_key(),
            key => self.value(key.as_ref(), scope, ("emit.key", name))?.flatten(),
        };
        let event = IntegrationEvent {
            id: EventId::derive(origin, &self.mapping.name, member * MAX_ITEMS as u32 + index),
            origin: origin.clone(),
            mapping: Arc::clone(&self.mapping.name),
            ord: member,
            source: match &emit.source {
                None => self.around.own_source(),
                Some(source) => self.attribute(source, scope, ("emit.source", attribute::source))?,
            },
            event_type: self.attribute(&emit.event_type, scope, ("emit.type", attribute::text))?,
            subject: self.value(emit.subject.as_ref(), scope, ("emit.subject", name))?.flatten(),
            time: time.unwrap_or(origin.timestamp),
            tenant: self.value(emit.tenant.as_ref(), scope, ("emit.tenant", name))?.flatten(),
            key,
            traceparent: self.around.traceparent(),
            extensions: self.extensions(scope)?,
            data: match &emit.data {
                None => Value::Null,
                Some(data) => {
                    let data = data.render(scope, self.budget);
                    data.map_err(|failure| error::failed(&self.mapping.name, "emit.data", failure))?
                }
            },
        };
        self.events.push(event);
        Ok(())
    }

    fn extensions(&mut self, scope: &Scope<'_>) -> Result<Vec<(Arc<str>, Value)>, Fault> {
        let mapping = self.mapping;
        let mut extensions = Vec::with_capacity(mapping.emit.extensions.len());
        for (name, text) in &mapping.emit.extensions {
            let field = format!("emit.extensions.{name}");
            let value = self.value(Some(text), scope, (&field, attribute::extension))?;
            extensions.extend(value.flatten().map(|value| (Arc::clone(name), value)));
        }
        Ok(extensions)
    }

    fn attribute(
        &mut self,
        attribute: &Attribute,
        scope: &Scope<'_>,
        (field, check): (&str, Check<String>),
    ) -> Result<Arc<str>, Fault> {
        match attribute {
            Attribute::Fixed(text) => Ok(Arc::clone(text)),
            Attribute::Computed(text) => {
                let value = self.value(Some(text), scope, (field, check))?;
                Ok(value.expect("a text that is there has a value").into())
            }
        }
    }

    fn value<T>(
        &mut self,
        text: Option<&Text>,
        scope: &Scope<'_>,
        (field, check): (&str, Check<T>),
    ) -> Result<Option<T>, Fault> {
        let Some(text) = text else { return Ok(None) };
        let name = &self.mapping.name;
        let value = text.value(scope, self.budget).map_err(|failure| error::failed(name, field, failure))?;
        check(value).map(Some).map_err(|detail| Fault {
            reason: FaultReason::Event,
            mapping: Some(name.to_string()),
            field: Some(field.to_owned()),
            expression: Some(text.source().to_owned()),
            detail: shortened(detail),
        })
    }
}

/// Turns the value of an expression into an attribute, or says why it is none.
type Check<T> = fn(Value) -> Result<T, String>;

/// A place for the value of each `let`, which the scope then lends.
fn slots(lets: &[Let]) -> Vec<OnceCell<Value>> {
    lets.iter().map(|_| OnceCell::new()).collect()
}
