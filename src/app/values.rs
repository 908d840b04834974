//! From stores to payloads: fetch, checks, templates; and what must never stand in the open.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::exposed;
use super::failure::{Failure, Failures};
use super::fetch::{Round, Stores, fetch_aloud, sources};
use super::gate::Authorised;
use super::host::{Host, of_delivery};
use crate::delivery;
use crate::model::{Event, Observer, Plan, SecretName, Topic, format_duration};
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
    warn_of_age(plan, stores, observer.as_ref());
    exposed::refuse(plan, &host.launch, &round.values)?;
    let payloads = payloads(plan, &round, observer.as_ref())?;
    Ok(Gathered { round, payloads })
}

/// Clocks of stores may be ahead of this host's by so much.
const AHEAD: Duration = Duration::from_mins(5);

/// Warns of versions that are older than the manifest's `max_age`, as far as their stores say how old they
/// are.
fn warn_of_age(plan: &Plan, stores: &Stores, observer: &dyn Observer) {
    for (name, spec) in &plan.secrets {
        let Some(most) = spec.max_age else { continue };
        let made = stores.made(plan, [name]);
        let Some(made) = made.get(name) else { continue };
        let age = match made.elapsed() {
            Ok(age) => Some(age),
            Err(ahead) if ahead.duration() > AHEAD => {
                observer.observe(&Event::Weaker {
                    about: Topic::Store,
                    message: format!(
                        "secret {name}: its version is of {} from now, so that its age is not known: look at \
                         this host's clock and at the store's",
                        format_duration(Duration::from_secs(ahead.duration().as_secs()))
                    ),
                });
                None
            }
            Err(_) => None,
        };
        if let Some(age) = age.filter(|age| *age > most) {
            // As exactly as people want it.
            let unit = [86_400, 3_600, 60, 1];
            let unit = unit.into_iter().find(|unit| age.as_secs() >= 2 * unit);
            let unit = unit.unwrap_or(1);
            let age = Duration::from_secs(age.as_secs() / unit * unit);
            observer.observe(&Event::Weaker {
                about: Topic::Store,
                message: format!(
                    "secret {name}: its version is {} old, more than `max_age: {}`: rotate it",
                    format_duration(age),
                    format_duration(most)
                ),
            });
        }
    }
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
