//! The places of one lane, by number and by partition.

use crate::lane::place::Place;
use crate::lane::signal::{PlaceKey, WriteId};
use crate::model::record::TopicPartition;
use std::collections::HashMap;

/// The places of one lane. A number stays the same from `open` to `close`.
#[derive(Debug, Default)]
pub(crate) struct Places {
    all: Vec<Option<Place>>,
    of: HashMap<TopicPartition, Vec<(u128, u32)>>,
    /// Batches before this one belong to an earlier life of the partition.
    begun: HashMap<TopicPartition, WriteId>,
    away: usize,
}

// === impl Places ===

impl Places {
    pub(crate) fn find(&self, at: &TopicPartition, stream: u128) -> Option<u32> {
        self.of.get(at)?.iter().find(|(of, _)| *of == stream).map(|(_, number)| *number)
    }

    pub(crate) fn add(&mut self, place: Place) -> u32 {
        let PlaceKey { at, stream } = place.key.clone();
        let number = match self.all.iter().position(Option::is_none) {
            Some(free) => {
                self.all[free] = Some(place);
                free
            }
            None => {
                self.all.push(Some(place));
                self.all.len() - 1
            }
        };
        let number = u32::try_from(number).expect("fewer places than partitions and replays");
        self.of.entry(at).or_default().push((stream, number));
        number
    }

    /// The place with this number.
    ///
    /// # Panics
    /// It was removed. What refers to a place is removed with it.
    pub(crate) fn get(&mut self, number: u32) -> &mut Place {
        self.all[number as usize].as_mut().expect("what refers to a place is removed with it")
    }

    pub(crate) fn at(&self, number: u32) -> &Place {
        self.all[number as usize].as_ref().expect("what refers to a place is removed with it")
    }

    /// How many are not live.
    pub(crate) fn away(&self) -> usize {
        self.away
    }

    /// Counts again how many are not live; after each change of a stand.
    pub(crate) fn recount(&mut self) {
        self.away = self.iter().filter(|(_, place)| !place.is_live()).count();
    }

    /// The numbers of all places.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        (0u32..).zip(&self.all).filter(|(_, place)| place.is_some()).map(|(number, _)| number).collect()
    }

    /// The numbers of the places on `at`.
    pub(crate) fn on(&self, at: &TopicPartition) -> Vec<u32> {
        self.of.get(at).map(|all| all.iter().map(|(_, number)| *number).collect()).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Place)> {
        (0u32..).zip(&self.all).filter_map(|(number, place)| Some((number, place.as_ref()?)))
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Place> {
        let place = self.all[number as usize].take()?;
        if let Some(of) = self.of.get_mut(&place.key.at) {
            of.retain(|(_, other)| *other != number);
            if of.is_empty() {
                self.of.remove(&place.key.at);
            }
        }
        Some(place)
    }

    /// Batches up to `last` mean nothing to `at` any more (INV-14).
    pub(crate) fn begin(&mut self, at: &TopicPartition, last: WriteId) {
        self.begun.insert(at.clone(), last);
    }

    /// Whether a batch belongs to the present life of `at`.
    pub(crate) fn lives(&self, at: &TopicPartition, write: WriteId) -> bool {
        self.begun.get(at).is_none_or(|begun| write > *begun)
    }
}
