//! What a configuration changes at once: declared subscriptions, and the defaults of all.
//!
//! Everything that can be refused is refused here, before anything is durable.

use crate::deliver::target::Target;
use crate::lane::settings::DeliverySettings;
use crate::model::cursor::CursorRow;
use crate::model::operational::Operational;
use crate::model::record::TopicPartition;
use crate::model::subscription::Subscription;
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::compile;
use crate::subscriptions::declared::Plan;
use crate::subscriptions::error::DirectoryError;
use crate::subscriptions::outbox::Outbox;
use crate::subscriptions::snapshot::{Entry, Snapshot, enter};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Where a subscription begins, one for each partition; none: now.
pub type Cursors = Vec<(TopicPartition, CursorRow)>;

/// What changes.
#[derive(Debug)]
pub struct Amendment {
    /// The defaults of every subscription.
    pub defaults: DeliverySettings,
    /// Declared subscriptions.
    pub plan: Plan,
    /// Where new ones begin, by id; who is not here begins now.
    pub cursors: HashMap<String, Cursors>,
}

/// An amendment that can be followed.
pub(crate) struct Prepared {
    pub(crate) defaults: DeliverySettings,
    pub(crate) made: Vec<(Arc<Entry>, Cursors)>,
    pub(crate) changed: Vec<Arc<Entry>>,
    pub(crate) gone: Vec<Arc<Entry>>,
    pub(crate) tuned: Vec<Tuned>,
    /// All subscriptions afterwards.
    pub(crate) after: Arc<Snapshot>,
}

/// A lane that goes by something else.
pub(crate) struct Tuned {
    cell: Arc<Cell>,
    /// `None`: nothing may be sent to it yet.
    target: Option<Target>,
    settings: DeliverySettings,
}

// === impl Amendment ===

impl Amendment {
    /// Makes ready what follows from it; `old` are the defaults so far.
    ///
    /// # Errors
    /// A subscription was changed by somebody else meanwhile, or one cannot be made ready.
    pub(crate) fn prepare(
        mut self,
        before: &Snapshot,
        hands: &Arc<Hands>,
        old: &DeliverySettings,
    ) -> Result<Prepared, DirectoryError> {
        let (mut all, mut gone, mut made) = (before.all.clone(), Vec::new(), Vec::new());
        for one in &self.plan.gone {
            gone.push(all.remove(&one.id).ok_or(DirectoryError::NotFound)?);
        }
        let changed = replace(&mut all, self.plan.changed)?;
        let tuned = match *old == self.defaults {
            true => tune(changed.iter(), &self.defaults)?,
            false => tune(all.values(), &self.defaults)?,
        };
        for one in self.plan.made {
            let cursors = self.cursors.remove(&one.id).unwrap_or_default();
            let entry = Arc::new(enter(hands, &self.defaults, one)?);
            all.insert(entry.subscription.id.clone(), Arc::clone(&entry));
            made.push((entry, cursors));
        }
        let after = Arc::new(Snapshot::new(all));
        Ok(Prepared { defaults: self.defaults, made, changed, gone, tuned, after })
    }
}

// === impl Prepared ===

impl Prepared {
    /// What is told of those that change their status.
    pub(crate) fn told(&self, before: &Snapshot, outbox: &Outbox) -> Vec<Operational> {
        let told = self.changed.iter().filter_map(|entry| {
            let old = before.get(&entry.subscription.id)?;
            outbox.turned(&old.subscription, &entry.subscription)
        });
        told.collect()
    }

    /// What is written, with the cursors it begins with.
    pub(crate) fn put(&self) -> impl Iterator<Item = (&Subscription, &[(TopicPartition, CursorRow)])> {
        let made = self.made.iter().map(|(entry, cursors)| (&*entry.subscription, &cursors[..]));
        made.chain(self.changed.iter().map(|entry| (&*entry.subscription, &[][..])))
    }
}

// === impl Tuned ===

impl Tuned {
    pub(crate) fn apply(self) {
        if let Some(target) = self.target {
            self.cell.retarget(target);
        }
        self.cell.act(|lane, turn| lane.configure(self.settings, turn));
    }
}

/// Puts those that changed in the place of what they were; gives them.
fn replace(
    all: &mut BTreeMap<String, Arc<Entry>>,
    changed: Vec<Subscription>,
) -> Result<Vec<Arc<Entry>>, DirectoryError> {
    let mut entries = Vec::new();
    for one in changed {
        let old = all.get_mut(&one.id).ok_or(DirectoryError::NotFound)?;
        let (expected, found) = (one.version - 1, old.subscription.version);
        if found != expected {
            return Err(DirectoryError::Conflict { expected, found });
        }
        *old = Arc::new(Entry { cell: Arc::clone(&old.cell), subscription: Arc::new(one) });
        entries.push(Arc::clone(old));
    }
    Ok(entries)
}

fn tune<'e>(
    entries: impl Iterator<Item = &'e Arc<Entry>>,
    defaults: &DeliverySettings,
) -> Result<Vec<Tuned>, DirectoryError> {
    let tuned = |entry: &Arc<Entry>| {
        let target = compile::target(&entry.subscription, defaults)?;
        let settings = compile::lane_settings(&entry.subscription, defaults);
        let target = Some(target).filter(|_| entry.subscription.is_verified());
        Ok(Tuned { cell: Arc::clone(&entry.cell), target, settings })
    };
    entries.map(tuned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::guard::Guard;
    use crate::egress::settings::EgressSettings;
    use crate::lane::gate::{Gate, Shut};
    use crate::metrics::Metrics;
    use crate::model::subscription::{State, Status};
    use crate::progress::partitions::Partitions;
    use crate::runtime::clock;
    use crate::store::Store;
    use crate::store::settings::StoreSettings;
    use crate::subscriptions::{Directory, written};
    use crate::yaml::node::Node;
    use serde_json::json;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::Duration;

    fn store(folder: &Path) -> Store {
        let settings = StoreSettings { path: folder.join("store"), min_free: 0, ..StoreSettings::default() };
        Store::open(&settings, Box::new(|_| {})).unwrap()
    }

    fn directory(store: &Store) -> Arc<Directory> {
        let hands = Hands::new(store.clone(), Arc::new(Partitions::default()), Metrics::new());
        Directory::load(Arc::new(hands), DeliverySettings::default()).unwrap()
    }

    fn declared(id: &str) -> Subscription {
        let body = json!({ "url": "https://example.com/hooks", "types": ["com.acme.**"] });
        let guard = Guard::new(EgressSettings::default());
        let made = written::create(&Node::from_json(&"test".into(), &body), &guard, clock::now()).unwrap();
        Subscription { id: id.into(), declared: true, ..made }
    }

    fn amendment(plan: Plan) -> Amendment {
        Amendment { defaults: DeliverySettings::default(), plan, cursors: HashMap::new() }
    }

    fn ids(directory: &Directory) -> Vec<String> {
        directory.snapshot().iter().map(|entry| entry.subscription.id.clone()).collect()
    }

    #[tokio::test]
    async fn what_is_made_changed_and_gone_is_in_force_with_the_rules_and_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let directory = self::directory(&store);
        let made = vec![declared("sub_a"), declared("sub_b")];
        directory.amend(amendment(Plan { made, ..Plan::default() }), || {}).await.unwrap();
        let (a, b) = {
            let snapshot = directory.snapshot();
            let of = |id| Arc::clone(&snapshot.get(id).unwrap().subscription);
            (of("sub_a"), of("sub_b"))
        };
        let paused = Status { state: State::Paused, reason: None, since: clock::now() };
        let changed = vec![Subscription { name: Some("A".into()), status: paused, version: 2, ..(*a).clone() }];
        let plan = Plan { made: vec![declared("sub_c")], changed, gone: vec![b] };
        let mut seen = Vec::new();
        directory.amend(amendment(plan), || seen = ids(&directory)).await.unwrap();
        assert_eq!(seen, ["sub_a", "sub_b"], "the rules are swapped before anybody sees the subscriptions");
        assert_eq!(ids(&directory), ["sub_a", "sub_c"]);
        let gate = directory.snapshot().get("sub_a").unwrap().cell.act(|lane, _| lane.gate());
        assert_eq!(gate, Gate::Shut(Shut::Paused));
        let mut stored = store.subscriptions().unwrap();
        stored.sort_by(|one, other| one.id.cmp(&other.id));
        let stored: Vec<_> = stored.iter().map(|one| (one.id.as_str(), one.name.as_deref(), one.version)).collect();
        assert_eq!(stored, [("sub_a", Some("A"), 2), ("sub_c", None, 1)]);
    }

    #[tokio::test]
    async fn between_the_swap_of_the_rules_and_that_of_the_subscriptions_nobody_looks() {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(&store(folder.path()));
        let (tell, told) = mpsc::channel();
        let looking = Arc::clone(&directory);
        let rules = || {
            std::thread::spawn(move || tell.send(looking.in_force(|snapshot| snapshot.iter().count())).unwrap());
            // With the new rules in force and the old subscriptions: whoever looks has to wait.
            assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
            told
        };
        let (mut told, made) = (None, vec![declared("sub_a")]);
        directory.amend(amendment(Plan { made, ..Plan::default() }), || told = Some(rules())).await.unwrap();
        assert_eq!(told.unwrap().recv().unwrap(), 1);
    }

    #[tokio::test]
    async fn who_was_changed_meanwhile_keeps_everything_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(&store(folder.path()));
        let one = directory.create(declared("sub_a"), Vec::new()).await.unwrap();
        directory.turn(&one, (State::Disabled, None)).await.unwrap();
        let late = Subscription { name: Some("A".into()), version: 2, ..(*one).clone() };
        let plan = Plan { changed: vec![late], made: vec![declared("sub_b")], ..Plan::default() };
        let mut swapped = false;
        let error = directory.amend(amendment(plan), || swapped = true).await.unwrap_err();
        assert!(matches!(error, DirectoryError::Conflict { expected: 1, found: 2 }), "{error}");
        assert_eq!((ids(&directory), swapped), (vec!["sub_a".to_owned()], false));
    }

    #[tokio::test]
    async fn other_defaults_reach_the_lanes_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(&store(folder.path()));
        directory.create(declared("sub_a"), Vec::new()).await.unwrap();
        let own = Subscription { timeout: Some(Duration::from_secs(7)), ..declared("sub_b") };
        directory.create(own, Vec::new()).await.unwrap();
        let defaults = DeliverySettings { timeout: Duration::from_secs(3), queue: 1, ..DeliverySettings::default() };
        directory.amend(Amendment { defaults, ..amendment(Plan::default()) }, || {}).await.unwrap();
        let (snapshot, late) = (directory.snapshot(), directory.create(declared("sub_c"), Vec::new()).await.unwrap());
        let timeout = |id| snapshot.get(id).unwrap().cell.target().timeout();
        assert_eq!((timeout("sub_a"), timeout("sub_b")), (Duration::from_secs(3), Duration::from_secs(7)));
        let room = |id: &str| directory.snapshot().get(id).unwrap().cell.act(|lane, _| lane.settings.queue);
        assert_eq!((room("sub_a"), room("sub_b"), room(&late.id)), (1, 1, 1));
    }
}
