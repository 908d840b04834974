//! What this host says to a plan, before anything is fetched: the program, the users, the places of
//! the deliveries. Every fault is found, and nothing is changed.

use super::bootstrap::Bootstrap;
use super::failure::{Failure, Failures};
use super::getenv;
use super::inherited::Inherited;
use super::missing;
use crate::delivery::{self, DeliveryError, DeliveryFault, Layout, Owner};
use crate::model::{
    Delivery, DeliveryKind, Event, Isolation, IsolationUsed, Mode, Observer, OwnerSpec, Plan, Topic,
};
use crate::supervisor::activation::Activation;
use crate::supervisor::spawn::{Judged, Launch, SpawnError};
use crate::sys::child::UserNamespace;
use crate::sys::filesystem::effective_uid;
use crate::sys::pty::Pty;
use crate::sys::users::Database;

/// Where a program of systemd's finds its credentials: systemd.exec(5).
pub const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Why a program that may gain privileges gets no private files of an unprivileged hushpipe.
pub const NEW_PRIVILEGES: &str = "private files take a user namespace here, in which sudo and other \
                                  setuid programs do not work, and `no_new_privs: false` lets them";

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
    /// How the program is kept from what hushpipe reads secrets with.
    pub confinement: Confinement,
    /// What that is.
    pub bootstrap: Bootstrap,
    /// With `isolation: auto`: why shared isolation was ruled out.
    pub not_shared: Option<String>,
    /// What the program will miss, in words.
    pub missing: Vec<String>,
}

/// How a program is kept from what only hushpipe is to have, where it runs as hushpipe's user.
#[derive(Clone, Debug)]
pub enum Confinement {
    /// It is another user's; or root, whom nothing keeps out, and who has at most a mount namespace.
    NotNeeded,
    /// By a user namespace of its own.
    Apart(UserNamespace),
    /// It is not, and why.
    Refused(String),
}

impl Confinement {
    fn of(plan: &Plan, launch: &Launch, users: Option<&UserNamespace>) -> Self {
        let own = effective_uid();
        if own == 0 || launch.owner().0 != own {
            return Self::NotNeeded;
        }
        if !plan.run.no_new_privs {
            let why = "with `no_new_privs: false` it has no user namespace of its own, in which sudo \
                       and other setuid programs would not work";
            return Self::Refused(why.to_owned());
        }
        match users {
            Some(users) => match users.refusal() {
                None => Self::Apart(users.clone()),
                Some(error) => Self::Refused(error.cause()),
            },
            None => Self::Refused(
                "hushpipe holds capabilities, which the program would lose in a user namespace of \
                 its own"
                    .to_owned(),
            ),
        }
    }

    /// The user namespace for the program.
    pub const fn users(&self) -> Option<&UserNamespace> {
        match self {
            Self::Apart(users) => Some(users),
            Self::NotNeeded | Self::Refused(_) => None,
        }
    }
}

impl Host {
    /// Says it, once a run.
    pub fn warn(&self, plan: &Plan, observer: &dyn Observer) {
        for message in self.warnings(plan) {
            observer.observe(&Event::Weaker {
                about: Topic::Host,
                message,
            });
        }
    }

    /// What is weaker here than a user may expect, as far as it is known before the launch.
    pub fn warnings(&self, plan: &Plan) -> Vec<String> {
        let private =
            !self.layout.is_empty() && self.order.first() == Some(&IsolationUsed::Private);
        let usable = |users: &UserNamespace| users.refusal().is_none();
        let in_one = private && self.users.as_ref().is_some_and(usable);
        let exposed = match &self.confinement {
            Confinement::NotNeeded => None,
            Confinement::Apart(_) => self.bootstrap.in_sight(),
            Confinement::Refused(_) if in_one => self.bootstrap.in_sight(),
            Confinement::Refused(why) => self.bootstrap.open(why),
        };
        let new_privileges = (in_one && !plan.run.no_new_privs).then(|| {
            format!("{NEW_PRIVILEGES}; `isolation: shared` does without a user namespace")
        });
        let lost = plan
            .run
            .no_new_privs
            .then(|| self.launch.privileges_of_the_file())
            .flatten()
            .map(|what| {
                format!(
                    "{} {what}, which `no_new_privs` takes away: `run.no_new_privs: false` lets it \
                     have them",
                    self.launch.program().display()
                )
            });
        exposed
            .into_iter()
            .chain(new_privileges)
            .chain(lost)
            .chain(self.missing.iter().cloned())
            .collect()
    }
}

/// What there is for the program before anything is asked of a store.
pub struct Prior {
    /// The sockets that systemd opened for it.
    pub activation: Option<Activation>,
    /// What it inherits of hushpipe's caller.
    pub inherited: Inherited,
    /// Its user namespace, where hushpipe has no privileges.
    pub users: Option<UserNamespace>,
    /// A terminal of its own.
    pub pty: Option<Pty>,
}

impl Prior {
    /// What the plan needs.
    pub fn new(plan: &Plan, activation: Option<Activation>, inherited: Inherited) -> Self {
        let wanted = plan.run.no_new_privs || plan.isolation != Isolation::Shared;
        let users = (wanted && UserNamespace::is_needed()).then(UserNamespace::make);
        Self {
            activation,
            inherited,
            users,
            pty: None,
        }
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
    failures.extend(getenv::refusals(plan, launch.as_ref()));
    // Where run.env keeps their number from the program, it gets none of them.
    let wanted = |launch: &&Launch| launch.of_systemd("LISTEN_FDS").is_some();
    if let (Some(activation), Some(_)) = (activation, launch.as_ref().filter(wanted)) {
        failures.extend(taken(plan, activation).into_iter().map(of_delivery));
    }
    let owner = launch.as_ref().map(Launch::owner).unwrap_or_default();
    let layout = layout.of_user(owner.0);
    let isolation = isolations(plan, &layout)
        .map_err(|faults| failures.extend(faults.into_iter().map(of_delivery)))
        .ok();
    let owners = owners(plan, owner)
        .map_err(|faults| failures.extend(faults.into_iter().map(of_spawn)))
        .ok();
    match (launch, isolation, owners) {
        (Some(launch), Some(isolations), Some(owners)) if failures.is_empty() => Ok(Host {
            confinement: Confinement::of(plan, &launch, users),
            bootstrap: bootstrap(plan, &launch, &layout),
            missing: missing::warnings(plan, &launch, &layout),
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

/// What is to be kept from the program. Nothing, where it is another user's; and from root without
/// private files nothing can be kept.
fn bootstrap(plan: &Plan, launch: &Launch, layout: &Layout) -> Bootstrap {
    let own = effective_uid();
    if launch.owner().0 != own || (own == 0 && layout.is_empty()) {
        return Bootstrap::default();
    }
    Bootstrap::of(plan, launch, layout)
}

/// The program, settled; before it is staged, and again where that failed.
pub fn launch(plan: &Plan, layout: &Layout) -> Result<Launch, Vec<SpawnError>> {
    let mut launch = Launch::settle(&plan.run, std::env::vars_os())?;
    if let Some(directory) = layout.credentials() {
        let set = launch.set_variable(CREDENTIALS_DIRECTORY, directory.as_os_str());
        set.map_err(|fault| vec![fault])?;
    }
    Ok(launch)
}

/// As [`launch`], once more: an error if it is not the program that policy has judged.
pub fn launch_again(
    plan: &Plan,
    layout: &Layout,
    judged: Option<&Judged>,
) -> Result<Launch, Failures> {
    let launch = launch(plan, layout)
        .map_err(|faults| faults.into_iter().map(of_spawn).collect::<Failures>())?;
    if launch.judged() == judged {
        return Ok(launch);
    }
    let changed = SpawnError::Exchanged(launch.program().to_owned());
    Err(vec![of_spawn(changed)])
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
fn isolations(plan: &Plan, layout: &Layout) -> Result<Isolations, Vec<DeliveryError>> {
    use IsolationUsed::{Private, Shared};
    match plan.isolation {
        Isolation::Private => layout.check(Private).map(Isolations::only(Private)),
        Isolation::Shared => layout.check(Shared).map(Isolations::only(Shared)),
        Isolation::Auto => {
            let first = |faults: &Vec<DeliveryError>| faults.first().map(ToString::to_string);
            let (private, shared) = (layout.check(Private), layout.check(Shared));
            let not_private = private.as_ref().err().and_then(first);
            let not_shared = shared.as_ref().err().and_then(first);
            let order = match (private, shared) {
                // The program may want to gain privileges, which it cannot in a user namespace.
                (Ok(()), Ok(())) if !plan.run.no_new_privs && UserNamespace::is_needed() => {
                    return Ok(Isolations {
                        order: vec![Shared],
                        not_private: Some(NEW_PRIVILEGES.to_owned()),
                        not_shared,
                    });
                }
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
    let spec = match &delivery.kind {
        DeliveryKind::File(file)
        | DeliveryKind::Fifo { file, .. }
        | DeliveryKind::Credential(file) => &file.owner,
        DeliveryKind::Fd { owner, .. } => owner,
        DeliveryKind::Stdin | DeliveryKind::Getenv { .. } => &OwnerSpec::default(),
    };
    let named = spec
        .user
        .as_deref()
        .map(|name| users.user(name))
        .transpose()?;
    let uid = named.map_or(uid, |user| user.uid);
    let group = spec
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
