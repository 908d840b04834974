//! From stores to payloads: fetch, checks, templates; and what must never stand in the open.

use std::rc::Rc;
use std::time::Instant;

use super::failure::{Failure, Failures};
use super::fetch::{Round, Stores, fetch};
use super::host::{Host, of_delivery};
use crate::delivery;
use crate::model::{Event, Exit, Observer, Plan};
use crate::secret::SecretBytes;
use crate::stores::check;
use crate::supervisor::spawn::Exposed;

/// The first generation, ready to be handed over.
pub struct Gathered {
    /// What the stores gave.
    pub round: Round,
    /// What is delivered, one for each of the plan's deliveries.
    pub payloads: Vec<SecretBytes>,
}

/// Fetches, checks and renders. Every fault of a step is reported, and nothing is in place yet.
pub async fn gather(
    plan: &Plan,
    stores: &Stores,
    host: &Host,
    observer: &Rc<dyn Observer>,
) -> Result<Gathered, Failures> {
    let start = Instant::now();
    let round = fetch(plan, stores).await.map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| Failure::new(fault.exit(), fault))
            .collect::<Failures>()
    })?;
    observer.observe(&Event::Fetched {
        secrets: round.values.len(),
        requests: round.requests,
        took: start.elapsed(),
    });
    refuse_exposed(host, &round)?;
    let payloads = payloads(plan, &round)?;
    Ok(Gathered { round, payloads })
}

/// Checks every value, then renders what each delivery carries, in the plan's order.
pub fn payloads(plan: &Plan, round: &Round) -> Result<Vec<SecretBytes>, Failures> {
    let faults = check::check(plan, &round.values);
    if !faults.is_empty() {
        return Err(faults
            .into_iter()
            .map(|fault| Failure::new(fault.exit(), fault))
            .collect());
    }
    delivery::render(plan, &round.values)
        .map_err(|faults| faults.into_iter().map(of_delivery).collect())
}

/// A value that stands in the environment or the arguments is seen by everyone: no launch then.
fn refuse_exposed(host: &Host, round: &Round) -> Result<(), Failures> {
    let mut failures = Failures::new();
    for (name, value) in &round.values {
        let parts: Vec<&[u8]> = value.parts().into_iter().map(SecretBytes::expose).collect();
        let (place, remedy) = match host.launch.exposes(&parts) {
            None => continue,
            Some(Exposed::Variable(variable)) => (
                format!("the environment variable {}", variable.display()),
                "take it out there (run.env.unset)",
            ),
            Some(Exposed::Argument(index)) => (
                format!("argument {index} of the program"),
                "take it out of the command",
            ),
        };
        let text = format!(
            "the value of secret {name} stands in {place}, where other processes can read it; \
             {remedy} and let the program read it from a delivery"
        );
        failures.push(Failure::new(Exit::Denied, text));
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}
