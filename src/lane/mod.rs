//! One subscription: offers and outcomes in, attempts and durable changes out; places live, behind and joining.
//!
//! Pure and synchronous: `now` and dice come with each call ([`signal::Turn`]), what the lane wants done goes out as
//! [`signal::Effect`]s. It knows no HTTP, no store, no progress. How loops use it, under the lane's lock:
//! - effects are followed in their order, at once; `Write` batches reach the store in that order, one atomic batch
//!   each. Durable: `flushed`, then its `settles`. Each `Park` that is encoded: `weigh`, at once.
//! - intake: `open` for lanes with rows on a partition that comes; `offer` each group, then move the position; `join`
//!   between two records, when a reader asks for it; `committed` on an acknowledged commit, at `open` too. One that goes:
//!   `stop`, wait for `in_flight`, `close`, all durable, commit, `forget`. A lost one: `forget` alone.
//! - dispatch: `start` until `None`, then `finished` (`buried`, `unreadable`); `tick` at `wake_at`; obeys `Cut`.
//! - catch-up: on `Read` asks `riders`; `scan_offer` and `passed` as it reads, on `Ride::Off` and `Live` lets the
//!   rider go; `stranded` when reading fails, `overtaken` when the log begins later.
//! - `subscriptions`: a status is durable first, then `pause`, `resume`, `disable`, `configure`, `delete`.

pub mod backoff;
mod breaker;
mod cursor;
mod domains;
mod flights;
pub mod gate;
mod join;
mod latency;
mod ledger;
mod letters;
mod offer;
mod operate;
mod outcome;
mod park;
pub mod partition;
mod patience;
mod place;
mod places;
mod queue;
mod rate;
pub mod settings;
pub mod signal;
mod slots;
mod start;
pub mod state;
pub mod verdict;
pub mod vitals;
mod window;

#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use crate::lane::world::drive::World;
    use crate::lane::world::log::{Step, settings};
    use crate::model::subscription::Ordering;
    use proptest::prelude::*;

    /// Steps of a mood: much death, or much joining, or neither.
    fn step(kill: u32, join: u32) -> impl Strategy<Value = Step> {
        let p = 0..3usize;
        prop_oneof![
            10 => p.clone().prop_map(Step::Admit),
            12 => Just(Step::Start),
            3 => any::<usize>().prop_map(Step::Accept),
            12 => (any::<usize>(), any::<u8>()).prop_map(|(n, what)| Step::Finish(n, what)),
            1 => (any::<usize>(), any::<u8>()).prop_map(|(n, what)| Step::Late(n, what)),
            4 => (1..6_000u32).prop_map(Step::Wait),
            8 => (1..4usize).prop_map(Step::Flush),
            1 => Just(Step::Settle),
            3 => p.clone().prop_map(Step::Commit),
            6 => (p.clone(), 1..4usize).prop_map(|(p, records)| Step::Scan(p, records)),
            1 => p.clone().prop_map(Step::Strand),
            join => p.clone().prop_map(Step::Join),
            kill => (0..6usize).prop_map(Step::Kill),
            1 => p.clone().prop_map(Step::Stop),
            1 => p.clone().prop_map(Step::Close),
            1 => p.clone().prop_map(Step::Lose),
            1 => Just(Step::Pause),
            2 => Just(Step::Resume),
            2 => Just(Step::Shed),
            2 => Just(Step::Forget),
            1 => Just(Step::Confine),
            1 => (p, 0..4i64, 1..5i64).prop_map(|(p, from, length)| Step::Replay(p, from, length)),
        ]
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let moods = prop_oneof![Just((1, 3)), Just((6, 3)), Just((1, 15)), Just((4, 12))];
        moods.prop_flat_map(|(kill, join)| prop::collection::vec(step(kill, join), 1..180))
    }

    fn logs() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let record = prop_oneof![
            1 => Just(Vec::new()),
            6 => prop::collection::vec(0..3u8, 1..3),
            1 => prop::collection::vec(0..3u8, 3..6),
        ];
        prop::collection::vec(prop::collection::vec(record, 1..9), 1..3)
    }

    fn cases() -> u32 {
        std::env::var_os("PROPTEST_CASES").and_then(|cases| cases.to_str()?.parse().ok()).unwrap_or(200)
    }

    fn run(ordering: Ordering, variant: u8, logs: Vec<Vec<Vec<u8>>>, steps: Vec<Step>) {
        let mut world = World::new(settings(ordering, variant), logs);
        steps.into_iter().for_each(|step| world.apply(step));
        world.heal();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

        #[test]
        fn with_order_per_key_nothing_is_lost_and_order_is_kept(
            variant in 0..8u8, logs in logs(), steps in steps(),
        ) {
            run(Ordering::Key, variant, logs, steps);
        }

        #[test]
        fn order_may_be_asked_for_and_given_up_at_any_time(
            variant in 0..8u8, logs in logs(), steps in prop::collection::vec(prop_oneof![12 => step(3, 6), 1 => Just(Step::Reorder)], 1..180),
        ) {
            run(Ordering::None, variant, logs, steps);
        }

        #[test]
        fn without_order_nothing_is_lost(
            variant in 0..8u8, logs in logs(), steps in steps(),
        ) {
            run(Ordering::None, variant, logs, steps);
        }
    }
}
