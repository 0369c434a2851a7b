//! Who gets an event, among all candidates: tenant, then type, then filter.
//!
//! What an event costs grows with those it matches, not with those it does not: other tenants are never looked at,
//! exact types are one look-up, and patterns with stars lie in a trie of segments through which the event's type is
//! led once, whatever their number. Filters are asked last, over one view of the event.

use crate::matching::dialect::Dialects;
use crate::matching::filter::{Filter, View};
use crate::matching::pattern::{Pattern, Segment};
use crate::model::event::IntegrationEvent;
use crate::model::subscription::Tenant;
use std::collections::HashMap;

/// What one subscription asks for.
#[derive(Debug)]
pub struct Candidate {
    /// Whose events it sees.
    pub tenant: Tenant,
    /// The types it wants: one that matches is enough.
    pub patterns: Vec<Pattern>,
    /// What its attributes must be.
    pub dialects: Dialects,
    /// What else must hold.
    pub filter: Option<Filter>,
}

/// All candidates, ready to be asked. Immutable: a change builds a new one.
#[derive(Debug, Default)]
pub struct Index {
    wants: Vec<(Dialects, Option<Filter>)>,
    tenants: HashMap<String, Types>,
    without: Types,
    all: Types,
}

/// The candidates that see the same events, by type.
#[derive(Debug, Default)]
struct Types {
    exact: HashMap<String, Vec<u32>>,
    trie: Trie,
}

/// Patterns with stars; node 0 is where all begin, if there is any.
#[derive(Debug, Default)]
struct Trie(Vec<Node>);

#[derive(Debug, Default)]
struct Node {
    literal: HashMap<Box<str>, u32>,
    one: Option<u32>,
    any: Option<u32>,
    /// Reached by `**`: takes any segment and stays.
    stays: bool,
    /// Whose pattern ends here.
    ends: Vec<u32>,
}

// === impl Index ===

impl Index {
    /// Builds the index; a candidate's position in `candidates` is its name.
    #[must_use]
    pub fn build(candidates: Vec<Candidate>) -> Self {
        let mut index = Self::default();
        for (position, candidate) in (0..).zip(candidates) {
            let types = match candidate.tenant {
                Tenant::None => &mut index.without,
                Tenant::All => &mut index.all,
                Tenant::One(tenant) => index.tenants.entry(tenant).or_default(),
            };
            for pattern in &candidate.patterns {
                types.add(pattern, position);
            }
            index.wants.push((candidate.dialects, candidate.filter));
        }
        index
    }

    /// The positions of those who get `event`, ascending. A filter that cannot be evaluated does not match.
    #[must_use]
    pub fn matches(&self, event: &IntegrationEvent) -> Vec<usize> {
        let of_tenant = match &event.tenant {
            Some(tenant) => self.tenants.get(tenant),
            None => Some(&self.without),
        };
        let mut found = Vec::new();
        for types in of_tenant.into_iter().chain([&self.all]) {
            types.find(&event.event_type, &mut found);
        }
        found.sort_unstable();
        found.dedup(); // several patterns of one candidate may match
        let mut view = None;
        let positions = found.into_iter().map(|position| position as usize);
        let wanted = positions.filter(|position| match &self.wants[*position] {
            (dialects, _) if !dialects.matches(event) => false,
            (_, Some(filter)) => filter.test(view.get_or_insert_with(|| View::of(event))).unwrap_or(false),
            (_, None) => true,
        });
        wanted.collect()
    }
}

// === impl Types ===

impl Types {
    fn add(&mut self, pattern: &Pattern, position: u32) {
        match pattern.exact() {
            Some(event_type) => self.exact.entry(event_type).or_default().push(position),
            None => self.trie.add(pattern.segments(), position),
        }
    }

    fn find(&self, event_type: &str, found: &mut Vec<u32>) {
        if let Some(positions) = self.exact.get(event_type) {
            found.extend(positions);
        }
        self.trie.find(event_type, found);
    }
}

// === impl Trie ===

impl Trie {
    fn add(&mut self, segments: &[Segment], position: u32) {
        if self.0.is_empty() {
            self.0.push(Node::default());
        }
        let mut at = 0;
        for segment in segments {
            let new = self.0.len() as u32;
            let node = &mut self.0[at as usize];
            let next = match segment {
                Segment::Literal(text) => *node.literal.entry(text.clone()).or_insert(new),
                Segment::One => *node.one.get_or_insert(new),
                Segment::Any => *node.any.get_or_insert(new),
            };
            if next == new {
                self.0.push(Node { stays: *segment == Segment::Any, ..Node::default() });
            }
            at = next;
        }
        self.0[at as usize].ends.push(position);
    }

    /// Leads the type through the trie: all nodes that its segments so far can have reached, step by step.
    fn find(&self, event_type: &str, found: &mut Vec<u32>) {
        if self.0.is_empty() {
            return;
        }
        let (mut here, mut next) = (Vec::new(), Vec::new());
        self.reach(0, &mut here);
        for segment in event_type.split('.') {
            for &at in &here {
                let node = &self.0[at as usize];
                if node.stays {
                    next.push(at);
                }
                if let Some(&after) = node.literal.get(segment) {
                    self.reach(after, &mut next);
                }
                if let (Some(after), false) = (node.one, segment.is_empty()) {
                    self.reach(after, &mut next);
                }
            }
            // Two ways may lead to one node: taking it twice would double the work at every further `**`.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut here, &mut next);
            next.clear();
        }
        found.extend(here.iter().flat_map(|&at| &self.0[at as usize].ends));
    }

    /// Adds a node, and those behind it that need no segment.
    fn reach(&self, mut at: u32, into: &mut Vec<u32>) {
        into.push(at);
        while let Some(any) = self.0[at as usize].any {
            into.push(any);
            at = any;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EventId;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;
    use std::time::Instant;

    fn event(event_type: &str, tenant: Option<&str>) -> IntegrationEvent {
        let now = Timestamp::from_millis(0);
        IntegrationEvent {
            id: EventId::from_bytes([1; 16]),
            origin: Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: now },
            mapping: "m".into(),
            ord: 0,
            source: "/s".into(),
            event_type: event_type.into(),
            subject: None,
            time: now,
            tenant: tenant.map(Into::into),
            key: None,
            traceparent: None,
            extensions: Vec::new(),
            data: json!({"total": 150}),
        }
    }

    fn candidate(tenant: Tenant, patterns: &[&str]) -> Candidate {
        Candidate {
            tenant,
            patterns: Pattern::parse_list(patterns.iter().copied()).unwrap(),
            dialects: Dialects::default(),
            filter: None,
        }
    }

    fn sees(tenant: &Tenant, event: &IntegrationEvent) -> bool {
        match tenant {
            Tenant::All => true,
            Tenant::None => event.tenant.is_none(),
            Tenant::One(tenant) => event.tenant.as_ref() == Some(tenant),
        }
    }

    fn one() -> impl Strategy<Value = Candidate> {
        let tenant = prop_oneof![
            Just(Tenant::None),
            Just(Tenant::All),
            prop::sample::select(vec!["a", "b"]).prop_map(|tenant| Tenant::One(tenant.into())),
        ];
        let pattern = "(a|b|\\*|\\*\\*)(\\.(a|b|\\*|\\*\\*)){0,4}".prop_map(|text| Pattern::parse(&text).unwrap());
        (tenant, prop::collection::vec(pattern, 1..4)).prop_map(|(tenant, patterns)| Candidate {
            tenant,
            patterns,
            dialects: Dialects::default(),
            filter: None,
        })
    }

    proptest! {
        #[test]
        fn the_index_finds_whom_asking_everybody_finds(
            candidates in prop::collection::vec(one(), 0..30),
            types in prop::collection::vec("(a|b|)(\\.(a|b|)){0,5}", 1..10),
            tenant in prop::option::of(prop::sample::select(vec!["a", "b", "c", "*", ""])),
        ) {
            let events: Vec<_> = types.iter().map(|event_type| event(event_type, tenant)).collect();
            let asked: Vec<Vec<usize>> = events.iter().map(|event| {
                let gets = |candidate: &Candidate| {
                    sees(&candidate.tenant, event)
                        && candidate.patterns.iter().any(|pattern| pattern.matches(&event.event_type))
                };
                (0..).zip(&candidates).filter(|(_, c)| gets(c)).map(|(position, _)| position).collect()
            }).collect();
            let index = Index::build(candidates);
            for (event, asked) in events.iter().zip(asked) {
                prop_assert_eq!(index.matches(event), asked);
            }
        }
    }

    #[test]
    fn a_tenant_sees_its_own_events_only() {
        let index = Index::build(vec![
            candidate(Tenant::One("m-1".into()), &["**"]),
            candidate(Tenant::One("m-2".into()), &["**"]),
            candidate(Tenant::None, &["**"]),
            candidate(Tenant::All, &["**"]),
        ]);
        assert_eq!(index.matches(&event("a", Some("m-1"))), [0, 3]);
        assert_eq!(index.matches(&event("a", Some("m-3"))), [3]);
        assert_eq!(index.matches(&event("a", None)), [2, 3]);
        assert_eq!(index.matches(&event("a", Some("*"))), [3]);
        assert!(Index::default().matches(&event("a", None)).is_empty());
    }

    #[test]
    fn a_candidate_of_many_patterns_is_found_once() {
        let index = Index::build(vec![candidate(Tenant::None, &["a.b", "a.*", "a.**", "**.b", "**.**"])]);
        assert_eq!(index.matches(&event("a.b", None)), [0]);
    }

    #[test]
    fn what_an_event_costs_does_not_grow_with_the_subscriptions_of_others() {
        let of = |tenant: usize, i: usize| {
            let tenant = Tenant::One(format!("m-{tenant}"));
            candidate(tenant, &[&format!("com.acme.kind{i}.placed"), &format!("com.acme.kind{i}.*.v1")])
        };
        let index = Index::build((0..100_000).map(|n| of(n % 1_000, n / 1_000)).collect());
        let event = event("com.acme.kind7.paid.v1", Some("m-500"));
        assert_eq!(index.matches(&event), [7_500]);
        // The budget is 10 us in a release build; asking everybody would take tens of milliseconds here.
        let begun = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(index.matches(&event).len(), 1);
        }
        assert!(begun.elapsed().as_micros() < 500_000, "{:?} for 1,000 events", begun.elapsed());
    }
}
