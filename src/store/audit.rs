//! Reads every row of a store whose daemon is stopped, and says what does not fit: rows that cannot be read, a head
//! without its body, a body without its head, rows of nobody.
//!
//! Takes one row at a time and remembers subscriptions and topics only. It changes no row.

use crate::model::delivery::LedgerKey;
use crate::model::id::Sid;
use crate::store::engine::{self, Engine, Tree};
use crate::store::error::{StoreError, hex};
use crate::store::key::{
    self, COMMIT, CURSOR, DEAD, DEAD_BODY, FAILING, LEDGER, LEDGER_BODY, OUTBOX, QUARANTINE, QUARANTINE_BODY, RANGE,
};
use crate::store::quarantine::QuarantineForm;
use crate::store::reader::Reader;
use crate::store::row::{self, CommitForm, CursorForm, DeadForm, EventForm, HeadForm, RangeForm};
use crate::store::seal::Seal;
use crate::store::settings::StoreSettings;
use crate::store::topics::{self, Topics};
use crate::store::upkeep::{self, Amount, Tell};
use crate::store::{batch, identity, outages, outbox, replays, subscriptions};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Findings that are told one by one; the rest is counted. Whoever has more has one cause, not a thousand.
const TOLD: usize = 100;

/// What a store holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The store's id.
    pub store: [u8; 16],
    /// Each kind of row, and how much there is of it.
    pub kinds: Vec<(&'static str, Amount)>,
    /// What does not fit; the first of each weight, at most 100 of it.
    pub findings: Vec<Finding>,
    /// How many findings say that something is wrong.
    pub wrong: u64,
    /// How many findings are leftovers.
    pub leftovers: u64,
}

/// A row that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub weight: Weight,
    /// Which row, and what is the matter with it.
    pub what: String,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A stop in the midst of a delete left it; the next start removes it.
    Leftover,
    /// It must not be.
    Wrong,
}

type Looked = Result<(), Misfit>;

/// A kind of row: how its keys begin, and what each must be like.
struct Kind {
    tree: Tree,
    prefix: &'static [u8],
    name: &'static str,
    look: fn(&Audit, &[u8], &[u8]) -> Looked,
}

/// Every kind of row that is written. One that is not here is told as wrong.
const KINDS: [Kind; 17] = [
    Kind { tree: Tree::Meta, prefix: identity::KEY, name: "store id", look: Audit::identity },
    Kind { tree: Tree::Meta, prefix: topics::PREFIX, name: "topics", look: Audit::topic },
    Kind { tree: Tree::Config, prefix: subscriptions::SUBSCRIPTION, name: "subscriptions", look: Audit::subscription },
    Kind { tree: Tree::Config, prefix: subscriptions::SECRET, name: "secrets", look: Audit::secret },
    Kind { tree: Tree::Config, prefix: replays::REPLAY, name: "replays", look: Audit::replay },
    Kind { tree: Tree::State, prefix: &[COMMIT], name: "copies of commits", look: Audit::commit },
    Kind { tree: Tree::State, prefix: &[CURSOR], name: "cursors", look: Audit::cursor },
    Kind { tree: Tree::State, prefix: &[LEDGER], name: "ledger", look: Audit::ledger },
    Kind { tree: Tree::State, prefix: &[LEDGER_BODY], name: "ledger bodies", look: Audit::body },
    Kind { tree: Tree::State, prefix: &[DEAD], name: "dead letters", look: Audit::dead },
    Kind { tree: Tree::State, prefix: &[DEAD_BODY], name: "dead letter bodies", look: Audit::body },
    Kind { tree: Tree::State, prefix: &[FAILING], name: "outages", look: Audit::outage },
    Kind { tree: Tree::State, prefix: &[OUTBOX], name: "operational events", look: Audit::operational },
    Kind { tree: Tree::State, prefix: &[RANGE], name: "lost ranges", look: Audit::range },
    Kind { tree: Tree::State, prefix: &[QUARANTINE], name: "quarantine", look: Audit::quarantine },
    Kind { tree: Tree::State, prefix: &[QUARANTINE_BODY], name: "quarantine bodies", look: Audit::body },
    // Last: it fits any key.
    Kind { tree: Tree::State, prefix: &[], name: "unknown", look: Audit::unknown },
];

/// Why a row does not fit.
enum Misfit {
    Wrong(String),
    Nobodys(Sid),
}

struct Audit {
    reader: Reader,
    seal: Seal,
    topics: HashMap<u32, Arc<str>>,
    sids: HashSet<Sid>,
}

/// Reads all of the store. Blocks.
///
/// # Errors
/// A daemon has the store, there is none, or it cannot be opened. What is wrong inside is in the report.
pub fn audit(settings: &StoreSettings, tell: &mut Tell<'_>) -> Result<Report, StoreError> {
    let seal = Seal::new(&settings.encryption_keys)?;
    let engine = upkeep::existing(settings)?;
    let store = identity::of(&engine)?;
    Ok(of(&(Arc::new(engine) as Arc<dyn Engine>), (store, seal), tell))
}

/// Reads all of a database.
fn of(engine: &Arc<dyn Engine>, (store, seal): ([u8; 16], Seal), tell: &mut Tell<'_>) -> Report {
    let kinds = KINDS.iter().map(|kind| (kind.name, Amount::default())).collect();
    let mut report = Report { store, kinds, findings: Vec::new(), wrong: 0, leftovers: 0 };
    // What is wrong with topics and subscriptions themselves is found when their rows are looked at.
    let topics = Topics::load(&**engine).unwrap_or_default();
    let mut sids = HashSet::new();
    let all = engine::each_row(&**engine, (Tree::Config, subscriptions::SUBSCRIPTION), &[], |key, _| {
        sids.extend(subscriptions::sid_of(key));
        Ok(ControlFlow::Continue(()))
    });
    report.take(all.map_err(Misfit::from));
    let names = topics.names();
    let audit = Audit { reader: Reader { engine: Arc::clone(engine), topics }, seal, topics: names, sids };
    let mut done = Amount::default();
    for tree in Tree::ALL {
        let all = engine::each_row(&**engine, (tree, &[]), &[], |key, value| {
            let fits = |kind: &Kind| kind.tree == tree && key.starts_with(kind.prefix);
            let at = KINDS.iter().position(fits).unwrap_or(KINDS.len() - 1);
            for amount in [&mut report.kinds[at].1, &mut done] {
                amount.rows += 1;
                amount.bytes += (key.len() + value.len()) as u64;
            }
            report.take((KINDS[at].look)(&audit, key, value));
            tell(done);
            Ok(ControlFlow::Continue(()))
        });
        let stopped = |error| Misfit::Wrong(format!("the rest of `{}` cannot be read: {error}", tree.as_str()));
        report.take(all.map_err(stopped));
    }
    report.kinds.retain(|(_, amount)| amount.rows > 0);
    report
}

// === impl Report ===

impl Report {
    fn take(&mut self, looked: Looked) {
        let (weight, what) = match looked {
            Ok(()) => return,
            Err(Misfit::Wrong(what)) => (Weight::Wrong, what),
            Err(Misfit::Nobodys(sid)) => (
                Weight::Leftover,
                format!("a row of subscription {sid}, which is not there: the next start removes it"),
            ),
        };
        let many = match weight {
            Weight::Leftover => &mut self.leftovers,
            Weight::Wrong => &mut self.wrong,
        };
        *many += 1;
        if *many <= TOLD as u64 {
            self.findings.push(Finding { weight, what });
        }
    }
}

// === impl Misfit ===

impl From<StoreError> for Misfit {
    fn from(error: StoreError) -> Self {
        Self::Wrong(error.to_string())
    }
}

fn wrong(key: &[u8], what: &str) -> Misfit {
    Misfit::Wrong(format!("row {}: {what}", hex(key)))
}

// === impl Audit ===

impl Audit {
    fn identity(&self, key: &[u8], value: &[u8]) -> Looked {
        Self::versioned::<16>(key, value).map(drop)
    }

    fn topic(&self, key: &[u8], value: &[u8]) -> Looked {
        let number = match value.split_first() {
            Some((&row::VERSION, rest)) => {
                topics::number(value).ok_or_else(|| wrong(key, &format!("it has another length: {}", rest.len())))?
            }
            _ => return Err(wrong(key, "its version is unknown")),
        };
        match self.topics.get(&number) {
            Some(name) if key.ends_with(name.as_bytes()) => Ok(()),
            _ => Err(wrong(key, "its number is another topic's, or its name is no text")),
        }
    }

    fn subscription(&self, key: &[u8], value: &[u8]) -> Looked {
        let sid = subscriptions::sid_of(key).ok_or_else(|| wrong(key, "its key has no id"))?;
        let secrets = self.reader.engine.get(Tree::Config, &subscriptions::secret_key(sid))?;
        subscriptions::read(key, value, &secrets.unwrap_or_default(), &self.seal)?;
        Ok(())
    }

    /// What it says is read with its subscription.
    fn secret(&self, key: &[u8], _: &[u8]) -> Looked {
        let sid = key.strip_prefix(subscriptions::SECRET).and_then(|sid| sid.try_into().ok()).map(Sid::from_bytes);
        match sid {
            Some(sid) if self.sids.contains(&sid) => Ok(()),
            _ => Err(wrong(key, "secrets of a subscription that is not there")),
        }
    }

    fn replay(&self, key: &[u8], value: &[u8]) -> Looked {
        let replay = replays::read(key, value)?;
        self.somebodys(replay.sid)
    }

    fn commit(&self, key: &[u8], value: &[u8]) -> Looked {
        self.topic_of(key::ledger_topic(key)).ok_or_else(|| wrong(key, "it is of an unknown topic"))?;
        row::read::<CommitForm>(key, value)?;
        Ok(())
    }

    fn cursor(&self, key: &[u8], value: &[u8]) -> Looked {
        let at = self.topic_of(key::ledger_topic(key)).and_then(|topic| key::read_cursor(key, topic));
        let at = at.ok_or_else(|| wrong(key, "a cursor of an unknown topic, or of another form"))?;
        row::read::<CursorForm>(key, value)?.into_row(key)?;
        self.somebodys(at.sid)
    }

    fn ledger(&self, key: &[u8], value: &[u8]) -> Looked {
        let at = self.topic_of(key::ledger_topic(key)).and_then(|topic| key::read_ledger(key, topic));
        let at = at.ok_or_else(|| wrong(key, "a ledger row of an unknown topic, or of another form"))?;
        let head = row::read::<HeadForm>(key, value)?.into_head();
        let body = self.whole_body(key, LEDGER_BODY, head.body_len)?;
        let event = row::read::<EventForm>(key, &body)?.into_event(key)?;
        if (LedgerKey { stream: at.stream, ..LedgerKey::of(&event, at.sid) }) != at {
            return Err(wrong(key, "its event is another than its key says"));
        }
        self.somebodys(at.sid)
    }

    fn dead(&self, key: &[u8], value: &[u8]) -> Looked {
        self.whole_body(key, DEAD_BODY, row::read::<DeadForm>(key, value)?.body_len)?;
        let letter = self.reader.read_dead(key, value)?;
        self.somebodys(letter.sid)
    }

    fn quarantine(&self, key: &[u8], value: &[u8]) -> Looked {
        self.whole_body(key, QUARANTINE_BODY, row::read::<QuarantineForm>(key, value)?.body_len)?;
        self.reader.read_quarantined(key, value)?;
        match self.topic_of(key::ledger_topic(key)) {
            Some(_) => Ok(()),
            None => Err(wrong(key, "a quarantined record of an unknown topic")),
        }
    }

    fn range(&self, key: &[u8], value: &[u8]) -> Looked {
        let to = row::read::<RangeForm>(key, value)?.to;
        let range = self.topic_of(key::range_topic(key)).and_then(|topic| key::read_range(key, topic, to));
        let range = range.ok_or_else(|| wrong(key, "a lost range of an unknown topic, or of another form"))?;
        self.somebodys(range.sid)
    }

    fn outage(&self, key: &[u8], value: &[u8]) -> Looked {
        self.somebodys(outages::read(key, value)?.0)
    }

    /// One about a subscription that was deleted is let go when it is announced.
    fn operational(&self, key: &[u8], value: &[u8]) -> Looked {
        Ok(outbox::read(key, value).map(drop)?)
    }

    /// A chunk of a body: its head must be there. Whether the chunks are all there, the head asks.
    fn body(&self, key: &[u8], _: &[u8]) -> Looked {
        let Some((head, _)) = key.split_last_chunk::<2>() else { return Err(wrong(key, "it is too short")) };
        let mut head = head.to_vec();
        head[0] = match key[0] {
            LEDGER_BODY => LEDGER,
            DEAD_BODY => DEAD,
            _ => QUARANTINE,
        };
        match self.reader.engine.get(Tree::State, &head)? {
            Some(_) => Ok(()),
            None => Err(wrong(key, "a body without its head")),
        }
    }

    fn unknown(&self, key: &[u8], _: &[u8]) -> Looked {
        Err(wrong(key, "of no kind that this hookline knows: a newer one wrote it"))
    }

    /// A body with all its chunks and no more, as long as its head says.
    fn whole_body(&self, head: &[u8], kind: u8, len: u32) -> Result<Vec<u8>, Misfit> {
        let body = self.reader.body(head, kind, len)?;
        let more = key::chunk(head, kind, batch::chunks(len));
        if body.len() != len as usize || self.reader.engine.get(Tree::State, &more)?.is_some() {
            return Err(wrong(head, "its body is not as long as it says"));
        }
        Ok(body)
    }

    fn somebodys(&self, sid: Sid) -> Looked {
        if self.sids.contains(&sid) { Ok(()) } else { Err(Misfit::Nobodys(sid)) }
    }

    fn topic_of(&self, number: Option<u32>) -> Option<Arc<str>> {
        self.topics.get(&number?).cloned()
    }

    /// The bytes behind the version byte.
    fn versioned<const N: usize>(key: &[u8], value: &[u8]) -> Result<[u8; N], Misfit> {
        match value.split_first() {
            Some((&row::VERSION, rest)) => rest.try_into().map_err(|_| wrong(key, "it has another length")),
            _ => Err(wrong(key, "its version is unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cursor::{BehindReason, CommitCopy, CursorKey, CursorMode, CursorRow};
    use crate::model::dead_letter::DeadRange;
    use crate::model::record::TopicPartition;
    use crate::store::engine::Op;
    use crate::store::memory::Memory;
    use crate::store::tests::{at, event, letter, operational, over, park, quarantined, sid, submit, subscription};

    /// A database with a row of each kind; bodies have two chunks.
    async fn filled() -> Memory {
        let engine = Memory::default();
        let store = over(&engine);
        store.put_subscription(&subscription(), &[]).await.unwrap();
        let mut batch = park(1, 60_000).2;
        let at_one = TopicPartition { topic: "shop.orders".into(), partition: 1 };
        let row = CursorRow {
            mode: CursorMode::Behind,
            offset: 5,
            near: None,
            since: at(1),
            reason: BehindReason::Slow,
            to: None,
        };
        batch.cursor(&CursorKey { at: at_one.clone(), stream: 0, sid: sid() }, &row);
        let copy = CommitCopy { group: "g".into(), offset: 5, near: None, taken: at(1) };
        batch.commit(&at_one, copy);
        batch.lost(&DeadRange { sid: sid(), at: at_one, stream: 0, died: at(8), from: 2, to: 7 });
        batch.outage(sid(), Some(at(7)));
        batch.operational(&operational());
        batch.dead_letter(&letter(event("shop.returns", 2, 60_000)));
        batch.quarantine(&quarantined("shop.orders", 3, 60_000));
        submit(&store, batch).recv().unwrap().unwrap();
        store.close().unwrap();
        engine
    }

    fn look(engine: &Memory) -> Report {
        let seal = Seal::new(&[]).unwrap();
        of(&(Arc::new(engine.clone()) as Arc<dyn Engine>), ([0; 16], seal), &mut |_| {})
    }

    /// The first row of `tree` whose key begins with `prefix`.
    fn first(engine: &Memory, tree: Tree, prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut found = None;
        engine
            .scan(tree, prefix, &[], &mut |key, value| {
                found = Some((key.to_vec(), value.to_vec()));
                ControlFlow::Break(())
            })
            .unwrap();
        found.unwrap_or_else(|| panic!("no row begins with {prefix:?}"))
    }

    #[tokio::test]
    async fn a_sound_store_has_every_kind_of_row_and_nothing_is_wrong() {
        let report = look(&filled().await);
        assert_eq!((report.wrong, report.leftovers, &report.findings), (0, 0, &Vec::new()));
        let found = report.kinds.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let all = KINDS.iter().map(|kind| kind.name).filter(|name| !["unknown", "replays"].contains(name));
        assert_eq!(found, all.collect::<Vec<_>>());
        let bodies = report.kinds.iter().find(|(name, _)| *name == "ledger bodies").unwrap().1;
        assert_eq!(bodies.rows, 2);
    }

    #[tokio::test]
    async fn whatever_row_is_missing_changed_or_strange_is_named() {
        type Damage = fn(Vec<u8>, Vec<u8>) -> Vec<Op>;
        let gone: Damage = |key, _| vec![Op::Delete(key)];
        let newer: Damage = |key, value| vec![Op::Put(key, [&[9][..], &value[1..]].concat())];
        let cut: Damage = |key, value| vec![Op::Put(key, value[..value.len() / 2].to_vec())];
        let empty: Damage = |key, _| vec![Op::Put(key, Vec::new())];
        let state: [&[u8]; 7] = [&[CURSOR], &[LEDGER], &[DEAD], &[QUARANTINE], &[RANGE], &[FAILING], &[OUTBOX]];
        let bodies: [&[u8]; 3] = [&[LEDGER_BODY], &[DEAD_BODY], &[QUARANTINE_BODY]];
        let mut cases: Vec<(Tree, &[u8], Damage, &str)> = vec![
            (Tree::Meta, topics::PREFIX, gone, "unknown topic"),
            (Tree::Meta, topics::PREFIX, newer, "version is unknown"),
            (Tree::Meta, topics::PREFIX, cut, "another length"),
            (Tree::Meta, identity::KEY, cut, "another length"),
            (Tree::Config, subscriptions::SECRET, gone, "its secrets are missing"),
            (Tree::Config, subscriptions::SECRET, newer, "unknown version"),
            (Tree::Config, subscriptions::SUBSCRIPTION, newer, "version 9 is unknown"),
            (Tree::Config, subscriptions::SUBSCRIPTION, gone, "secrets of a subscription that is not there"),
            (Tree::State, &[LEDGER], gone, "a body without its head"),
            (Tree::State, &[DEAD], gone, "a body without its head"),
            (Tree::State, &[QUARANTINE], gone, "a body without its head"),
            (Tree::State, &[LEDGER], |key, value| vec![Op::Put([&[b'X'][..], &key].concat(), value)], "of no kind"),
            (Tree::Config, &[], |_, _| vec![Op::Put(b"else".to_vec(), b"\x01".to_vec())], "of no kind"),
        ];
        cases.extend(bodies.map(|kind| (Tree::State, kind, gone, "chunk 0 is missing")));
        cases.extend(bodies.map(|kind| (Tree::State, kind, cut, "not as long as it says")));
        cases.extend(state.map(|kind| (Tree::State, kind, newer, "version 9 is unknown")));
        cases.extend(state.map(|kind| (Tree::State, kind, cut, "cannot be read")));
        cases.extend(state.map(|kind| (Tree::State, kind, empty, "it is empty")));
        for (tree, prefix, damage, says) in cases {
            let engine = filled().await;
            let (key, value) = first(&engine, tree, prefix);
            engine.apply(tree, &damage(key, value)).unwrap();
            let report = look(&engine);
            let said = report.findings.iter().map(|finding| &*finding.what).collect::<Vec<_>>().join("\n");
            assert!(report.wrong > 0 && said.contains(says), "{tree:?} {prefix:?}: expected `{says}`, said:\n{said}");
        }
    }

    #[tokio::test]
    async fn an_event_that_is_another_than_its_key_says_is_wrong() {
        let engine = filled().await;
        let (key, value) = first(&engine, Tree::State, &[LEDGER]);
        let mut other = key.clone();
        other[48] ^= 1; // the last byte of the offset
        engine.apply(Tree::State, &[Op::Put(other.clone(), value)]).unwrap();
        for number in 0..2_u16 {
            let (of, like) = (key::chunk(&key, LEDGER_BODY, number), key::chunk(&other, LEDGER_BODY, number));
            let chunk = engine.get(Tree::State, &of).unwrap().unwrap();
            engine.apply(Tree::State, &[Op::Put(like, chunk)]).unwrap();
        }
        let [finding] = look(&engine).findings.try_into().unwrap();
        assert!(finding.what.contains("another than its key says"), "{finding:?}");
    }

    #[tokio::test]
    async fn rows_of_a_subscription_that_a_cut_off_delete_left_are_no_damage() {
        let engine = filled().await;
        let keys = [subscriptions::subscription_key(sid()), subscriptions::secret_key(sid())];
        engine.apply(Tree::Config, &keys.map(Op::Delete)).unwrap();
        let report = look(&engine);
        assert_eq!((report.wrong, report.leftovers), (0, 5), "{:?}", report.findings);
        let store = over(&engine);
        store.purge_unknown(&HashSet::new()).unwrap();
        store.close().unwrap();
        assert_eq!((look(&engine).wrong, look(&engine).leftovers), (0, 0), "the next start removes them");
    }

    #[tokio::test]
    async fn a_thousand_findings_are_counted_and_a_hundred_told() {
        let engine = filled().await;
        let strange = (0..1_000_u32).map(|n| Op::Put([&[b'X'][..], &n.to_be_bytes()].concat(), vec![1]));
        engine.apply(Tree::State, &strange.collect::<Vec<_>>()).unwrap();
        let report = look(&engine);
        assert_eq!((report.wrong, report.findings.len()), (1_000, TOLD));
    }
}
