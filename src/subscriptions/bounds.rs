//! What all lanes may hold together: where a bound is reached, the lane that holds most gives way, and the others go on
//! (protocol section 10).

use crate::subscriptions::cell::Cell;
use std::sync::Arc;
use tracing::{info, warn};

/// Rows of all ledgers, whose heads are in memory: about 200 bytes each, so some 20 MiB.
const ROWS: usize = 100_000;

/// Keeps the ledgers of all lanes to their bound.
pub struct Ledgers {
    most: usize,
    /// How many rows there were when lanes last had to give way.
    last: usize,
}

// === impl Ledgers ===

impl Default for Ledgers {
    fn default() -> Self {
        Self { most: ROWS, last: 0 }
    }
}

impl Ledgers {
    /// With so many `rows` in all: at the bound the lane with most of them shuts its gate until half of its own are gone.
    /// While they grow still, so does each lane that holds its share or more. So all of them together stay below twice
    /// the bound, however many lanes there are; whoever holds little goes on, and while nothing grows nobody else is
    /// touched.
    pub fn look<'a, C: Iterator<Item = &'a Arc<Cell>>>(&mut self, rows: usize, cells: impl FnOnce() -> C) {
        if rows < self.most {
            self.last = 0;
            return;
        }
        let before = self.last;
        self.last = before.max(rows);
        if rows <= before {
            return;
        }
        let held = |cell: &Arc<Cell>| cell.act(|lane, _| (lane.rows(), lane.full()));
        let all = cells().map(|cell| (held(cell), cell)).filter(|((held, _), _)| *held > 0).collect::<Vec<_>>();
        let share = self.most / all.len().max(1);
        let open = all.into_iter().filter_map(|((held, full), cell)| full.is_none().then_some((held, cell)));
        let mut open = open.collect::<Vec<_>>();
        open.sort_unstable_by_key(|(held, _)| std::cmp::Reverse(*held));
        for (nth, (held, cell)) in open.into_iter().enumerate() {
            if nth > 0 && (before < self.most || held < share) {
                return;
            }
            warn!(subscription = %cell.sid, rows, held, "the ledgers of all are full together; its is among the largest");
            cell.act(|lane, turn| lane.confine(turn));
        }
    }
}

/// Memory is short: what is queued for the lane that queues most is left to its cursor, and read again later.
pub fn shed<'a>(cells: impl Iterator<Item = &'a Arc<Cell>>) {
    let queued = cells.map(|cell| (cell.act(|lane, _| lane.queued_bytes()), cell));
    if let Some((bytes, cell)) = queued.max_by_key(|(bytes, _)| *bytes).filter(|(bytes, _)| *bytes > 0) {
        info!(subscription = %cell.sid, bytes, "memory is short: what is queued for it is read again later");
        cell.act(|lane, turn| lane.shed(turn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::guard::Guard;
    use crate::egress::settings::EgressSettings;
    use crate::lane::gate::{Gate, Shut};
    use crate::lane::signal::Group;
    use crate::metrics::Metrics;
    use crate::model::delivery::{LedgerHead, LedgerKey};
    use crate::model::event::Emitted;
    use crate::model::event::tests::event;
    use crate::model::record::TopicPartition;
    use crate::progress::partitions::Partitions;
    use crate::runtime::clock;
    use crate::store::Store;
    use crate::store::memory::Memory;
    use crate::subscriptions::cell::Hands;
    use crate::subscriptions::{Directory, written};
    use crate::yaml::node::Node;
    use serde_json::json;

    fn at() -> TopicPartition {
        TopicPartition { topic: "t".into(), partition: 0 }
    }

    /// So many lanes that only collect, for nobody makes attempts.
    async fn lanes(many: usize) -> (Arc<Directory>, Vec<Arc<Cell>>) {
        let store = Store::over(Memory::default(), Box::new(|| Ok(u64::MAX)), 1).unwrap();
        let hands = Arc::new(Hands::new(store, Arc::new(Partitions::default()), Metrics::new()));
        let directory = Directory::load(hands, Default::default()).unwrap();
        let body = json!({ "url": "https://example.com/hooks", "types": ["t.**"] });
        let guard = Guard::new(EgressSettings::default());
        for _ in 0..many {
            let made = written::create(&Node::from_json(&"test".into(), &body), &guard, clock::now()).unwrap();
            directory.create(made, Vec::new()).await.unwrap();
        }
        let cells = directory.snapshot().iter().map(|entry| Arc::clone(&entry.cell)).collect();
        (directory, cells)
    }

    fn owes(cell: &Arc<Cell>, offsets: std::ops::Range<i64>) {
        let (first, due) = (clock::now(), clock::now().after(std::time::Duration::from_secs(60)));
        let head = LedgerHead { attempts: 1, first, due, last: None, ordering_key: None, body_len: 9 };
        let row = |offset| (LedgerKey::of(&event(offset, json!(1)), cell.sid), head.clone());
        cell.act(|lane, turn| lane.adopt(offsets.map(row).collect(), turn));
    }

    fn gates(cells: &[Arc<Cell>]) -> Vec<Gate> {
        cells.iter().map(|cell| cell.act(|lane, _| lane.gate())).collect()
    }

    #[tokio::test]
    async fn above_the_bound_of_all_ledgers_the_largest_gives_way_and_the_others_go_on() {
        const FULL: Gate = Gate::Shut(Shut::LedgerFull);
        let (directory, cells) = lanes(3).await;
        let mut ledgers = Ledgers { most: 8, last: 0 };
        let mut look = || ledgers.look(directory.hands().ledger_rows(), || cells.iter());
        owes(&cells[0], 0..4);
        owes(&cells[1], 0..3);
        look();
        assert_eq!((directory.hands().ledger_rows(), gates(&cells)), (7, vec![Gate::Open; 3]));
        owes(&cells[1], 3..5);
        look();
        assert_eq!(gates(&cells), [Gate::Open, FULL, Gate::Open], "it has most");
        look();
        assert_eq!(gates(&cells), [Gate::Open, FULL, Gate::Open], "nothing grows: nobody else has to");
        owes(&cells[0], 4..5);
        look();
        assert_eq!(gates(&cells), [FULL, FULL, Gate::Open], "who owes nothing is never touched");
        cells.iter().for_each(|cell| cell.act(|lane, turn| lane.forget(&at(), turn)));
        assert_eq!((directory.hands().ledger_rows(), gates(&cells)), (0, vec![Gate::Open; 3]));
        look();
        owes(&cells[2], 0..8);
        look();
        assert_eq!(gates(&cells), [Gate::Open, Gate::Open, FULL], "and the same again");
    }

    #[tokio::test]
    async fn what_many_small_ledgers_add_together_ends_too() {
        let (directory, cells) = lanes(20).await;
        let mut ledgers = Ledgers { most: 20, last: 0 };
        for round in 0..10 {
            // Whoever is let adds a row in each round.
            for cell in cells.iter().filter(|cell| cell.act(|lane, _| lane.gate() == Gate::Open)) {
                owes(cell, round..round + 1);
            }
            ledgers.look(directory.hands().ledger_rows(), || cells.iter());
        }
        assert!(directory.hands().ledger_rows() <= 40, "{}", directory.hands().ledger_rows());
    }

    #[tokio::test]
    async fn when_memory_is_short_the_lane_that_queues_most_leaves_it_to_its_cursor() {
        let (_directory, cells) = lanes(3).await;
        let large = Arc::new(Emitted::new(event(1, json!("x".repeat(5_000)))));
        let small = |offset| Arc::new(Emitted::new(event(offset, json!(1))));
        for (cell, events) in [(&cells[0], vec![small(1), small(2), small(3)]), (&cells[1], vec![large])] {
            for event in events {
                let offset = event.event.origin.offset;
                cell.act(|lane, turn| lane.offer(&at(), Group { epoch: 1, offset, events: vec![event] }, turn));
            }
        }
        shed(cells.iter());
        let state = |cell: &Arc<Cell>| cell.act(|lane, _| (lane.queued(), lane.counts().behind));
        assert_eq!(cells.iter().map(state).collect::<Vec<_>>(), [(3, 0), (0, 1), (0, 0)]);
        shed(cells.iter());
        assert_eq!(state(&cells[0]), (0, 1));
        shed(cells.iter()); // nothing is queued: nobody is put behind
        assert_eq!(state(&cells[2]), (0, 0));
    }
}
