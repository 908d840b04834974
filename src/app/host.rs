//! What this host says to a plan, before anything is fetched: the program, the users, the places of
//! the deliveries. Every fault is found, and nothing is changed.

use super::failure::{Failure, Failures};
use crate::delivery::{self, DeliveryError, DeliveryFault, Layout, Owner};
use crate::model::{Delivery, DeliveryKind, Isolation, IsolationUsed, Mode, Plan};
use crate::supervisor::activation::Activation;
use crate::supervisor::spawn::{Launch, SpawnError};
use crate::sys::child::UserNamespace;
use crate::sys::users::Database;

/// Where a program of systemd's finds its credentials: systemd.exec(5).
pub const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A plan that this host can run.
pub struct Host {
    /// The program, settled.
    pub launch: Launch,
    /// Where files go.
    pub layout: Layout,
    /// Who owns what is delivered, one for each of the plan's deliveries.
    pub owners: Vec<Owner>,
    /// Who owns the delivery directories.
    pub owner: Owner,
    /// Why the better isolation is not possible, as far as it can be told before trying.
    pub order: Vec<IsolationUsed>,
    /// Why private isolation was ruled out.
    pub reason: Option<String>,
    /// Where private files are mounted, if it takes one.
    pub users: Option<UserNamespace>,
    /// With `isolation: auto`: why shared isolation was ruled out.
    pub not_shared: Option<String>,
}

/// What there is for the program before anything is asked of a store.
pub struct Prior {
    /// The sockets that systemd opened for it.
    pub activation: Option<Activation>,
    /// Where its private files are mounted, if it takes one. It is made by a copy of hushpipe that
    /// others of its user may look into: while there is nothing to be seen.
    pub users: Option<UserNamespace>,
}

impl Prior {
    /// What the plan needs.
    pub fn new(plan: &Plan, activation: Option<Activation>) -> Self {
        let private = plan.isolation != Isolation::Shared && !Layout::of(plan).is_empty();
        let users = (private && UserNamespace::is_needed()).then(UserNamespace::make);
        Self { activation, users }
    }
}

/// Checks everything about this host, with what a [`Prior`] has.
pub fn settle(
    plan: &Plan,
    activation: Option<&Activation>,
    users: Option<&UserNamespace>,
) -> Result<Host, Failures> {
    let mut failures = Failures::new();
    let layout = Layout::of(plan);
    if plan.mode == Mode::Exec {
        failures.extend(delivery::needs_parent(plan).into_iter().map(of_delivery));
    }
    let launch = launch(plan, &layout)
        .map_err(|faults| failures.extend(faults.into_iter().map(of_spawn)))
        .ok();
    // Where run.env keeps their number from the program, it gets none of them.
    let wanted = |launch: &&Launch| launch.of_systemd("LISTEN_FDS").is_some();
    if let (Some(activation), Some(_)) = (activation, launch.as_ref().filter(wanted)) {
        failures.extend(taken(plan, activation).into_iter().map(of_delivery));
    }
    let isolation = isolations(plan.isolation, &layout)
        .map_err(|faults| failures.extend(faults.into_iter().map(of_delivery)))
        .ok();
    let owner = launch.as_ref().map(Launch::owner).unwrap_or_default();
    let owners = owners(plan, owner)
        .map_err(|faults| failures.extend(faults.into_iter().map(of_spawn)))
        .ok();
    match (launch, isolation, owners) {
        (Some(launch), Some(isolations), Some(owners)) if failures.is_empty() => Ok(Host {
            launch,
            layout,
            owners,
            owner: Owner {
                uid: Some(owner.0),
                gid: Some(owner.1),
            },
            order: isolations.order,
            users: users.cloned(),
            reason: isolations.not_private,
            not_shared: isolations.not_shared,
        }),
        _ => Err(failures),
    }
}

fn launch(plan: &Plan, layout: &Layout) -> Result<Launch, Vec<SpawnError>> {
    let mut launch = Launch::settle(&plan.run, std::env::vars_os())?;
    if let Some(directory) = layout.credentials() {
        let set = launch.set_variable(CREDENTIALS_DIRECTORY, directory.as_os_str());
        set.map_err(|fault| vec![fault])?;
    }
    Ok(launch)
}

/// Which isolations to try, in order, and why the others not.
struct Isolations {
    order: Vec<IsolationUsed>,
    not_private: Option<String>,
    not_shared: Option<String>,
}

impl Isolations {
    fn only(used: IsolationUsed) -> impl Fn(()) -> Self {
        move |()| Self {
            order: vec![used],
            not_private: None,
            not_shared: None,
        }
    }
}

/// `auto` rules out what this host would refuse for sure.
fn isolations(wanted: Isolation, layout: &Layout) -> Result<Isolations, Vec<DeliveryError>> {
    use IsolationUsed::{Private, Shared};
    match wanted {
        Isolation::Private => layout.check(Private).map(Isolations::only(Private)),
        Isolation::Shared => layout.check(Shared).map(Isolations::only(Shared)),
        Isolation::Auto => {
            let first = |faults: &Vec<DeliveryError>| faults.first().map(ToString::to_string);
            let (private, shared) = (layout.check(Private), layout.check(Shared));
            let not_private = private.as_ref().err().and_then(first);
            let not_shared = shared.as_ref().err().and_then(first);
            let order = match (private, shared) {
                (Ok(()), Ok(())) => vec![Private, Shared],
                (Ok(()), Err(_)) => vec![Private],
                (Err(_), Ok(())) => vec![Shared],
                (Err(faults), Err(_)) => return Err(faults),
            };
            Ok(Isolations {
                order,
                not_private,
                not_shared,
            })
        }
    }
}

/// The owner of each delivery; `owner:` and `group:` may name others than the program's user.
fn owners(plan: &Plan, program: (u32, u32)) -> Result<Vec<Owner>, Vec<SpawnError>> {
    let users = Database::host();
    let mut faults = Vec::new();
    let mut owners = Vec::with_capacity(plan.deliveries.len());
    for delivery in &plan.deliveries {
        match owner(delivery, &users, program) {
            Ok(owner) => owners.push(owner),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(owners)
    } else {
        Err(faults)
    }
}

fn owner(
    delivery: &Delivery,
    users: &Database,
    (uid, gid): (u32, u32),
) -> Result<Owner, SpawnError> {
    let (DeliveryKind::File(file)
    | DeliveryKind::Fifo { file, .. }
    | DeliveryKind::Credential(file)) = &delivery.kind
    else {
        return Ok(Owner::default());
    };
    let named = file
        .owner
        .user
        .as_deref()
        .map(|name| users.user(name))
        .transpose()?;
    let uid = named.map_or(uid, |user| user.uid);
    let group = file
        .owner
        .group
        .as_deref()
        .map(|name| users.group(name))
        .transpose()?;
    Ok(Owner {
        uid: Some(uid),
        gid: Some(group.unwrap_or(gid)),
    })
}

/// Deliveries at numbers where the program looks for systemd's sockets.
fn taken(plan: &Plan, activation: &Activation) -> Vec<DeliveryError> {
    let numbers = activation.numbers();
    let fault = |delivery: &Delivery| match delivery.kind {
        DeliveryKind::Fd { number, .. } if numbers.contains(&number) => Some(DeliveryError {
            at: Some(delivery.at),
            what: delivery::describe(&delivery.kind),
            fault: DeliveryFault::Plan(format!(
                "systemd's socket activation takes {} (LISTEN_FDS={}): deliver at {} or above",
                activation.shown(),
                numbers.len(),
                numbers.end
            )),
        }),
        _ => None,
    };
    plan.deliveries.iter().filter_map(fault).collect()
}

/// A delivery's fault with its code.
pub fn of_delivery(fault: DeliveryError) -> Failure {
    Failure::new(fault.exit(), fault)
}

/// A launch's fault with its code.
pub fn of_spawn(fault: SpawnError) -> Failure {
    Failure::new(fault.exit(), fault)
}
