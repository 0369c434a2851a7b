//! What a subscription knows of its endpoint's consent, and what follows for its status: asked anew with every URL,
//! never sent to before.

use crate::deliver::handshake::{self, AllowedRate, Word};
use crate::model::secret::Secret;
use crate::model::subscription::{State, Status, Subscription};
use crate::model::time::Timestamp;
use crate::model::verification::{Consent, Proof, Verification};
use url::Url;

/// Why one is unverified that was not asked yet.
const UNASKED: &str = "its endpoint is asked whether it wants the events";

/// An endpoint that has said nothing yet.
pub(crate) fn unasked(proof: Proof) -> Verification {
    Verification { proof, grant: Secret::new(handshake::token()), consent: None }
}

/// What stays of `old`'s verification with this URL and proof: all, or nothing.
pub(crate) fn kept(old: &Subscription, url: &Url, proof: Option<Proof>) -> Option<Verification> {
    let proof = proof?;
    let same = old.verification.as_ref().filter(|known| known.proof == proof && old.url == *url);
    Some(same.cloned().unwrap_or_else(|| unasked(proof)))
}

/// `subscription` with the status that its endpoint's consent allows it; paused and disabled it stays.
pub(crate) fn awaited(mut subscription: Subscription, now: Timestamp) -> Subscription {
    let state = match subscription.status.state {
        State::Active | State::Unverified => subscription.at_work(),
        State::Paused | State::Disabled => return subscription,
    };
    if state != subscription.status.state {
        subscription.status = status(state, None, now);
    }
    subscription
}

/// That it is in this state now, for this reason; whoever has to be asked is so because nobody has asked yet.
fn status(state: State, reason: Option<String>, now: Timestamp) -> Status {
    let reason = if state == State::Unverified { Some(UNASKED.to_owned()) } else { reason };
    Status { state, reason, since: now }
}

/// `old` in another state; `None` when it is in it. To go on, whoever has not agreed has to be asked first.
pub(crate) fn turned(old: &Subscription, into: (State, Option<String>), now: Timestamp) -> Option<Subscription> {
    let (state, reason) = match into {
        (State::Active, reason) => (old.at_work(), reason),
        other => other,
    };
    if old.status.state == state {
        return None;
    }
    let mut changed = old.clone();
    (changed.version, changed.updated) = (old.version + 1, now);
    changed.status = status(state, reason, now);
    Some(changed)
}

/// `old` after the endpoint of `asked` said this at `now`; `None` when nothing changes, also when `old` has another
/// endpoint by now. A no takes back a yes of before, silence does not; nor does a no to a question that is older than
/// the yes.
pub(crate) fn heard((old, asked): (&Subscription, &Subscription), word: &Word, now: Timestamp) -> Option<Subscription> {
    let grant = |one: &Subscription| one.verification.as_ref().map(|verification| verification.grant.clone());
    let verification = old.verification.as_ref().filter(|_| grant(old) == grant(asked))?;
    let (consent, reason) = match word {
        Word::Yes { origin, rate } => {
            let before = verification.consent.as_ref();
            let (per_minute, reason) = allowed(rate, before);
            // Who says the same again changes nothing, however often.
            let same = before.filter(|before| before.origin == *origin && before.per_minute == per_minute);
            let at = same.map_or(now, |before| before.at);
            (Some(Consent { at, origin: origin.clone(), per_minute }), reason)
        }
        Word::No(_) if verification.consent != asked.verification.as_ref().and_then(|then| then.consent.clone()) => {
            return None;
        }
        Word::No(why) => (None, Some(why.clone())),
        Word::Silence(why) => match &verification.consent {
            Some(_) => return None,
            None => (None, Some(why.clone())),
        },
    };
    let mut changed = old.clone();
    changed.verification = Some(Verification { consent, ..verification.clone() });
    changed = awaited(changed, now);
    if matches!(changed.status.state, State::Active | State::Unverified) {
        changed.status.reason = reason;
    }
    if changed == *old {
        return None;
    }
    (changed.version, changed.updated) = (old.version + 1, now);
    Some(changed)
}

/// The rate that holds, and what to tell of one that is none: it changes no limit (WH-5).
fn allowed(rate: &AllowedRate, before: Option<&Consent>) -> (Option<u32>, Option<String>) {
    match rate {
        AllowedRate::Unsaid | AllowedRate::Any => (None, None),
        AllowedRate::PerMinute(rate) => (Some(*rate), None),
        AllowedRate::Unreadable(text) => {
            let told = format!("its WebHook-Allowed-Rate `{text}` is no rate: it changes no limit");
            (before.and_then(|before| before.per_minute), Some(told))
        }
    }
}
