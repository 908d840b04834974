//! From stores to payloads: fetch, checks, templates; and what must never stand in the open.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use super::exposed;
use super::failure::{Failure, Failures};
use super::fetch::{Round, Stores, fetch_aloud, sources};
use super::gate::Authorised;
use super::host::{Host, of_delivery};
use crate::delivery;
use crate::model::{Event, Observer, Plan, SecretName, Topic};
use crate::rotation::Draft;
use crate::secret::{SecretBytes, Value};
use crate::stores::check;

/// The first generation, ready to be handed over.
pub struct Gathered {
    /// What the stores gave.
    pub round: Round,
    /// What is delivered, one for each of the plan's deliveries.
    pub payloads: Vec<SecretBytes>,
}

/// Fetches, checks and renders. Every fault of a step is reported, and nothing is in place yet.
pub async fn gather(
    authorised: &Authorised<'_>,
    stores: &Stores,
    host: &Host,
    observer: &Rc<dyn Observer>,
) -> Result<Gathered, Failures> {
    let (start, plan) = (Instant::now(), authorised.plan());
    let (round, faults) = fetch_aloud(authorised, stores, &sources(plan), observer).await;
    if !faults.is_empty() {
        let faults = faults.into_iter();
        return Err(faults
            .map(|fault| Failure::new(fault.exit(), fault))
            .collect());
    }
    observer.observe(&Event::Fetched {
        secrets: round.values.len(),
        requests: round.requests,
        took: start.elapsed(),
    });
    exposed::refuse(plan, &host.launch, &round.values)?;
    let payloads = payloads(plan, &round, observer.as_ref())?;
    Ok(Gathered { round, payloads })
}

/// Checks every value, then renders what each delivery carries, in the plan's order.
fn payloads(
    plan: &Plan,
    round: &Round,
    observer: &dyn Observer,
) -> Result<Vec<SecretBytes>, Failures> {
    let faults = check::check(plan, &round.values);
    if !faults.is_empty() {
        return Err(faults
            .into_iter()
            .map(|fault| Failure::new(fault.exit(), fault))
            .collect());
    }
    let rendered = delivery::render(plan, &round.values)
        .map_err(|faults| faults.into_iter().map(of_delivery).collect::<Failures>())?;
    warn(plan, rendered.warnings, observer);
    Ok(rendered.payloads)
}

fn warn(plan: &Plan, warnings: Vec<String>, observer: &dyn Observer) {
    for warning in warnings {
        observer.observe(&Event::Weaker {
            about: Topic::Template,
            message: format!("{}:{warning}", plan.manifest.display()),
        });
    }
}

/// New values that cannot be used.
pub struct Unusable {
    /// Why not.
    pub failures: Failures,
    /// The secrets that are to blame; none, where it cannot be told.
    pub secrets: BTreeSet<SecretName>,
}

/// Checks what is new in a draft, then renders what does not stay as it is, and what is damaged, in the
/// plan's order. What the program has already is not judged anew.
pub fn renewed(
    plan: &Plan,
    round: &Round,
    draft: &Draft,
    damaged: &BTreeSet<usize>,
    observer: &dyn Observer,
) -> Result<Vec<Option<SecretBytes>>, Unusable> {
    let new: Values = round
        .values
        .iter()
        .filter(|(name, _)| draft.new.contains(*name))
        .map(|(name, value)| (name.clone(), Rc::clone(value)))
        .collect();
    let faults = check::check(plan, &new);
    if !faults.is_empty() {
        return Err(Unusable {
            secrets: faults.iter().map(|fault| fault.secret().clone()).collect(),
            failures: faults
                .into_iter()
                .map(|fault| Failure::new(fault.exit(), fault))
                .collect(),
        });
    }
    let rendered = delivery::render_some(plan, &round.values, |index| {
        !draft.stays[index] || damaged.contains(&index)
    });
    let rendered = rendered.map_err(|faults| Unusable {
        failures: faults.into_iter().map(of_delivery).collect(),
        secrets: BTreeSet::new(),
    })?;
    warn(plan, rendered.warnings, observer);
    Ok(rendered.payloads)
}

type Values = BTreeMap<SecretName, Rc<Value>>;
